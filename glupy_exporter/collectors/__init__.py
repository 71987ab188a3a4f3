"""The table of collectors: a new metric is one file in this package and one row here."""

from glupy_exporter.collectors.base import Collector
from glupy_exporter.collectors.bricks import Bricks
from glupy_exporter.collectors.clients import Clients
from glupy_exporter.collectors.exporter import Exporter
from glupy_exporter.collectors.files import Files
from glupy_exporter.collectors.fops import Fops
from glupy_exporter.collectors.internal import Internal

COLLECTORS: tuple[type[Collector], ...] = (Bricks, Fops, Files, Clients, Internal, Exporter)

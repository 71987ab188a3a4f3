"""The table of collectors: a new metric is one file in this package and one row here."""

from glupy_exporter.metrics.base import Collector
from glupy_exporter.metrics.bricks import Bricks
from glupy_exporter.metrics.clients import Clients
from glupy_exporter.metrics.disks import Disks
from glupy_exporter.metrics.exporter import Exporter
from glupy_exporter.metrics.facts import Facts
from glupy_exporter.metrics.files import Files
from glupy_exporter.metrics.fops import Fops
from glupy_exporter.metrics.internal import Internal
from glupy_exporter.metrics.pool import Pool
from glupy_exporter.metrics.recorder import Recorder
from glupy_exporter.metrics.services import Services
from glupy_exporter.metrics.volumes import Volumes

COLLECTORS: tuple[type[Collector], ...] = (
    *(Bricks, Facts, Fops, Files, Clients, Internal),
    *(Recorder, Volumes, Pool, Services, Disks),
    Exporter,
)

"""What a fuzzer calls: each takes bytes that nobody trusts, and raises if they do any harm.

A segment is a good one that the bytes change: a sequence of a 32-bit offset, a length, and so many
bytes to put there; a length of 255 cuts the segment off instead. The others take a file's content,
or a request's query and headers, as they are.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import ctypes
import json
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from unittest import mock
from urllib.parse import parse_qsl

from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from glupy_exporter import config
from glupy_exporter.errors import UserError
from glupy_exporter.metrics import COLLECTORS, exposition, protobuf
from glupy_exporter.metrics.base import Options
from glupy_exporter.metrics.exporter import SEGMENT_ERRORS, STATE_TIME
from glupy_exporter.metrics.scrape import Scraper
from glupy_exporter.node import labels, nodestate
from glupy_exporter.node import recorder as records
from glupy_exporter.node.bricks import open_bricks
from glupy_exporter.node.privacy import Privacy
from glupy_exporter.schema import layout
from glupy_exporter.segment import naming, recorder
from glupy_exporter.segment.check import SegmentError
from glupy_exporter.trace import lines
from glupy_exporter.web import api, negotiation, resources
from glupy_exporter.web.toolkit import webconfig
from tests.support import client_model, segments

CUT = 255

_home = Path(tempfile.mkdtemp(dir="/dev/shm"))
atexit.register(shutil.rmtree, _home)
logging.disable()


def _file(name: str, content: bytes) -> Path:
    path = _home / name
    path.write_bytes(content)
    return path


def _settings(*words: str | Path) -> config.Config:
    parser = argparse.ArgumentParser()
    config.add_flags(parser)
    return config.load(parser.parse_args([*map(str, words)]))


_FILE = uuid.UUID(int=1 << 64)
_GOOD = bytes(
    segments.Segment(
        fops={"read": segments.Fop({3: 4}, nanoseconds=900, in_flight=1, errnos={2: 1})},
        io={"read": ({12: 3}, 4096)},
        files={
            slot: segments.File(b"/d/f", uuid.UUID(int=slot + 1 << 64), (1, 2, 3), top_client=1)
            for slot in (0, 3, 9)
        },
        clients={0: segments.Client(b"192.0.2.1", (4, 5, 6))},
        internal={"other": segments.Internal((1, 0, 0))},
        names=(*segments.FOP_NAMES, "inodelk"),
        recorded={
            ring: [
                segments.Recorded("read", gfid=_FILE, client=1),
                segments.Recorded("lookup", gfid=uuid.UUID(int=0), text=b"f", parent=_FILE.bytes),
            ]
            for ring in recorder.RINGS
        },
        flights={
            0: segments.Flight("inodelk", 1, _FILE, 1, b"d", {"lock_type": 2}),
            5: segments.Flight("lookup", 1, _FILE, 1, b"f", parent=_FILE.bytes),
        },
        held_locks={3: segments.HeldLock("inodelk", "write", b"d", _FILE, 2, 1)},
        file_slots=64,
        client_slots=16,
    ).build()
)


def change(good: bytes, data: bytes) -> bytes:
    """``good`` after the changes that ``data`` says."""
    changed = bytearray(good)
    while len(data) > 4 and changed:
        offset, length = int.from_bytes(data[:4], "little") % len(changed), data[4]
        if length == CUT:
            del changed[offset:]
            length = 0
        else:
            some = data[5 : 5 + length][: len(changed) - offset]
            changed[offset : offset + len(some)] = some
        data = data[5 + length :]
    return bytes(changed)


def _name(data: bytes) -> str:
    """The file name that the segment has to have, so that all that it says is looked at."""
    size = ctypes.sizeof(layout.Header)
    header = layout.Header.from_buffer_copy(data[:size].ljust(size, b"\0"))
    return naming.names(os.fsdecode(header.volume), os.fsdecode(header.brick))[0]


def segment(data: bytes) -> None:
    """All formats have to be well-formed, and no collector may fail on an alive or dead brick."""
    directory = _home / "segments"
    directory.mkdir(exist_ok=True)
    changed = change(_GOOD, data)
    path = directory / _name(changed)
    path.write_bytes(changed)
    # A heartbeat may say anything.
    scraper = Scraper(directory, float("inf"), [each(Options(once=True)) for each in COLLECTORS])
    for holder in (contextlib.nullcontext(), segments.locked(path)):
        with holder:
            text = b"".join(exposition.text(scraper)).decode()
            samples = [s for f in text_string_to_metric_families(text) for s in f.samples]
            values = {value for sample in samples for value in sample.labels.values()}
            assert max(len(value.encode()) for value in values) <= labels.MAX
            failures = [
                sample.value
                for sample in samples
                if sample.name == SEGMENT_ERRORS.name and sample.labels["reason"] == "internal"
            ]
            assert failures == [0], "a collector failed"
            other = b"".join(exposition.openmetrics(scraper)).decode()
            assert list(openmetrics_parser.text_string_to_metric_families(other))
            client_model.check(client_model.decode(b"".join(protobuf.protobuf(scraper))))
            answer(b"sort=seconds", directory)
            answer(b"", directory)
            show(directory)
    path.unlink()


def show(directory: Path) -> None:
    """Each fop is on lines that a terminal can show, and on one of JSON."""
    settings = Privacy(exclude=("/d/*x",))
    with open_bricks(directory, float("inf")) as (bricks, _):
        for brick in bricks:
            with contextlib.suppress(SegmentError):
                for slow in records.slow(brick, settings):
                    shown = [lines.recorded(slow, date=True), lines.as_json(lines.of(slow))]
                    assert all(map(str.isprintable, shown)), shown
                for waiting in records.in_flight(brick, settings):
                    shown = [*lines.waiting(waiting), lines.as_json(lines.of(waiting))]
                    assert all(map(str.isprintable, shown)), shown


def config_file(data: bytes) -> None:
    """Taken, or refused with one line."""
    path = _file("config.yml", data)
    try:
        _settings("--config.file", path)
    except UserError as error:
        assert "\n" not in str(error), str(error)


def web_config_file(data: bytes) -> None:
    """Taken, or refused with one line."""
    path = _file("web.yml", data)
    try:
        webconfig.read(path)
    except UserError as error:
        assert "\n" not in str(error), str(error)


def answer(query: bytes, directory: Path) -> None:
    """JSON, with what was asked for, or one line that says what is wrong."""
    arguments: dict[str, list[bytes]] = {}
    for name, value in parse_qsl(query.decode("latin-1"), True, encoding="latin-1"):
        arguments.setdefault(name, []).append(value.encode("latin-1"))
    for resource in resources.RESOURCES:
        try:
            wanted = api.query(resource, arguments)
        except ValueError as error:
            assert json.loads(api.error(str(error)))["error"]
            continue
        settings = _settings(f"--segment.dir={directory}")
        found = json.loads(b"".join(api.answer(resource, wanted, settings)))
        assert len(found[resource.name]) <= min(wanted["limit"], found["matched"])


def request(data: bytes) -> None:
    """The query, and after a line feed the headers that say which format is wanted."""
    directory = _home / "good"
    path = directory / _name(_GOOD)
    if not path.exists():
        directory.mkdir()
        path.write_bytes(_GOOD)
    query, _, header = data.partition(b"\n")
    with segments.locked(path):
        answer(query, directory)
    encode, content_type = negotiation.encoder(header.decode("latin-1"))
    encoders = exposition.text, exposition.openmetrics, protobuf.protobuf
    assert encode in encoders and content_type
    negotiation.gzip_accepted(header.decode("latin-1"))


def state_file(data: bytes) -> None:
    """A state, or none; and metrics that can be parsed, whenever it was learned."""
    path = _file("state.json", data)
    with mock.patch.object(nodestate, "MAX_AGE", float("inf")):
        known = nodestate.look(path)
        scraper = Scraper(
            _home / "none", 60.0, [each(Options(once=True)) for each in COLLECTORS], path
        )
        text = b"".join(exposition.text(scraper)).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert known.time is None or STATE_TIME.name in families


TARGETS: dict[str, Callable[[bytes], None]] = {
    "segment": segment,
    "config": config_file,
    "web-config": web_config_file,
    "request": request,
    "state": state_file,
}

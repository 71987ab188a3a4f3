"""Whatever a translator writes, the reader gives back: random segments, by hypothesis."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from glupy_exporter.schema import layout
from glupy_exporter.segment import reader
from glupy_exporter.segment.records import Activity
from glupy_exporter.segment.text import unescape
from tests.support import segments

WORD = 2**64 - 1
counts = st.integers(0, WORD)
kinds, directions = st.tuples(counts, counts, counts), st.tuples(counts, counts)
texts = st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1, max_size=30)
paths = st.binary(min_size=1, max_size=layout.PATH_SIZE).filter(lambda path: b"\0" not in path)
errnos = st.dictionaries(st.integers(0, layout.ERRNOS - 1), st.integers(1, 2**40))
buckets = st.dictionaries(st.integers(0, layout.LATENCY_BUCKETS - 1), st.integers(1, 2**40))
fops = st.builds(
    segments.Fop,
    buckets=buckets,
    nanoseconds=counts,
    in_flight=st.integers(0, 2**40),
    recorded=st.tuples(counts, counts, counts),
    errnos=errnos,
)
files = st.builds(
    segments.File,
    path=paths,
    gfid=st.uuids(),
    fops=kinds,
    bytes=directions,
    nanoseconds=kinds,
    error_bound=counts,
    truncated=st.booleans(),
    unlinked=st.booleans(),
    type=st.sampled_from(layout.FILE_TYPES),
)
clients = st.builds(
    segments.Client,
    address=texts.map(str.encode),
    fops=kinds,
    bytes=directions,
    nanoseconds=kinds,
    connections=st.integers(0, 2**31 - 1),
    error_bound=counts,
    process=st.integers(0, 2**31 - 1),
)


@given(
    st.builds(
        segments.Segment,
        volume=texts,
        brick=texts,
        fops=st.dictionaries(st.sampled_from([n for n in segments.FOP_NAMES if n]), fops),
        files=st.dictionaries(st.integers(0, 63), files, max_size=8),
        clients=st.dictionaries(st.integers(0, 15), clients, max_size=4),
        lanes=st.sampled_from([1, 2, 4]),
    )
)
def test_what_is_written_is_read(made: segments.Segment) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(made.build())
        file.flush()
        with reader.Segment(Path(file.name)) as segment:
            brick = segment.brick()
            found = {fop.name: fop for fop in segment.fops()}
            failed = {(name, number): count for name, number, count in segment.errnos()}
            file_table, client_table = segment.file_table(), segment.client_table()
            read_files = {row[0]: file_table.record(row) for row in file_table.rows}
            read_clients = {row[0]: client_table.record(row) for row in client_table.rows}
    assert unescape(brick.volume).decode() == made.volume
    assert unescape(brick.path).decode() == made.brick
    for name, fop in made.fops.items():
        if not (fop.buckets or fop.in_flight or fop.nanoseconds or fop.errnos):
            assert name not in found, "a fop that was never called"
            continue
        read = found[name]
        assert {i: n for i, n in enumerate(read.buckets) if n} == fop.buckets
        assert (read.nanoseconds, read.in_flight, read.recorded) == (
            fop.nanoseconds,
            fop.in_flight,
            fop.recorded,
        )
        assert {number: n for (of, number), n in failed.items() if of == name} == fop.errnos
    assert read_files.keys() == made.files.keys()
    for slot, file in made.files.items():
        read_file = read_files[slot]
        assert read_file and read_file.gfid == str(file.gfid)
        assert unescape(read_file.path) == file.path
        assert (read_file.truncated, read_file.unlinked) == (file.truncated, file.unlinked)
        assert read_file.type == file.type and read_file.activity.error_bound == file.error_bound
        _same(read_file.activity, file)
    assert read_clients.keys() == made.clients.keys()
    for slot, client in made.clients.items():
        read_client = read_clients[slot]
        assert read_client and unescape(read_client.address) == client.address
        assert read_client.activity.connections == client.connections
        _same(read_client.activity, client)


def _same(activity: Activity, done: segments.File | segments.Client) -> None:
    assert tuple(activity.fops) == done.fops
    assert tuple(activity.bytes) == done.bytes
    assert tuple(activity.nanoseconds) == done.nanoseconds

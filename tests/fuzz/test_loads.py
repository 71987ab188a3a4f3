"""A hostile address beside a scraper, of an exporter that has the memory that its unit gives it."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import os
import re
import ssl
import subprocess
import sys
import threading
import time
import uuid
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from glupy_exporter.schema import layout
from glupy_exporter.segment import naming
from glupy_exporter.web import api, resources
from tests.fuzz.hostile import ATTACKS
from tests.support import segments
from tests.support.exporters import COMMAND, Exporter
from tests.unit import certificates

pytestmark = pytest.mark.timeout(300)
Need = Callable[[object, str], None]

ROOT = Path(__file__).resolve().parents[2]
BRICKS = 24
BUSY = 100  # files of each brick that change between two scrapes
FILES, CLIENTS = layout.FILE_SLOTS_DEFAULT, layout.CLIENT_SLOTS_DEFAULT
SCRAPE_EVERY = 0.1
SECONDS = {"all": 30.0}
SECONDS_OF_ONE = 5.0
SECONDS_ALONE = 1.0
MOST_SECONDS = 1.0
"""Of a scrape beside an attack, at the 99th percentile."""


def memory_max() -> int:
    """Bytes that the unit lets the exporter have."""
    unit = (ROOT / "deploy/systemd/glupy-exporter.service").read_text()
    (megabytes,) = re.findall(r"^MemoryMax=(\d+)M$", unit, re.MULTILINE)
    return int(megabytes) * 2**20


def controllers() -> list[tuple[Path, str, int]]:
    """Where cgroups can be made, and what those of the exporter have; nothing if nowhere.

    The exporter may have as much memory as by its unit. Where it can be, it comes first at the
    processors: the attacker has its own in life, and here shares them with whatever else runs.
    """
    root = Path("/sys/fs/cgroup")
    if os.access(root / "memory/cgroup.procs", os.W_OK):
        found = [(root / "memory", "memory.limit_in_bytes", memory_max())]
        if os.access(root / "cpu/cgroup.procs", os.W_OK):
            found.append((root / "cpu", "cpu.shares", 2**18))
        return found
    found = []
    with contextlib.suppress(OSError):
        for name, limit, value in (("memory", "max", memory_max()), ("cpu", "weight", 10_000)):
            (root / "cgroup.subtree_control").write_text(f"+{name}")
            found.append((root, f"{name}.{limit}", value))
    return found


@pytest.fixture
def cgroups(need: Need) -> Iterator[list[Path]]:
    """Those that the exporter is to be in."""
    found = controllers()
    need(found, "root, and cgroups with a memory controller")
    made = {parent / f"glupy-test-{os.getpid()}": None for parent, _, _ in found}
    for group in made:
        group.mkdir()
    try:
        for group, (_, limit, value) in zip(list(made) * 2, found):
            (group / limit).write_text(str(value))
        yield list(made)
    finally:
        for group in made:
            group.rmdir()


@contextlib.contextmanager
def limited(cgroups: list[Path], directory: Path, *flags: str) -> Iterator[Exporter]:
    """An exporter of the segments in ``directory``, in the cgroups."""
    join = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs"; shift; done; shift; exec "$@"'
    command = ("sh", "-ec", join, "sh", *map(str, cgroups), "--", *COMMAND)
    flags = ("--web.listen-address=127.0.0.1:0", f"--segment.dir={directory}", *flags)
    running = Exporter(*flags, command=command)
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Segments of bricks whose tables are full, and on whose busiest files there is work."""
    directory = tmp_path_factory.mktemp("full")
    made = segments.Segment(
        fops={name: segments.Fop({3: 7}, 10**6) for name in segments.FOP_NAMES if name},
        files={
            slot: segments.File(
                f"/projects/{slot % 97:04}/measured/data-{slot:08}.bin".encode(),
                uuid.UUID(int=(slot + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128),
                (slot * 1000, slot * 10, slot),
                (slot * 10**6, slot * 10**5),
                (slot * 10**9, slot * 10**8, slot * 10**7),
                top_client=slot % CLIENTS + 1,
            )
            for slot in range(FILES)
        },
        clients={
            slot: segments.Client(b"192.0.2.%d" % (slot % 256), (slot, slot, slot), process=slot)
            for slot in range(CLIENTS)
        },
        file_slots=FILES,
        client_slots=CLIENTS,
    ).build()
    header = layout.Header.from_buffer(made)
    counters = segments.offset(made, "files_counters")
    words_a_slot = ctypes.sizeof(layout.Counters) // 8
    stop = threading.Event()
    with contextlib.ExitStack() as stack:
        files = []
        for number in range(BRICKS):
            header.volume = b"volume%d" % (number // 6)
            header.brick = b"/bricks/volume%d/brick%d" % (number // 6, number)
            (name, _) = naming.names(header.volume.decode(), header.brick.decode())
            path = directory / name
            path.write_bytes(made)
            stack.enter_context(segments.locked(path))
            files.append(stack.enter_context(path.open("r+b", buffering=0)))
        words = array("Q", made[counters : counters + FILES * words_a_slot * 8])

        def work() -> None:
            while not stop.wait(0.5):
                for word in (layout.Counters.fops, layout.Counters.last_seen):
                    first = word.offset // 8
                    column = slice(first, BUSY * words_a_slot, words_a_slot)
                    words[column] = array("Q", (value + 1 for value in words[column]))
                for file in files:
                    os.pwrite(file.fileno(), words, counters)

        thread = threading.Thread(target=work)
        thread.start()
        stack.callback(thread.join)
        stack.callback(stop.set)
        yield directory


def ask(port: int, path: str, tls: ssl.SSLContext | None = None, **headers: str) -> bytes:
    """The answer to a request, over a connection of its own."""
    connection = (
        http.client.HTTPSConnection("127.0.0.1", port, timeout=120, context=tls)
        if tls
        else http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    )
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
    assert answer.status == 200
    return body


@contextlib.contextmanager
def attacked(name: str, port: int) -> Iterator[None]:
    """Somebody at another address does what ``hostile.py`` calls so."""
    words = ["nice", "-n", "10", sys.executable, str(ROOT / "tests/fuzz/hostile.py")]
    words += [name, str(port), "127.0.0.9"]
    with subprocess.Popen(words) as process:
        try:
            yield
            assert process.poll() is None, "the attack has come to nothing"
        finally:
            process.kill()


def scrapes(port: int, tls: ssl.SSLContext | None, seconds: float) -> list[float]:
    """How long scrapes take for some time, in seconds, in ascending order."""
    took = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        assert ask(port, "/metrics", tls, **{"Accept-Encoding": "gzip"})
        took.append(time.monotonic() - began)
        time.sleep(SCRAPE_EVERY)
    return sorted(took)


@pytest.mark.parametrize("attack", [*ATTACKS, "all"])
def test_a_scrape_beside_an_attack(
    attack: str, cgroups: list[Path], full: Path, tmp_path: Path
) -> None:
    flags, tls = [], None
    if attack == "handshakes":
        cert, key = certificates.make(tmp_path, "server", "IP:127.0.0.1")
        config = tmp_path / "web.yml"
        config.write_text(f"tls_server_config: {{cert_file: {cert}, key_file: {key}}}")
        flags, tls = [f"--web.config.file={config}"], ssl.create_default_context(cafile=str(cert))
    with limited(cgroups, full, *flags) as exporter:
        port = exporter.port()
        up = re.findall(rb"^glupy_brick_up\{.*\} 1$", ask(port, "/metrics", tls), re.MULTILINE)
        assert len(up) == BRICKS
        alone = scrapes(port, tls, SECONDS_ALONE)
        with attacked(attack, port):
            beside = scrapes(port, tls, SECONDS.get(attack, SECONDS_OF_ONE))
        assert exporter.process.poll() is None
        longest = beside[int(len(beside) * 0.99)]
        print(f"{attack}: {len(beside)} scrapes, {longest:.2f} s at most; alone {alone[-1]:.2f} s")
        assert longest < MOST_SECONDS


def test_the_largest_table_with_the_longest_names(cgroups: list[Path], tmp_path: Path) -> None:
    """It is scraped, and all of its rows are asked for, uncompressed, twice at once."""
    name = layout.FileName(path_length=layout.PATH_SIZE)
    name.path[:] = b"\x01" * layout.PATH_SIZE  # takes most room in an answer
    made = segments.Segment(file_slots=layout.FILE_SLOTS_MAX).build()
    names = segments.offset(made, "files_names")
    for slot in range(layout.FILE_SLOTS_MAX):
        name.gfid[:] = slot.to_bytes(16, "little")
        segments.put(made, names + slot * len(bytes(name)), name)
    count = layout.FILE_SLOTS_MAX
    tags, seqs = (segments.offset(made, f"files_{array}") for array in ("tags", "seqs"))
    made[tags : tags + 8 * count] = array("Q", range(1, count + 1)).tobytes()
    made[seqs : seqs + 4 * count] = array("I", [2] * count).tobytes()
    for number, word in enumerate(("fops", "last_seen")):
        first = segments.offset(made, "files_counters", 0, getattr(layout.Counters, word))
        for slot in range(count):
            put = first + slot * ctypes.sizeof(layout.Counters)
            made[put : put + 8] = (slot + number + 1).to_bytes(8, "little")
    path = tmp_path / segments.Segment().name
    path.write_bytes(made)
    with segments.locked(path), limited(cgroups, tmp_path) as exporter:
        port = exporter.port()
        for _ in range(2):
            assert (
                f'glupy_files_slots{{volume="v0",brick="/bricks/b0"}} {count}'
                in ask(port, "/metrics").decode()
            )
        with ThreadPoolExecutor(2) as clients:
            asked = [f"/api/v1/files?limit={resources.LIMIT_MAX}"] * 2
            answers = clients.map(lambda url: len(ask(port, url)), asked)
            assert all(
                api.ROWS_MAX_BYTES * 0.9 < size < api.ROWS_MAX_BYTES * 1.1 for size in answers
            )
        assert ask(port, "/metrics")
        assert exporter.process.poll() is None

"""`glupy-exporter top`: what it prints, and how it behaves on a terminal."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from glupy_exporter.top import app, text, view
from glupy_exporter.top.model import ClientRate, FileRate, FopRate, Rates
from tests.support import segments
from tests.support.terminal import ENVIRONMENT, Terminal

COMMAND = (sys.executable, "-m", "glupy_exporter.cli", "top")

HOSTILE = {
    b"/\x1b]0;owned\x07\x1b[2J": "/\\x1b]0;owned\\x07\\x1b[2J",
    "/\u202egnp.exe\u009b31m".encode(): "/\\u202egnp.exe\\xc2\\x9b31m",
    "/漢字.txt".encode(): "/漢字.txt",
    b"/\xff\n\\": "/\\xff\\x0a\\\\",
}


def segment(times: int) -> segments.Segment:
    """A brick that has done everything ``times`` times."""
    files = {
        8 * index: segments.File(
            path, uuid.UUID(int=(index + 1) << 65), fops=[times * (index + 1), 0, 0], top_client=1
        )
        for index, path in enumerate(HOSTILE)
    }
    return segments.Segment(
        volume="gv0",
        fops={"lookup": segments.Fop({2: times}), "read": segments.Fop({4: 2 * times})},
        files=files,
        clients={0: segments.Client(b"10.0.0.7", [times, times, 0], [1024 * times, 0])},
        recorded={
            "slow": [
                segments.Recorded(
                    gfid=uuid.UUID(int=3 << 65), client=1, fields={"error": 5, "size": 4096}
                )
            ]
        },
        flights={0: segments.Flight(gfid=uuid.UUID(int=3 << 65), client=1)},
    )


class Brick:
    """A live segment whose counters go up each time that it is asked to work."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.times = 1

    def work(self) -> None:
        self.times += 100
        with self.path.open("r+b") as file:
            file.write(segment(self.times).build())


@pytest.fixture
def brick(tmp_path: Path) -> Iterator[Brick]:
    with segment(1).live(tmp_path) as path:
        yield Brick(path)


def run_once(brick: Brick, *arguments: str, **environment: str) -> str:
    """Standard output of a run during which the brick works."""
    with subprocess.Popen(
        [*COMMAND, f"--segment.dir={brick.path.parent}", "--interval=1", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**ENVIRONMENT, **environment},
    ) as process:
        while process.poll() is None:
            brick.work()
            time.sleep(0.02)
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.returncode == 0
        return process.stdout.read().decode()


def test_once_prints_every_view(brick: Brick) -> None:
    fops, files, clients, slow, inflight = run_once(brick, "--once").split("\n\n")
    assert fops.splitlines()[0].split()[-2:] == ["brick", "fop"]
    assert [line.split()[-1] for line in fops.splitlines()[1:]] == ["read", "lookup"]
    assert [line.split()[-1] for line in files.splitlines()] == [
        "path",
        *reversed(HOSTILE.values()),
    ]
    assert all("gv0:/bricks/b0" in line for line in files.splitlines()[1:])
    assert [line.split()[-1] for line in clients.splitlines()] == ["client", "10.0.0.7"]
    assert [line.split()[1:] for line in slow.splitlines()] == [
        ["took", "bytes", "brick", "client", "path"],
        ["2s", "4.0K", "gv0:/bricks/b0", "10.0.0.7", "read", "/漢字.txt", "=", "EIO"],
    ]
    assert [line.split()[1:] for line in inflight.splitlines()] == [
        ["bytes", "brick", "client", "path"],
        ["0", "gv0:/bricks/b0", "10.0.0.7", "read", "/漢字.txt"],
    ]


def test_once_obeys_view_sort_filter_and_limit(brick: Brick) -> None:
    printed = run_once(brick, "--once", "--view=files", "--sort=path", "--filter=/\\X", "--limit=1")
    assert [line.split()[-1] for line in printed.splitlines()] == [
        "path",
        "/\\x1b]0;owned\\x07\\x1b[2J",
    ]


def test_json(brick: Brick) -> None:
    printed = json.loads(run_once(brick, "--json"))
    assert (printed["bricks_up"], printed["bricks_down"], printed["problems"]) == (1, [], [])
    assert printed["interval_seconds"] >= 1
    assert {row["path"] for row in printed["files"]} == {
        "/\\x1b]0;owned\\x07\\x1b[2J",
        "/\u202egnp.exe\\xc2\\x9b31m",
        "/漢字.txt",
        "/\\xff\\x0a\\\\",
    }
    read = next(row for row in printed["fops"] if row["fop"] == "read")
    lookup = next(row for row in printed["fops"] if row["fop"] == "lookup")
    assert read["calls_per_second"] == pytest.approx(2 * lookup["calls_per_second"])
    ((slow,), (inflight,)) = printed["slow"], printed["inflight"]
    assert (slow["path"], slow["error"], slow["seconds"]) == ("/漢字.txt", "EIO", 2)
    assert (inflight["path"], inflight["held_since"]) == ("/漢字.txt", None)
    (client,) = printed["clients"]
    assert client["read_bytes_per_second"] == pytest.approx(512 * client["fops_per_second"])


def test_the_exporters_privacy_options_hold(brick: Brick, tmp_path: Path) -> None:
    config = tmp_path / "glupy-exporter.yml"
    config.write_text("privacy.paths: none\nfiles.exclude: '*.txt'\nsegment.dir: /none/such\n")
    flag = f"--config.file={config}"
    printed = run_once(brick, flag, "--json")
    assert [row["path"] for row in json.loads(printed)["files"]] == [""] * 3
    assert "txt" not in printed
    printed = run_once(brick, flag, "--once", "--view=files", "--privacy.paths=hash", "--limit=1")
    (row,) = printed.splitlines()[1:]
    assert re.fullmatch("[0-9a-f]{16}", row.split()[-1])


def test_once_escapes_what_the_locale_lacks(brick: Brick) -> None:
    printed = run_once(brick, "--once", "--view=files", PYTHONIOENCODING="ascii")
    assert "/\\u6f22\\u5b57.txt\n" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "needs a terminal: use --once or --json"),
        (["--once", "--sort=path"], "--sort needs --view"),
        (["--once", "--view=fops", "--sort=path"], "only by call/s, err/s"),
        (["--once", "--segment.dir=/none/such"], "cannot list /none/such"),
        (["--once", "--segment.dir=x"], "is not an absolute path"),
        (["--once", "--privacy.paths=some"], "'some' is not one of full, hash, none"),
        (["--once", "--config.file=/none/such"], "cannot read config file /none/such"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = subprocess.run(
        [*COMMAND, f"--segment.dir={tmp_path}", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("glupy-exporter: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_unknown_terminal_is_a_mistake(tmp_path: Path) -> None:
    with Terminal([*COMMAND, f"--segment.dir={tmp_path}"], term="no-such-terminal") as terminal:
        terminal.wait_for("'no-such-terminal' is unknown here")
        assert terminal.end() == 2


@contextlib.contextmanager
def watching(brick: Brick, *arguments: str) -> Iterator[Terminal]:
    """A terminal that shows the rates of the brick's work, for as long as a test may take."""
    command = [*COMMAND, f"--segment.dir={brick.path.parent}", "--interval=3600", *arguments]
    with Terminal(command) as terminal:
        terminal.wait_for("漢字.txt", meanwhile=brick.work)
        yield terminal


def test_views_at_80x24(brick: Brick) -> None:
    with watching(brick) as terminal:
        lines = terminal.wait_for_rows("path", *reversed(HOSTILE.values()))
        assert lines[0].startswith("glupy-exporter top")
        assert "1 brick up" in lines[0]
        assert lines[2].split() == ["fops/s", "rdB/s", "wrB/s", "ms/s", "brick", "path"]
        assert lines[7:23] == [""] * 16
        assert "q quit" in lines[23]
        column = lines[2].index("path")
        assert all(line.index(" gv0:/bricks/b0") == 27 for line in lines[3:7])
        assert all(line[column - 1 : column + 1] == " /" for line in lines[3:7])

        terminal.press("1")
        terminal.wait_for_rows("fop", "read", "lookup")
        terminal.press("\t\t")
        terminal.wait_for_rows("client", "10.0.0.7")
        terminal.press("q")
        assert terminal.end() == 0
        assert terminal.raw.rindex(b"\x1b[?25h") > terminal.raw.rindex(b"\x1b[?25l")


def test_sort_filter_and_help(brick: Brick) -> None:
    with watching(brick) as terminal:
        terminal.press("S")
        terminal.wait_for("by fops/s, ascending")
        terminal.wait_for_rows("path", *HOSTILE.values())
        terminal.press("ssss")
        terminal.wait_for("by path, ascending")
        terminal.press("/\u202e\udcff\x01字")
        terminal.wait_for("/\\u202e")
        terminal.press("\x15TXT")
        terminal.wait_for("/TXT_")
        terminal.wait_for_rows("path", "/漢字.txt")
        terminal.press("\r")
        terminal.wait_for("filter: TXT")
        terminal.press("/none\x1b")
        terminal.wait_until(lambda lines: "filter: TXT" in lines[1] and "q quit" in lines[23])
        terminal.press("?")
        terminal.wait_for("any key goes back")
        terminal.press("q")
        terminal.wait_for_rows("path", "/漢字.txt")
        terminal.press("q")
        assert terminal.end() == 0


@pytest.mark.parametrize("size", [(132, 50), (40, 8), (12, 3), (1, 1)])
def test_resize(brick: Brick, size: tuple[int, int]) -> None:
    columns, lines = size
    with watching(brick) as terminal:
        drawn = len(terminal.raw)
        terminal.resize(columns, lines)
        title = "glupy-exporter top"[:columns]
        terminal.wait_until(lambda shown: len(terminal.raw) > drawn and shown[0].startswith(title))
        terminal.press("1")
        terminal.resize(80, 24)
        terminal.wait_for_rows("fop", "read", "lookup")
        terminal.press("q")
        assert terminal.end() == 0


def test_pause_keeps_what_is_shown(brick: Brick) -> None:
    with Terminal([*COMMAND, f"--segment.dir={brick.path.parent}", "--interval=0.1"]) as terminal:
        terminal.wait_for("漢字.txt", meanwhile=brick.work)
        terminal.press("p")
        terminal.wait_for("PAUSED", meanwhile=brick.work)
        before = terminal.drawn()
        terminal.press("1")
        terminal.wait_until(lambda lines: lines[2].endswith("fop"))
        terminal.press("2")
        terminal.wait_until(lambda lines: lines == before)
        terminal.press("p")
        terminal.wait_for("Nothing since the last look.")


def test_bricks_come_and_go(tmp_path: Path) -> None:
    with Terminal([*COMMAND, f"--segment.dir={tmp_path}", "--interval=0.1"]) as terminal:
        terminal.wait_for("No brick with the translator runs on this node.")
        with segment(1).live(tmp_path) as path:
            terminal.wait_for("漢字.txt", meanwhile=Brick(path).work)
        terminal.wait_for("0 bricks up, 1 down")
        path.write_bytes(b"junk")
        terminal.wait_for("gv0.bricks-b0.seg: 4 bytes are too few for a header")


@pytest.mark.parametrize("name", ["C", "xx_YY.UTF-8"])
def test_a_locale_without_the_characters(brick: Brick, name: str) -> None:
    command = [*COMMAND, f"--segment.dir={brick.path.parent}", "--interval=3600"]
    with Terminal(command, LC_ALL=name) as terminal:
        terminal.wait_for("/\\u6f22\\u5b57.txt", meanwhile=brick.work)
        terminal.press("q")
        assert terminal.end() == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_give_the_terminal_back(brick: Brick, number: int, code: int) -> None:
    with watching(brick) as terminal:
        terminal.process.send_signal(number)
        assert terminal.end() == code
        assert b"Traceback" not in terminal.raw


def test_the_screen_before_is_restored(brick: Brick) -> None:
    with Terminal([*COMMAND, f"--segment.dir={brick.path.parent}"], term="xterm") as terminal:
        terminal.wait_for("quit")
        terminal.press("q")
        assert terminal.end() == 0
        assert b"\x1b[?1049h" in terminal.raw
        assert b"\x1b[?1049l" in terminal.raw[terminal.raw.index(b"\x1b[?1049h") :]


BRICK = ("v0", "/bricks/b0")
RATES = Rates(
    time=0,
    interval=2,
    up=1,
    down=(),
    problems=(),
    fops=(
        FopRate(*BRICK, "read", 10, 0, 0.1, 0.2, 2**70),
        FopRate(*BRICK, "stat", 0, 0, None, None, 1),
    ),
    files=tuple(
        FileRate(
            *BRICK,
            n,
            1e30,
            0,
            0,
            0,
            gfid=f"{n}",
            path=path,
            type=kind,
            unlinked=unlinked,
            top_client=None,
        )
        for n, (path, kind, unlinked) in enumerate(
            [
                ("", "", False),
                ("/d", "directory", False),
                ("/x (deleted)", "directory", True),
                ("/漢" * 99, "", False),
            ]
        )
    ),
    clients=(
        ClientRate(*BRICK, 1, 0, 0, 0, 0, client="10.0.0.1", connections=2, internal=False),
        ClientRate(*BRICK, 2, 0, 0, None, 0, client="quota", connections=None, internal=True),
    ),
)


def test_the_help_fits_80x24() -> None:
    lines = view.screen(view.State(interval=2, help=True), RATES, 24, 80)
    shown = [line.text.rstrip() for line in lines[view.HEAD_LINES :]]
    assert shown == view.HELP.splitlines()


def test_top_clients_are_shown_where_there_is_room() -> None:
    busy = replace(RATES.files[0], top_client="fd00::7 \x9b4242", path="/a/b", type="file")

    def shown(columns: int, rows: list[FileRate]) -> list[str]:
        return [line.rstrip() for line in view.table(view.VIEWS[1], rows, columns)]

    assert not any("fd00" in line or "client" in line for line in shown(99, [busy]))
    title, row, unknown = shown(100, [busy, RATES.files[1]])
    assert title.endswith("brick          top client         path")
    assert row.endswith("v0:/bricks/b0  ...::7 \\u009b4242  /a/b")
    assert unknown.endswith("v0:/bricks/b0  -                  /d/")


def test_how_files_are_named() -> None:
    rows = view.table(view.VIEWS[1], RATES.files[:3], None)[1:]
    assert [row.split("  ")[-1].strip() for row in rows] == ["<gfid:0>", "/d/", "/x (deleted)"]


def test_internal_services_look_like_no_client() -> None:
    rows = view.select(view.VIEWS[2], RATES, view.Sort(), "")
    quota, client = view.table(view.VIEWS[2], rows, None)[1:]
    assert quota.split() == ["2", "0", "0", "0", "-", "-", "v0:/bricks/b0", "[quota]"]
    assert client.split() == ["1", "0", "0", "0", "0", "2", "v0:/bricks/b0", "10.0.0.1"]


@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("helping", [True, False])
def test_no_line_is_wider_than_the_screen(index: int, helping: bool) -> None:
    for columns in (0, 1, 7, 33, 34, 35, 80, 500):
        for height in (0, 1, 2, 3, 4, 5, 24):
            state = view.State(interval=2, view=index, help=helping, filter="\x1b[2J" * helping)
            lines = view.screen(state, RATES, height, columns)
            assert len(lines) <= height
            assert all(text.width(line.text) == columns for line in lines)
            assert all(line.text == text.printable(line.text) for line in lines)


def test_rows_scroll_to_the_end_and_no_further() -> None:
    state = view.State(interval=2, view=1)
    for _ in range(9):
        app.press(state, app.curses.KEY_NPAGE)
        lines = view.screen(state, RATES, 6, 80)
    assert state.first == 2
    assert lines[-1].text.startswith("rows 3-4 of 4")
    app.press(state, app.curses.KEY_HOME)
    assert view.screen(state, RATES, 6, 80)[-1].text.startswith("rows 1-2 of 4")


def test_interval_keys() -> None:
    state = view.State(interval=3)
    for key, interval in (("-", 2), ("-", 1), ("-", 0.5), ("-", 0.5), ("+", 1), ("+", 2)):
        app.press(state, key)
        assert state.interval == interval
    state.interval = 3600
    app.press(state, "+")
    assert state.interval == 3600

"""What is noted before a brick is taken down, and who brings it back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from glupy_exporter.errors import UserError
from glupy_exporter.xlator import claim, gluster, interrupts, options, peer, unfinished
from glupy_exporter.xlator.unfinished import Work

BRICK = gluster.Brick("host1", "/brick1", "uuid1")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(peer, "STATE", tmp_path / "state")
    return tmp_path / "state"


def test_a_note_is_read_as_it_was_written() -> None:
    for work in (
        Work("home", "enable", BRICK),
        Work("home", "disable", None, {"nfs.disable": "on"}, "enable", True, "/run/gluster/glupy"),
    ):
        unfinished._write(work)
        assert unfinished.read("home") == work
    assert unfinished.read("other") is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"brick": {"x": 1}}', '{"brick": 7}'])
def test_a_note_that_makes_no_sense_is_one_line(content: str, state: Path) -> None:
    state.mkdir()
    (state / "home.json").write_text(content)
    with pytest.raises(UserError, match=r"home\.json, which says .*, makes no sense; look at"):
        unfinished.read("home")


def test_nothing_is_taken_down_if_no_note_can_be_written(state: Path) -> None:
    state.write_text("a file, no directory")
    with pytest.raises(UserError, match="nothing has changed"):  # noqa: SIM117
        with unfinished.promised(Work("home", "enable", BRICK)):
            pytest.fail("it was taken down")


class Gluster:
    """A volume that is asked for and changed by commands, without a glusterd."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, state: str = "Started") -> None:
        self.said: list[str] = []
        self.state = state
        self.options = {options.OPTION: "sdfs", "nfs.disable": "on"}
        monkeypatch.setattr(gluster, "volume", lambda name: self.volume())
        monkeypatch.setattr(gluster, "command", self.command)
        monkeypatch.setattr(gluster, "status", lambda name: self.status())
        monkeypatch.setattr(peer, "holding", lambda brick: False)
        monkeypatch.setattr(peer, "forget", lambda name, path: self.said.append(f"forget {path}"))

    def volume(self) -> gluster.Volume:
        return gluster.Volume("home", "Kind", self.state, 2, 0, (BRICK,), dict(self.options))

    def command(self, *words: str) -> None:
        self.said.append(" ".join(words))
        if words[:2] == ("volume", "start"):
            self.state = "Started"
        if words[:2] == ("volume", "set"):
            self.options.update(zip(words[3::2], words[4::2]))

    def status(self) -> gluster.Status:
        running = gluster.Process(any("start home" in word for word in self.said), 7)
        return gluster.Status({str(BRICK): running}, {}, ())


DISABLE = Work("home", "disable", None, {"nfs.disable": "on"}, segments="/segments")


def test_a_brick_is_started_by_force(monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
    made = Gluster(monkeypatch)
    unfinished._write(Work("home", "enable", BRICK))
    unfinished.bring_back(Work("home", "enable", BRICK))
    assert made.said == ["volume start home force"]
    assert list(state.iterdir()) == []


def test_a_brick_of_a_volume_that_somebody_stopped_stays_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Gluster(monkeypatch, "Stopped")
    unfinished.bring_back(Work("home", "enable", BRICK))
    assert made.said == []


def test_a_disabling_before_the_reset_is_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Gluster(monkeypatch, "Stopped")
    unfinished.bring_back(DISABLE)
    assert made.said == ["volume start home"]
    assert options.OPTION in made.options


def test_a_disabling_after_the_reset_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Gluster(monkeypatch, "Stopped")
    made.options.clear()
    unfinished.bring_back(DISABLE)
    assert made.said == ["volume set home nfs.disable on", "volume start home", "forget /segments"]


def test_a_volume_that_did_not_run_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Gluster(monkeypatch, "Created")
    unfinished.bring_back(Work("home", "disable", None, {}, started=False))
    assert made.said == []


def test_what_does_not_come_back_stays_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Gluster(monkeypatch)
    monkeypatch.setattr(made, "status", lambda: gluster.Status({}, {}, ()))
    work = Work("home", "enable", BRICK)
    unfinished._write(work)
    with pytest.raises(UserError, match=r"is down .* run `gluster volume start home force`"):
        unfinished.bring_back(work, seconds=0)
    assert unfinished.read("home") == work


COMMAND = """
    import os, sys, time
    from pathlib import Path
    from glupy_exporter.xlator import interrupts, peer, unfinished
    peer.STATE = Path(sys.argv[1])

    def bring_back(work, seconds=0):
        while (peer.STATE / "wait").exists():
            time.sleep(0.01)
        with (peer.STATE / "back").open("a") as file:
            file.write(f"{os.getpid()}\\n")
        unfinished.note_of(work.volume).unlink()

    unfinished.bring_back = bring_back
    try:
        with interrupts.raised():
            with unfinished.promised(unfinished.Work("home", "enable")):
                print("down", flush=True)
                sys.stdin.readline()
            print("not interrupted", flush=True)
    except interrupts.Interrupted as error:
        sys.exit(f"{error.exit_code} {error}")
"""


@pytest.fixture
def command(state: Path) -> subprocess.Popen[str]:
    """A command that has a volume down and waits for a line on its standard input."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(COMMAND), state],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stdout.readline() == "down\n"
    assert (state / "home.json").exists()
    return process


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_a_signal_waits_until_all_is_back(
    command: subprocess.Popen[str], number: signal.Signals, state: Path
) -> None:
    command.send_signal(number)
    assert command.stderr
    said = command.stderr.readline()
    assert said == f"glupy-exporter: {number.name}: ends as soon as volume home is back\n"
    assert not (state / "back").exists()
    output, error = command.communicate("go on\n", timeout=20)
    assert output == ""
    assert error == f"{128 + number} interrupted by {number.name}; volume home is back\n"
    assert (state / "back").read_text() == f"{command.pid}\n"
    assert not (state / "home.json").exists()


def test_without_a_signal_it_goes_on(command: subprocess.Popen[str], state: Path) -> None:
    assert command.communicate("go on\n", timeout=20) == ("not interrupted\n", "")
    assert (state / "back").read_text() == f"{command.pid}\n"


def test_the_guard_brings_back_what_a_killed_command_has_down(
    command: subprocess.Popen[str], state: Path
) -> None:
    command.kill()
    command.wait(timeout=20)
    wait_for((state / "back").exists)
    wait_for(lambda: not (state / "home.json").exists())
    assert (state / "back").read_text() != f"{command.pid}\n"


def test_the_guard_waits_for_what_the_command_runs(state: Path, tmp_path: Path) -> None:
    """A `gluster` that is under way must not take the brick down once the guard is done."""
    runs = tmp_path / "runs"
    os.mkfifo(runs)
    code = textwrap.dedent(COMMAND).replace(
        "sys.stdin.readline()",
        f"import subprocess; subprocess.run(['cat', {str(runs)!r}], close_fds=False)",
    )
    process = subprocess.Popen([sys.executable, "-c", code, state], stdout=subprocess.PIPE)
    with runs.open("w"):  # opens as soon as it is read
        process.kill()
        process.wait(timeout=20)
        time.sleep(0.3)  # time in which the guard must not do anything
        assert not (state / "back").exists()
    wait_for((state / "back").exists)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> dict[str, peer.Node]:
    """The answers of a pool whose node ``b`` is this one."""
    answers: dict[str, peer.Node] = {}
    monkeypatch.setattr(gluster, "this_node", lambda: "b")
    monkeypatch.setattr(gluster, "pool", lambda: {n: gluster.Peer(f"host-{n}", True) for n in "ac"})
    monkeypatch.setattr(peer, "nodes", lambda: answers)
    return answers


def at_work(volume: str) -> peer.Node:
    return peer.Node("10.3", None, busy=frozenset({volume}))


def test_one_command_at_a_time_on_a_node(nodes: dict[str, peer.Node]) -> None:
    with claim.held("home"):
        with claim.held("other"):
            pass
        with pytest.raises(UserError, match="works on home, on this node"):  # noqa: SIM117
            with claim.held("home"):
                pytest.fail("two are at work")
    with claim.held("home"):
        pass


def test_of_two_nodes_the_lesser_goes_on(
    nodes: dict[str, peer.Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes.update(a=at_work("home"), b=at_work("home"))
    with pytest.raises(UserError, match="works on home, on host-a; wait"):  # noqa: SIM117
        with claim.held("home"):
            pytest.fail("two are at work")
    # It withdraws as soon as it sees this one.
    del nodes["a"]
    nodes["c"] = at_work("home")
    monkeypatch.setattr(time, "sleep", lambda seconds: nodes.pop("c"))
    with claim.held("home"):
        assert "c" not in nodes


def test_a_greater_node_that_does_not_withdraw_is_at_work(
    nodes: dict[str, peer.Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes.update(b=at_work("home"), c=at_work("home"))
    monkeypatch.setattr(claim, "_WITHDRAW_SECONDS", 0)
    with pytest.raises(UserError, match="on host-c"):  # noqa: SIM117
        with claim.held("home"):
            pytest.fail("two are at work")

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

from glupy_exporter import interrupts
from glupy_exporter.errors import UserError
from glupy_exporter.operate import claim, gluster, options, peer, unfinished
from glupy_exporter.operate.unfinished import Work

BRICK = gluster.Brick("host1", "/brick1", "uuid1")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(peer, "STATE", tmp_path / "state")
    return tmp_path / "state"


def test_a_note_is_read_as_it_was_written() -> None:
    for work in (
        Work("home", "enable", BRICK),
        Work("home", "disable", None, (), {"nfs.disable": "on"}, "enable", "/run/gluster/glupy"),
    ):
        unfinished.write(work)
        assert unfinished.read("home") == work
    assert unfinished.read("other") is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"brick": {"x": 1}}', '{"brick": 7}'])
def test_a_note_that_makes_no_sense_is_one_line(content: str, state: Path) -> None:
    state.mkdir()
    (state / "home.json").write_text(content)
    with pytest.raises(UserError, match=r"home\.json, in which .*, makes no sense; look at"):
        unfinished.read("home")


def test_nothing_is_taken_down_if_no_note_can_be_written(state: Path) -> None:
    state.write_text("a file, no directory")
    with pytest.raises(UserError, match="without it nothing is taken down"):  # noqa: SIM117
        with unfinished.promised(Work("home", "enable", BRICK)):
            pytest.fail("it was taken down")


class Gluster:
    """A volume that is asked for and changed by commands, without a glusterd."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, state: str = "Started") -> None:
        self.said: list[str] = []
        self.state = state
        self.online = False
        self.holding = 0
        self.failing = 0
        self.bricks = [BRICK]
        self.options = {options.OPTION: "sdfs", "nfs.disable": "on"}
        monkeypatch.setattr(gluster, "volumes", lambda: [self.volume()] if self.state else [])
        monkeypatch.setattr(gluster, "volume", lambda name: self.volume())
        monkeypatch.setattr(gluster, "command", self.command)
        monkeypatch.setattr(gluster, "status", lambda name: self.status())
        monkeypatch.setattr(peer, "holding", self.held)
        monkeypatch.setattr(peer, "forget", lambda name, path: self.said.append(f"forget {path}"))
        monkeypatch.setattr(time, "sleep", lambda seconds: None)

    def volume(self) -> gluster.Volume:
        bricks = tuple(self.bricks)
        return gluster.Volume("home", "Kind", self.state, 2, 0, bricks, dict(self.options))

    def held(self, bricks: list[gluster.Brick]) -> bool:
        assert bricks == [BRICK]
        self.holding -= 1
        return self.holding >= 0

    def command(self, *words: str) -> None:
        self.said.append(" ".join(words))
        self.failing -= 1
        if self.failing >= 0:
            raise gluster.GlusterError("glusterd does not answer")
        if words[:2] == ("volume", "start"):
            self.state, self.online = "Started", True
        if words[:2] == ("volume", "set"):
            self.options.update(zip(words[3::2], words[4::2]))

    def status(self) -> gluster.Status:
        return gluster.Status({str(BRICK): gluster.Process(self.online, 7)}, {}, ())


ENABLE = Work("home", "enable", BRICK)
DISABLE = Work("home", "disable", running=(str(BRICK),), segments="/segments")
RESET = Work("home", "disable", None, (str(BRICK),), {"nfs.disable": "on"}, segments="/segments")
START = "volume start home force"
SET = "volume set home nfs.disable on"


def bring_back(work: Work, state: Path) -> None:
    unfinished.write(work)
    unfinished.bring_back(work.volume)
    assert list(state.iterdir()) == []


def test_a_brick_is_started_by_force_once_it_is_gone(
    monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    made = Gluster(monkeypatch)
    made.holding = 3
    bring_back(ENABLE, state)
    assert made.said == [START]
    assert made.holding < 0


def test_a_brick_that_is_back_already_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    made = Gluster(monkeypatch)
    made.online, made.holding = True, 1000
    bring_back(ENABLE, state)
    assert made.said == []


def test_a_brick_that_is_held_for_ever_is_started_at_last(
    monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    made = Gluster(monkeypatch)
    made.holding = 10**9
    monkeypatch.setattr(unfinished, "_GONE_SECONDS", 0.2)
    bring_back(ENABLE, state)
    assert made.said == [START]


@pytest.mark.parametrize("gone", ["stopped", "replaced", "deleted"])
def test_what_nobody_wants_back_stays_down(
    monkeypatch: pytest.MonkeyPatch, state: Path, gone: str
) -> None:
    made = Gluster(monkeypatch)
    if gone == "replaced":
        made.bricks = [gluster.Brick("host1", "/another", "uuid1")]
    else:
        made.state = "Stopped" if gone == "stopped" else ""
    bring_back(ENABLE, state)
    assert made.said == []


@pytest.mark.parametrize(("work", "steps"), [(ENABLE, [START]), (RESET, [SET, START])])
def test_what_fails_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, state: Path, work: Work, steps: list[str]
) -> None:
    made = Gluster(monkeypatch, "Started" if work.brick else "Stopped")
    made.options.pop(options.OPTION)
    made.failing = 3
    bring_back(work, state)
    assert [said for said in made.said if said in (SET, START)] == [steps[0]] * 3 + steps


def test_a_disabling_before_the_reset_is_undone(
    monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    made = Gluster(monkeypatch, "Stopped")
    bring_back(DISABLE, state)
    assert made.said == [START]
    assert options.OPTION in made.options


def test_a_disabling_after_the_reset_is_ended(monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
    made = Gluster(monkeypatch, "Stopped")
    made.options.clear()
    bring_back(RESET, state)
    assert made.said == [SET, START, "forget /segments"]


def test_options_are_set_back_though_somebody_enabled_the_volume_since(
    monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    made = Gluster(monkeypatch, "Stopped")
    made.options = {options.OPTION: "sdfs"}
    bring_back(RESET, state)
    assert made.options == {options.OPTION: "sdfs", "nfs.disable": "on"}


def test_options_that_were_set_back_are_not_set_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Gluster(monkeypatch, "Stopped")
    monkeypatch.setattr(made, "status", lambda: gluster.Status({}, {}, ()))
    unfinished.write(RESET)
    with pytest.raises(UserError, match="volume home is not back"):
        unfinished.bring_back("home", seconds=0)
    left = unfinished.read("home")
    assert left and left.options is None
    made.options["nfs.disable"] = "off"
    with pytest.raises(UserError):
        unfinished.bring_back("home", seconds=0)
    assert made.options["nfs.disable"] == "off"


def test_a_volume_that_did_not_run_is_not_started(
    monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    made = Gluster(monkeypatch, "Created")
    bring_back(Work("home", "disable", options={}), state)
    assert made.said == []


def test_only_bricks_that_ran_have_to_run(monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
    made = Gluster(monkeypatch, "Stopped")
    made.bricks.append(gluster.Brick("host2", "/broken", "uuid2"))
    bring_back(DISABLE, state)
    assert made.said == [START]


def refusal(work: Work) -> str:
    """Why what the work has taken down is not back."""
    unfinished.write(work)
    with pytest.raises(UserError) as caught:
        unfinished.bring_back("home", seconds=0)
    return str(caught.value)


def test_what_does_not_come_back_stays_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Gluster(monkeypatch)
    monkeypatch.setattr(made, "status", lambda: gluster.Status({}, {}, ()))
    assert refusal(ENABLE) == (
        "host1:/brick1 is not back; see its log on host1, then run `gluster volume start home "
        "force`, or run `glupy-exporter xlator enable home` again on this node"
    )
    assert unfinished.read("home") == ENABLE


def refuse_options(monkeypatch: pytest.MonkeyPatch, made: Gluster) -> None:
    """Have glusterd set no option."""
    plain = made.command

    def command(*words: str) -> None:
        if words[1] == "set":
            raise gluster.RefusedError("`gluster volume set` failed: it changed its mind")
        plain(*words)

    monkeypatch.setattr(gluster, "command", command)


def test_a_volume_without_its_options_is_not_to_be_started_by_hand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Gluster(monkeypatch, "Stopped")
    refuse_options(monkeypatch, made)
    assert refusal(RESET) == (
        "volume home is not back (`gluster volume set` failed: it changed its mind); do not start "
        "home by hand: its options may be reset, and it would serve everybody whom auth.allow "
        "keeps out; run `glupy-exporter xlator disable home` again on this node, which sets them "
        "back first"
    )
    assert made.said == []


def test_a_volume_whose_options_are_back_is_started_by_the_command_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not by hand: it may have options that only a started volume takes."""
    made = Gluster(monkeypatch, "Stopped")
    monkeypatch.setattr(made, "status", lambda: gluster.Status({}, {}, ()))
    assert refusal(RESET) == (
        "volume home is not back; see `gluster volume status home`, then run `glupy-exporter "
        "xlator disable home` again on this node"
    )


COMMAND = """
    import os, select, sys, syslog, time
    from pathlib import Path
    from glupy_exporter import interrupts
    from glupy_exporter.operate import peer, unfinished
    peer.STATE = Path(sys.argv[1])
    if len(sys.argv) > 2:
        unfinished.STANDBY_SECONDS, unfinished._STEP_SECONDS = map(float, sys.argv[2:])

    def log(priority, line):
        with (peer.STATE / "log").open("a") as file:
            file.write(line + "\\n")

    syslog.syslog = log

    def bring_back(volume, seconds=0):
        while (peer.STATE / "wait").exists():
            time.sleep(0.01)
        with (peer.STATE / "back").open("a") as file:
            file.write(f"{os.getpid()}\\n")
        if (peer.STATE / "refuse").exists():
            raise interrupts.UserError("volume home is not back; do not start home by hand")
        unfinished.note_of(volume).unlink()

    unfinished.bring_back = bring_back
    try:
        with interrupts.raised():
            with unfinished.promised(unfinished.Work("home", "enable")):
                print("down", flush=True)
                # A signal just before a read that blocks is not handled until that returns.
                while not select.select([sys.stdin], [], [], 0.05)[0]:
                    pass
                sys.stdin.readline()
            print("not interrupted", flush=True)
    except interrupts.Interrupted as error:
        sys.exit(f"{error.exit_code} {error}")
"""


def start(state: Path, *seconds: float, code: str = COMMAND) -> subprocess.Popen[str]:
    """A command that has a volume down and waits for a line on its standard input.

    Its standby waits for the first of ``seconds``, which it counts in steps of the second.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), state, *map(str, seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stdout.readline() == "down\n"
    assert (state / "home.json").exists()
    return process


@pytest.fixture
def command(state: Path) -> subprocess.Popen[str]:
    """A command whose standby does not lose patience."""
    return start(state)


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


def test_the_standby_brings_back_what_a_killed_command_has_down(
    command: subprocess.Popen[str], state: Path
) -> None:
    command.kill()
    command.wait(timeout=20)
    wait_for((state / "back").exists)
    wait_for(lambda: not (state / "home.json").exists())
    assert (state / "back").read_text() != f"{command.pid}\n"


def test_the_standby_says_why_it_cannot(command: subprocess.Popen[str], state: Path) -> None:
    (state / "refuse").touch()
    command.kill()
    command.wait(timeout=20)
    wait_for(lambda: len(logged(state)) == 2)
    assert logged(state) == [
        "`xlator enable home` was killed; bringing volume home back",
        "`xlator enable home` was killed: volume home is not back; do not start home by hand",
    ]
    assert (state / "home.json").exists()


def logged(state: Path) -> list[str]:
    """What the standby told syslog."""
    return (state / "log").read_text().splitlines() if (state / "log").exists() else []


WITHOUT_PIDFD = COMMAND.replace("    try:\n", "    del os.pidfd_open\n    try:\n", 1)


@pytest.mark.parametrize("code", [COMMAND, WITHOUT_PIDFD])
def test_a_command_that_was_stopped_does_not_go_on_after_its_standby(
    state: Path, code: str
) -> None:
    """It would do to a volume in use what is harmless only while the volume is stopped."""
    process = start(state, 0.3, 0.1, code=code)
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: (state / "back").exists() and not (state / "home.json").exists())
    assert process.wait(timeout=20) == -signal.SIGKILL
    wait_for(lambda: len(logged(state)) == 3)
    assert logged(state) == [
        f"`xlator enable home` (process {process.pid}) stands; killing it",
        "`xlator enable home` was killed; bringing volume home back",
        "volume home is back",
    ]
    assert (state / "back").read_text().split() != [str(process.pid)]


WORKING = COMMAND.replace(
    "sys.stdin.readline()",
    """time.sleep = lambda seconds: select.select([], [], [], 0.05)
                until = time.monotonic() + 4
                unfinished.wait("", until, lambda: time.monotonic() > until)""",
)


KILLED = COMMAND.replace(
    "    try:\n",
    """    write = unfinished.write

    def killed(work):
        write(work)
        os.kill(os.getpid(), 9)

    unfinished.write = killed
    try:
""",
    1,
)


def test_no_note_is_left_by_a_command_that_was_killed_as_soon_as_it_was_written(
    state: Path,
) -> None:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), state], timeout=20)
    assert done.returncode == -signal.SIGKILL
    wait_for((state / "back").exists)
    wait_for(lambda: not (state / "home.json").exists())


HEALING = COMMAND.replace(
    "sys.stdin.readline()",
    """sys.stdin.readline()
                unfinished.show_life(long=True)
                select.select([], [], [], 4)
                unfinished.show_life()""",
)


@pytest.mark.parametrize("code", [WORKING, HEALING])
def test_a_command_that_goes_on_is_not_killed_however_long_it_takes(state: Path, code: str) -> None:
    process = start(state, 2, 0.1, code=code)
    assert process.communicate("go on\n", timeout=20) == ("not interrupted\n", "")
    assert (state / "back").read_text() == f"{process.pid}\n"
    assert logged(state) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_the_standby_waits_for_what_the_command_runs(
    state: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """A `gluster` that is under way must not take the brick down once the standby is done."""
    runs = tmp_path / "runs"
    os.mkfifo(runs)
    code = COMMAND.replace(
        "sys.stdin.readline()",
        f"import subprocess; subprocess.run(['cat', {str(runs)!r}], close_fds=False)",
    )
    process = start(state, 0.3, 0.1, code=code)
    assert process.stdin
    process.stdin.close()
    with runs.open("w"):  # opens as soon as it is read
        process.send_signal(number)
        wait_for(lambda: len(logged(state)) == 2)
        assert process.wait(timeout=20) == -signal.SIGKILL
        assert logged(state)[1] == (
            f"`xlator enable home` (process {process.pid}), or a `gluster` that it runs, does not "
            "end though it was killed; volume home is left as it is until it has ended"
        )
        assert not (state / "back").exists()
        assert (state / "home.json").exists()
    wait_for((state / "back").exists)
    wait_for(lambda: not (state / "home.json").exists())


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> dict[str, peer.Node]:
    """The answers of the other nodes of a pool whose node ``b`` is this one."""
    answers: dict[str, peer.Node] = {}
    mine = peer.Node("10.3", None, busy=frozenset({"home", "other"}))
    monkeypatch.setattr(gluster, "this_node", lambda: "b")
    monkeypatch.setattr(gluster, "pool", lambda: {n: gluster.Peer(f"host-{n}", True) for n in "ac"})
    monkeypatch.setattr(peer, "nodes", lambda: {"b": mine, **answers})
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
    nodes["a"] = at_work("home")
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
    nodes["c"] = at_work("home")
    monkeypatch.setattr(claim, "_WITHDRAW_SECONDS", 0)
    with pytest.raises(UserError, match="on host-c"):  # noqa: SIM117
        with claim.held("home"):
            pytest.fail("two are at work")


def test_a_script_that_does_not_show_what_is_done_here_is_too_old(
    nodes: dict[str, peer.Node],
) -> None:
    nodes["b"] = peer.Node("10.3", None)
    with pytest.raises(UserError, match=r"older release.* run .*xlator install` here"):  # noqa: SIM117
        with claim.held("home"):
            pytest.fail("nobody can see it")


def test_what_another_node_has_not_brought_back_comes_first(nodes: dict[str, peer.Node]) -> None:
    nodes["c"] = peer.Node("10.3", None, unfinished={"home": "disable"})
    with pytest.raises(UserError, match="`xlator disable home` on host-c did not end; run it"):  # noqa: SIM117
        with claim.held("home"):
            pytest.fail("its options are lost")
    with claim.held("other"):
        pass


def test_a_pool_that_cannot_be_asked_does_not_stand_in_the_way(
    nodes: dict[str, peer.Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> dict[str, peer.Node]:
        raise peer.NoScriptError(["host-c"])

    monkeypatch.setattr(peer, "nodes", refuse)
    with claim.held("home"), pytest.raises(UserError, match="this node"):  # noqa: SIM117
        with claim.held("home"):
            pytest.fail("two are at work")

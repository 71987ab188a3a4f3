"""What enable and disable do to a volume, and what they leave when glusterd lets them down."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from glupy_exporter.errors import UserError
from glupy_exporter.operate import change, gluster, options, peer, plan, unfinished
from glupy_exporter.schema import layout

BRICKS = tuple(gluster.Brick(f"host{n}", f"/brick{n}", f"uuid{n}") for n in range(2))
STAMP = peer.Stamp("0.1.0", "10.3", layout.VERSION)
SHARD = {"features.shard": "on"}


class Pool:
    """A glusterd with a volume of two bricks, one on each of two nodes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
        self.name, self.replica, self.state = "home", 2, "Started"
        self.options = dict(SHARD)
        self.online = set(BRICKS)
        self.loaded: set[gluster.Brick] = set()
        self.tasks: tuple[str, ...] = ()
        self.sessions: list[str] = []
        self.lacks: frozenset[str] = frozenset()
        self.unhealed = gluster.Unhealed()
        self.refused: dict[str, str] = {}
        """Why an option is not set, by its name."""
        self.slow: dict[str, int] = {}
        """For what `gluster` does not wait, once, and after how many seconds it takes effect: by
        the command and the volume's state."""
        self.never: str | None = None
        """What never takes effect, likewise."""
        self.said: list[str] = []
        self._later: list[tuple[int, Callable[[], None]]] = []
        self._elapsed = 0
        for name in ("volume", "volumes", "status", "command", "unhealed", "processes"):
            monkeypatch.setattr(gluster, name, getattr(self, f"_{name}"))
        monkeypatch.setattr(gluster, "clients", lambda name: {})
        monkeypatch.setattr(gluster, "geo_replication", lambda name: self.sessions)
        monkeypatch.setattr(gluster, "global_options", dict)
        monkeypatch.setattr(gluster, "pool", self._pool)
        monkeypatch.setattr(gluster, "set_granular_entry_heal", self._granular)
        monkeypatch.setattr(gluster, "set_scrub", self._scrub)
        monkeypatch.setattr(peer, "nodes", self._nodes)
        monkeypatch.setattr(peer, "holding", lambda bricks: not self.online.isdisjoint(bricks))
        monkeypatch.setattr(peer, "forget", lambda name, path: None)
        monkeypatch.setattr(peer, "STATE", directory)
        monkeypatch.setattr(options, "volfiles", lambda volume: [])
        monkeypatch.setattr(time, "sleep", self._sleep)
        monkeypatch.setattr(time, "monotonic", lambda: self._elapsed)
        monkeypatch.setattr(unfinished, "_with_standby", lambda work: contextlib.nullcontext())

    def _sleep(self, seconds: float) -> None:
        self._elapsed += max(1, round(seconds))
        due = [effect for when, effect in self._later if when <= self._elapsed]
        self._later = [(when, effect) for when, effect in self._later if when > self._elapsed]
        for effect in due:
            effect()

    def _lock(self) -> None:
        """Wait, as `gluster` is made to, for what glusterd is at."""
        if self._later:
            self._sleep(120)
        if self._later:
            raise gluster.UndecidedError("glusterd was busy for 120 s")

    def _volume(self, name: str) -> gluster.Volume:
        return gluster.Volume(name, "Kind", self.state, self.replica, 0, BRICKS, dict(self.options))

    def _volumes(self) -> list[gluster.Volume]:
        return [self._volume(self.name)]

    def _status(self, name: str) -> gluster.Status:
        self._lock()
        if self.state != "Started":
            raise gluster.GlusterError("Volume home is not started")
        bricks = {str(b): gluster.Process(b in self.online, 7) for b in BRICKS}
        healers = {b.node: gluster.Process(True, 9) for b in BRICKS}
        return gluster.Status(bricks, healers, self.tasks)

    def _unhealed(self, name: str) -> gluster.Unhealed:
        return self.unhealed

    def _processes(self) -> dict[gluster.Brick, tuple[str, int]]:
        return {brick: (brick.node, 7) for brick in self.online}

    def _pool(self) -> dict[str, gluster.Peer]:
        return {b.node: gluster.Peer(b.host, True) for b in BRICKS}

    def _nodes(self) -> dict[str, peer.Node]:
        volume = self._volume(self.name)
        return {
            b.node: peer.Node(
                "10.3",
                STAMP,
                {str(options.segment_paths(volume, b)[0]): 7} if b in self.loaded else {},
                {7: peer.Loaded(STAMP, True)},
                lacks=self.lacks,
            )
            for b in BRICKS
        }

    def _granular(self, name: str, on: bool) -> None:
        self._command("volume", "heal", name, "granular-entry-heal", "on" if on else "off")

    def _scrub(self, name: str, option: str, value: str) -> None:
        self._command("volume", "bitrot", name, option, value)

    def _command(self, *words: str) -> None:
        self._lock()
        said = " ".join(words)
        self.said.append(said)
        if words[1] == "set":
            for option in words[3::2]:
                if option in self.refused and not (
                    "stop the volume" in self.refused[option] and self.state != "Started"
                ):
                    raise gluster.RefusedError(f"`gluster {said}` failed: {self.refused[option]}")
        what = f"{words[1]} {self.state}"
        seconds = self.slow.pop(what, None)
        if seconds is None and what != self.never:
            self._take_effect(*words)
            return
        if seconds:
            self._later.append((self._elapsed + seconds, lambda: self._take_effect(*words)))
        raise gluster.GaveUpError(f"`gluster {said}` gave up waiting for glusterd")

    def _take_effect(self, _: str, verb: str, name: str, *words: str) -> None:
        if verb == "set":
            self.options.update(zip(words[::2], words[1::2]))
        elif verb == "reset":
            self.options = {"features.bitrot": "on"} if "features.bitrot" in self.options else {}
        elif verb == "stop":
            self.state, self.online, self.loaded = "Stopped", set(), set()
        elif verb == "reset-brick":
            self.online = {brick for brick in self.online if str(brick) != words[0]}
            self.loaded &= self.online
        elif verb == "bitrot":
            option = {"scrub-frequency": "features.scrub-freq"}[words[0]]
            self.options[option] = words[1]
        elif verb == "start":
            self.state = "Started"
            started = set(BRICKS) - self.online
            self.online = set(BRICKS)
            if options.OPTION in self.options:
                self.loaded |= started


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pool:
    return Pool(monkeypatch, tmp_path)


def quiet(line: str) -> None:
    """Nobody listens."""


def enable() -> None:
    change.carry_out(plan.to_enable("home"), quiet)


def disable() -> None:
    change.carry_out(plan.to_disable("home"), quiet)


def changes(pool: Pool) -> list[str]:
    return [said.removeprefix("volume ") for said in pool.said]


def test_a_volume_is_stopped_before_its_volfiles_change(pool: Pool) -> None:
    """Between `set` and restart a brick would ignore all options."""
    pool.replica = 1
    enable()
    assert changes(pool) == [
        "stop home",
        f"set home {options.OPTION} {options.POSITION}",
        "start home force",
    ]
    assert pool.loaded == set(BRICKS)


@pytest.mark.parametrize("replica", [1, 2])
def test_bricks_that_run_the_translator_are_not_restarted(pool: Pool, replica: int) -> None:
    """As after `volume reset`."""
    pool.replica, pool.loaded = replica, set(BRICKS)
    enable()
    assert changes(pool) == [f"set home {options.OPTION} {options.POSITION}"]
    pool.said.clear()
    del pool.options[options.OPTION]
    pool.loaded.remove(BRICKS[0])
    enable()
    stopped = "stop home" if replica == 1 else f"reset-brick home {BRICKS[0]} start"
    assert changes(pool)[0] == stopped
    assert str(BRICKS[1]) not in " ".join(changes(pool))


@pytest.mark.parametrize("slow", ["stop Started", "set Stopped", "start Stopped"])
def test_what_glusterd_does_though_gluster_gave_up_is_waited_for(pool: Pool, slow: str) -> None:
    pool.replica = 1
    pool.slow = {slow: 300}
    enable()
    assert pool.loaded == set(BRICKS)
    assert pool.options == {**SHARD, options.OPTION: options.POSITION}
    disable_slowly(pool, slow)


@pytest.mark.parametrize("slow", ["reset-brick Started", "set Started", "start Started"])
def test_bricks_are_waited_for_though_gluster_gave_up(pool: Pool, slow: str) -> None:
    pool.slow = {slow: 300}
    enable()
    assert pool.loaded == pool.online == set(BRICKS)
    assert pool.options == {**SHARD, options.OPTION: options.POSITION}
    disable_slowly(pool, "reset Stopped")


def disable_slowly(pool: Pool, slow: str) -> None:
    pool.slow = {slow: 300}
    disable()
    assert (pool.state, pool.online, pool.loaded) == ("Started", set(BRICKS), set())
    assert pool.options == SHARD
    assert list(peer.STATE.glob("*.json")) == []


@pytest.mark.parametrize(("replica", "never"), [(1, "stop Started"), (2, "reset-brick Started")])
def test_what_glusterd_never_does_is_given_up_and_the_state_named(
    pool: Pool, replica: int, never: str
) -> None:
    pool.replica, pool.never = replica, never
    with pytest.raises(UserError) as caught:
        enable()
    said = str(caught.value)
    assert "gave up waiting for glusterd" in said
    assert said.endswith(
        "Now home is started, user.xlator.glupy is not set, bricks that are down: none; `xlator "
        "status home` shows its bricks"
    )
    assert pool.options == SHARD and pool.online == set(BRICKS)


def test_what_is_down_is_named(pool: Pool) -> None:
    pool.never = "start Started"
    with pytest.raises(UserError, match=f"bricks that are down: {BRICKS[0]};") as caught:
        enable()
    assert "user.xlator.glupy is set, bricks that have not been restarted since ignore" in str(
        caught.value
    )
    assert unfinished.read("home"), "the next command has to bring it back"


def test_options_that_differ_after_a_disable_are_named_with_their_values(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.options.update({options.OPTION: "sdfs", "auth.allow": "10.*", "features.bitrot": "on"})
    bring_back = unfinished.bring_back

    def bring_back_less(volume: str) -> None:
        bring_back(volume)
        pool.options.update({"auth.allow": "*", "auth.reject": "10.1.*"})
        del pool.options["features.bitrot"]

    monkeypatch.setattr(unfinished, "bring_back", bring_back_less)
    with pytest.raises(UserError) as caught:
        disable()
    assert (
        "auth.allow was 10.* and is *; auth.reject was not set and is 10.1.*; features.bitrot was "
        "on and is not set. Set them right with `gluster volume set`"
    ) in str(caught.value)


BUSY = "Changing 'storage.linux-aio' is not supported ... Please stop the volume first."
OFF = "ganesha.enable is already 'off'."
NEVER = "Path bin exists"


def test_options_that_only_a_stopped_volume_takes_are_set_back(pool: Pool) -> None:
    pool.options.update({options.OPTION: "sdfs", "storage.linux-aio": "on"})
    pool.refused = {"storage.linux-aio": BUSY}
    disable()
    assert pool.options == {**SHARD, "storage.linux-aio": "on"}
    assert pool.online == set(BRICKS)


def test_a_stopped_volume_that_refuses_is_started_as_it_was(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {**SHARD, options.OPTION: "sdfs", "storage.linux-aio": "on"}
    pool.options = dict(before)
    pool.refused = {"storage.linux-aio": BUSY}
    command = gluster.command

    def refuse(*words: str) -> None:
        if "storage.linux-aio" in words and pool.state == "Stopped":
            raise gluster.RefusedError("it changed its mind")
        command(*words)

    monkeypatch.setattr(gluster, "command", refuse)
    with pytest.raises(UserError, match="changed its mind"):
        disable()
    assert pool.options == before and pool.online == set(BRICKS)
    assert "volume reset home" not in pool.said


def test_options_with_a_command_of_their_own_are_set_back_by_it(pool: Pool) -> None:
    scrub = {"features.bitrot": "on", "features.scrub-freq": "daily"}
    pool.options.update({options.OPTION: "sdfs", **scrub})
    pool.refused = {"features.scrub-freq": "Use 'gluster volume bitrot' instead."}
    disable()
    assert pool.options == {**SHARD, **scrub}


def test_a_glusterd_that_does_not_answer_refuses_no_option(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.options[options.OPTION] = "sdfs"
    planned = plan.to_disable("home")

    def unanswered(*words: str) -> None:
        raise gluster.GlusterError("glusterd does not answer; start it and try again")

    monkeypatch.setattr(gluster, "command", unanswered)
    with pytest.raises(UserError, match=r"^glusterd does not answer; start it and try again\. Now"):
        change.carry_out(planned, quiet)


def test_options_that_are_refused_only_together_change_nothing(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.options.update({options.OPTION: "sdfs", "x.y": "z"})
    command = gluster.command

    def refuse(*words: str) -> None:
        if words[1] == "set" and len(words) > 5:
            raise gluster.RefusedError("one at a time")
        command(*words)

    monkeypatch.setattr(gluster, "command", refuse)
    with pytest.raises(UserError, match="one at a time"):
        disable()
    assert not {"volume stop home", "volume reset home"} & set(pool.said)


def test_an_option_that_is_off_anyway_does_not_stand_in_the_way(pool: Pool) -> None:
    pool.options.update({options.OPTION: "sdfs", "ganesha.enable": "off"})
    pool.refused = {"ganesha.enable": OFF}
    disable()
    assert pool.options == SHARD


def test_an_option_that_is_never_taken_is_named_with_the_way_out(pool: Pool) -> None:
    before = {**SHARD, options.OPTION: "sdfs", "features.trash-dir": "bin", "x.y": "z"}
    pool.options = dict(before)
    pool.refused = {"features.trash-dir": NEVER, "x.y": "no value of its kind"}
    with pytest.raises(UserError) as caught:
        disable()
    said = str(caught.value)
    assert NEVER in said and "no value of its kind" in said and "nothing has changed" in said
    for option in pool.refused:
        assert f"`gluster volume reset home {option}`" in said
        del pool.options[option]
    assert not {"volume stop home", "volume reset home"} & set(pool.said)
    disable()
    assert pool.options == SHARD


@pytest.mark.parametrize("command", [plan.to_enable, plan.to_restart, plan.to_disable])
@pytest.mark.parametrize("replica", [1, 2])
def test_what_glusterd_would_refuse_is_refused_before_anything_is_done(
    pool: Pool, command: Callable[[str], plan.Plan], replica: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.replica = replica
    if command is not plan.to_enable:
        pool.options[options.OPTION] = "sdfs"
        pool.loaded = set(BRICKS)
        monkeypatch.setattr(plan, "current", lambda volume, brick, nodes: False)
    pool.tasks = ("Rebalance",)
    with pytest.raises(UserError, match=r"home is busy \(Rebalance\)"):
        command("home")
    pool.tasks, pool.sessions = (), ["ssh://n1::away"]
    with pytest.raises(UserError, match="`gluster volume geo-replication home ssh://n1::away stop"):
        command("home")
    pool.sessions, pool.lacks = [], frozenset({peer.FUSE})
    if replica == 2 and command is not plan.to_disable:
        with pytest.raises(UserError, match="node host0 cannot open /dev/fuse"):
            command("home")
    else:
        assert command("home")
    assert pool.said == []


def test_split_brain_is_not_waited_for(pool: Pool) -> None:
    pool.unhealed = gluster.Unhealed(0, 0, 3)
    with pytest.raises(UserError, match=r"in split-brain \(3\)"):
        plan.to_enable("home")


def test_no_brick_is_taken_down_while_one_lacks_data(pool: Pool) -> None:
    """While a large file is healed, nothing else may be pending."""
    pool.unhealed = gluster.Unhealed(healing=1)
    with pytest.raises(UserError, match="entries: 1 possibly undergoing heal; see `gluster volume"):
        enable()
    assert not any("reset-brick" in said for said in pool.said)


def test_bricks_of_one_node_share_a_process_whatever_the_node_is_called(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = gluster.Brick("host0.storage", "/brick9", "uuid0")
    elsewhere = gluster.Brick("host9", "/brick9", "uuid9")
    shared = {**{b: (b.node, 7) for b in BRICKS}, other: ("uuid0", 7), elsewhere: ("uuid9", 7)}
    monkeypatch.setattr(gluster, "processes", lambda: shared)
    with pytest.raises(UserError, match=f"{BRICKS[0]} and {other} share a process"):
        plan.to_enable("home")
    del shared[other]
    assert plan.to_enable("home")

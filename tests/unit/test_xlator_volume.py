"""What enable and disable plan, and the table that status prints."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from glupy_exporter import __version__
from glupy_exporter.errors import UserError
from glupy_exporter.operate import gluster, options, peer, plan, status
from glupy_exporter.schema import layout

BRICKS = tuple(gluster.Brick(f"host{n}", f"/brick{n}", f"uuid{n}") for n in range(3))


def make(
    replica: int = 1, disperse: int = 0, state: str = "Started", **options: str
) -> gluster.Volume:
    named = {name.replace("__", ".").replace("_", "-"): value for name, value in options.items()}
    bricks = BRICKS[: max(replica, disperse)]
    return gluster.Volume("home", "Kind", state, replica, disperse, bricks, named)


@pytest.mark.parametrize(
    ("made", "survives"),
    [
        (make(), False),
        (make(replica=2), True),
        (make(replica=3), True),
        (make(replica=3, cluster__quorum_type="auto"), True),
        (make(disperse=3), True),
        # One brick less and clients may not write.
        (make(replica=2, cluster__quorum_type="auto"), False),
        (make(replica=2, cluster__quorum_type="none"), True),
        (make(replica=3, cluster__quorum_type="fixed", cluster__quorum_count="2"), True),
        (make(replica=3, cluster__quorum_type="fixed", cluster__quorum_count="3"), False),
        (make(replica=3, cluster__quorum_type="fixed"), False),
    ],
)
def test_bricks_restart_one_at_a_time_where_clients_may_go_on_writing(
    made: gluster.Volume, survives: bool
) -> None:
    assert plan.survives_restart(made) is survives


def test_the_plan_of_a_rolling_enable_names_every_brick_in_order() -> None:
    made = make(replica=3)
    planned = plan.Plan(
        made, "enable", True, made.bricks[1:], {"host1:/brick1": 11}, gluster.Unhealed(7, 2)
    )
    assert planned.describe() == [
        "volume home (Kind, 3 bricks):",
        "  set user.xlator.glupy sdfs",
        "  wait until all entries are healed (7 waiting for heal, 2 possibly undergoing heal)",
        "  restart bricks one at a time; each is back, healed and reconnected to its clients "
        "before the next:",
        "    1. host1:/brick1 (pid 11)",
        "    2. host2:/brick2 (pid not running)",
        "  until its restart each of them ignores what `gluster volume set` changes, though that "
        "says success: change options before or afterwards",
    ]


def test_the_plan_of_a_disable_names_every_option_of_the_translator_and_no_other() -> None:
    made = make(
        user__xlator__glupy="sdfs",
        user__xlator__glupy__file_slots="64",
        user__xlator__glupy2="quota",
        nfs__disable="on",
    )
    text = "\n".join(plan.Plan(made, "disable", False, made.bricks).describe())
    assert "unset user.xlator.glupy (is sdfs)" in text
    assert "unset user.xlator.glupy.file-slots (is 64)" in text
    assert "glupy2" not in text and "nfs" not in text
    assert "I/O ON IT FAILS OR HANGS" in text


def test_the_plan_for_a_stopped_volume_restarts_nothing() -> None:
    planned = plan.Plan(make(state="Created"), "enable")
    assert planned.describe()[-1] == "  restart nothing: the volume is not started"


ROWS = [
    status.Row("home", "a:/b", True, True, "alive", "match", True, ""),
    status.Row("home", "long-name:/b", True, None, None, None, False, "node does not answer"),
]


def test_the_table_is_aligned() -> None:
    assert status.render(ROWS).splitlines() == [
        "VOLUME  BRICK         VOLFILE  LOADED  SEGMENT  VERSION  NOTE",
        "home    a:/b          yes      yes     alive    match",
        "home    long-name:/b  yes      -       -        -        node does not answer",
    ]


def test_json_has_every_field() -> None:
    first, second = json.loads(status.render_json(ROWS))
    assert first == {
        "volume": "home",
        "brick": "a:/b",
        "volfile": True,
        "loaded": True,
        "segment": "alive",
        "version": "match",
        "ok": True,
        "note": "",
    }
    assert second["loaded"] is None


def test_a_glusterfs_that_inserts_no_translators_is_refused() -> None:
    stamp = peer.Stamp("0.1.0", "9.2", layout.VERSION)
    nodes = {"uuid0": peer.Node("9.2", stamp)}
    with pytest.raises(UserError, match=r"runs GlusterFS 9\.2, whose .* to 10 or later"):
        plan._check_translators(make(), nodes)


def test_a_plan_without_bricks_to_restart_says_that_all_are_up_to_date() -> None:
    planned = plan.Plan(make(replica=3, user__xlator__glupy="sdfs"), "restart")
    assert planned.describe() == [
        "volume home (Kind, 3 bricks):",
        "  restart nothing: all bricks are up to date",
    ]


STAMP = peer.Stamp(__version__, "10.3", layout.VERSION)
INSTALLED = f"installed is {__version__} for GlusterFS 10.3: "
SEGMENT = str(options.segment_paths(make(), BRICKS[0])[-1])


def node(loaded: peer.Loaded | None) -> peer.Node:
    return peer.Node("10.3", STAMP, {SEGMENT: 7}, {7: loaded} if loaded else {})


def test_a_brick_is_current_if_it_runs_what_is_installed() -> None:
    made = make(user__xlator__glupy="sdfs")
    for same in (True, False):
        nodes = {"uuid0": node(peer.Loaded(STAMP, same))}
        assert plan.current(made, made.bricks[0], nodes) is same
    assert not plan.current(made, BRICKS[1], nodes), "it runs without the translator"
    with pytest.raises(UserError, match=r"node host0 .* older release; run .* install` there"):
        plan.current(made, made.bricks[0], {"uuid0": node(None)})


def test_a_name_of_the_bricks_own_says_more_than_one_that_two_may_have() -> None:
    made = make(user__xlator__glupy="sdfs")
    own, usual = map(str, options.segment_paths(make(), BRICKS[0]))
    both = peer.Node("10.3", STAMP, {usual: 7, own: 8}, {})
    assert plan.process(made, made.bricks[0], both) == 8


@pytest.mark.parametrize(
    ("loaded", "said"),
    [
        (peer.Loaded(STAMP, True), "match"),
        (
            peer.Loaded(peer.Stamp("0.0.9", "10.3", layout.VERSION), False),
            f"brick runs 0.0.9 for GlusterFS 10.3, {INSTALLED}run `xlator restart home`",
        ),
        (
            peer.Loaded(peer.Stamp("0.1.0", "10.3", layout.VERSION - 1), False),
            f"brick runs 0.1.0 for GlusterFS 10.3 with segment layout 1, {INSTALLED}"
            "run `xlator restart home`",
        ),
        (
            peer.Loaded(STAMP, False),
            f"brick runs another build, {INSTALLED}run ",
        ),
        (peer.Loaded(None, False), f"brick runs another, {INSTALLED}"),
        (None, "the translator that it runs is not known: run `xlator install` on its node"),
    ],
)
def test_the_version_is_that_of_what_the_brick_runs(loaded: peer.Loaded | None, said: str) -> None:
    made = make(user__xlator__glupy="sdfs")
    assert status._version(made, made.bricks[0], node(loaded)).startswith(said)


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> dict[str, peer.Node]:
    """A pool of three, the third of which is off, and what its nodes answer: nothing yet."""
    answers: dict[str, peer.Node] = {}
    members = {f"uuid{n}": gluster.Peer(f"host{n}", n < 2) for n in range(3)}
    monkeypatch.setattr(gluster, "this_node", lambda: "another")
    monkeypatch.setattr(gluster, "pool", lambda: members)
    monkeypatch.setattr(peer, "nodes", lambda: answers)
    monkeypatch.setattr(peer, "this_node", dict)
    return answers


def shown(
    monkeypatch: pytest.MonkeyPatch, made: gluster.Volume, online: int = 3
) -> list[status.Row]:
    """What status shows of a volume, the first ``online`` bricks of which run."""
    processes = {str(b): gluster.Process(n < online, 7) for n, b in enumerate(made.bricks)}
    monkeypatch.setattr(gluster, "volume", lambda name: made)
    monkeypatch.setattr(gluster, "status", lambda name: gluster.Status(processes, {}, ()))
    return status.rows(made.name)


def test_a_brick_that_is_down_is_not_well_without_the_translator_either(
    pool: dict[str, peer.Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.update({f"uuid{n}": peer.Node("10.3", STAMP) for n in range(2)})
    rows = shown(monkeypatch, make(replica=3), online=1)
    assert [row.ok for row in rows] == [True, False, False]
    assert rows[1].note == (
        "brick is offline: see its log, then run `gluster volume start home force`"
    )
    assert rows[2].note == "node host2 is not connected: bring it back"


@pytest.mark.parametrize("online", [1, 3])
@pytest.mark.parametrize(
    ("busy", "command", "said"),
    [
        ({"home"}, "disable", "a command on host0 works on it"),
        ((), "enable", "`xlator enable home` on host0 did not end: run it there again"),
        (
            (),
            "disable",
            "`xlator disable home` on host0 did not end: run it there again; until then do not "
            "start the volume, whose options may be reset",
        ),
    ],
)
def test_a_command_that_has_not_ended_is_named(
    pool: dict[str, peer.Node],
    monkeypatch: pytest.MonkeyPatch,
    online: int,
    busy: Collection[str],
    command: str,
    said: str,
) -> None:
    """Whatever the bricks do: options may be missing."""
    pool["uuid0"] = peer.Node("10.3", STAMP, busy=frozenset(busy), unfinished={"home": command})
    pool["uuid1"] = peer.Node("10.3", STAMP)
    rows = shown(monkeypatch, make(replica=3), online)
    assert {row.note for row in rows} == {said}
    assert not any(row.ok for row in rows)


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        ("", r"does not tell its GlusterFS's version, but 'nothing'"),
        ("git-0123abc", r"does not tell its GlusterFS's version, but 'git-0123abc'"),
        ("9dev", r"runs GlusterFS 9dev, whose .* to 10 or later"),
        ("10dev", None),
        ("20240101.0", None),
    ],
)
def test_a_node_with_an_unusual_version_is_named_or_works(
    version: str, problem: str | None
) -> None:
    nodes = {"uuid0": peer.Node(version, peer.Stamp("0.1.0", version, layout.VERSION))}
    if problem is None:
        plan._check_translators(make(), nodes)
        return
    with pytest.raises(UserError, match=f"node host0 .* {problem}"):
        plan._check_translators(make(), nodes)


def test_a_brick_that_ignores_options_is_told_apart(
    pool: dict[str, peer.Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its graph and its volfile differ: as after `volume reset`, and before its restart."""
    made = make()
    segments = {str(options.segment_paths(made, made.bricks[0])[0]): 7}
    pool["uuid0"] = peer.Node("10.3", STAMP, segments, {7: peer.Loaded(STAMP, True)})
    (row,) = shown(monkeypatch, made)
    assert not row.ok and row.note == (
        "brick ignores changed options, as it runs the translator and its volfile lacks it: run "
        "`xlator enable home`, which restarts nothing"
    )
    pool["uuid0"] = peer.Node("10.3", STAMP)
    (row,) = shown(monkeypatch, make(user__xlator__glupy="sdfs"))
    assert not row.ok and row.note == (
        "not loaded; brick ignores changed options if it has not been restarted since: run "
        "`xlator enable home` or see the brick's log"
    )


def test_a_node_without_the_script_is_named_and_not_the_others(
    pool: dict[str, peer.Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking() -> dict[str, peer.Node]:
        raise peer.NoScriptError(["host1"])

    monkeypatch.setattr(peer, "nodes", lacking)
    rows = shown(monkeypatch, make(replica=3, user__xlator__glupy="sdfs"))
    assert [row.note for row in rows] == [
        "cannot be told while host1 has no translator installed",
        "no translator is installed there: run `xlator install` on that node",
        "node host2 is not connected: bring it back",
    ]


def test_a_volume_is_not_disabled_while_a_node_is_off(
    pool: dict[str, peer.Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gluster, "volume", lambda name: make(3, user__xlator__glupy="sdfs"))
    with pytest.raises(UserError, match="node host2, which holds host2:/brick2, is not connected"):
        plan.to_disable("home")


def test_a_loop_of_links_is_a_directory_without_segments(tmp_path: Path) -> None:
    loop = tmp_path / "glupy"
    loop.symlink_to(loop)
    volume = make(user__xlator__glupy__segment_dir=str(loop))
    assert {path.parent for path in options.segment_paths(volume, BRICKS[0])} == {loop}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, ""),
        ({"user.xlator.glupy.half-life": "5", "user.mine": "x", "nfs.disable": "on"}, ""),
        (
            {"user.xlator.glupy.half-life": "5s"},
            "user.xlator.glupy.half-life '5s' is not a whole number from 1 to 3600, so it has no "
            "effect",
        ),
        (
            {"user.xlator.glupy.half-live": "5"},
            "user.xlator.glupy.half-live is not an option of this release, so it has no effect",
        ),
    ],
)
def test_an_option_that_glusterd_took_in_vain_is_named(
    pool: dict[str, peer.Node], monkeypatch: pytest.MonkeyPatch, given: dict[str, str], said: str
) -> None:
    made = make(user__xlator__glupy="sdfs")
    made = replace(made, options={**made.options, **given})
    segments = {str(options.segment_paths(made, made.bricks[0])[0]): 7}
    pool["uuid0"] = peer.Node("10.3", STAMP, segments, {7: peer.Loaded(STAMP, True)})
    (row,) = shown(monkeypatch, made)
    assert (row.ok, row.note) == (not said, said)

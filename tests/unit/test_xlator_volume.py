"""What enable and disable plan, and the table that status prints."""

from __future__ import annotations

import json

import pytest

from glupy_exporter.errors import UserError
from glupy_exporter.segment import layout
from glupy_exporter.xlator import gluster, peer, status, volume

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
    assert volume.survives_restart(made) is survives


def test_the_plan_of_a_rolling_enable_names_every_brick_in_order() -> None:
    made = make(replica=3)
    plan = volume.Plan(made, True, True, made.bricks[1:], {"host1:/brick1": 11})
    assert plan.describe() == [
        "volume home (Kind, 3 bricks):",
        "  set user.xlator.glupy sdfs",
        "  restart bricks one at a time; each is back, healed and reconnected to its clients "
        "before the next:",
        "    1. host1:/brick1 (pid 11)",
        "    2. host2:/brick2 (pid not running)",
    ]


def test_the_plan_of_a_disable_names_every_option_of_the_translator_and_no_other() -> None:
    made = make(
        user__xlator__glupy="sdfs",
        user__xlator__glupy__file_slots="64",
        user__xlator__glupy2="quota",
        nfs__disable="on",
    )
    text = "\n".join(volume.Plan(made, False, False, made.bricks).describe())
    assert "unset user.xlator.glupy (is sdfs)" in text
    assert "unset user.xlator.glupy.file-slots (is 64)" in text
    assert "glupy2" not in text and "nfs" not in text
    assert "I/O ON IT FAILS OR HANGS" in text


def test_the_plan_for_a_stopped_volume_restarts_nothing() -> None:
    plan = volume.Plan(make(state="Created"), True)
    assert plan.describe()[-1] == "  restart nothing: the volume is not started"


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
    nodes = {"uuid0": peer.Node("9.2", stamp, {})}
    with pytest.raises(UserError, match=r"runs GlusterFS 9\.2, whose .* to 10 or later"):
        volume._check_nodes(make(), nodes)

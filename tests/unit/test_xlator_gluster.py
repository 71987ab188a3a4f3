"""What is read out of gluster's XML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from glupy_exporter.operate import gluster

INFO = """<cliOutput><opRet>0</opRet><volInfo><volumes><volume>
<name>home</name><status>1</status><statusStr>Started</statusStr><brickCount>6</brickCount>
<replicaCount>3</replicaCount><arbiterCount>1</arbiterCount><disperseCount>0</disperseCount>
<typeStr>Distributed-Replicate</typeStr>
<bricks>{bricks}</bricks>
<options><option><name>nfs.disable</name><value>on</value></option></options>
</volume><count>1</count></volumes></volInfo></cliOutput>"""


def volume(*names: str) -> gluster.Volume:
    bricks = "".join(
        f'<brick uuid="u{n}">{name}<name>{name}</name><hostUuid>u{n}</hostUuid></brick>'
        for n, name in enumerate(names)
    )
    (parsed,) = gluster.parse_volumes(ElementTree.fromstring(INFO.format(bricks=bricks)))
    return parsed


def test_volume() -> None:
    parsed = volume("a:/b 1", "fd00::2:/b2", "c:/b:3", "a:/b4", "b:/b5", "c:/b6")
    assert parsed.name == "home" and parsed.kind == "Distributed-Replicate"
    assert parsed.started and parsed.redundant
    assert (parsed.replica, parsed.disperse) == (3, 0)
    assert parsed.options == {"nfs.disable": "on"}
    assert parsed.bricks[:3] == (
        gluster.Brick("a", "/b 1", "u0"),
        gluster.Brick("fd00::2", "/b2", "u1"),
        gluster.Brick("c", "/b:3", "u2"),
    )
    assert [str(brick) for brick in parsed.bricks[1:3]] == ["fd00::2:/b2", "c:/b:3"]


def test_siblings_are_the_rest_of_the_replica_set() -> None:
    parsed = volume("a:/1", "b:/2", "c:/3", "a:/4", "b:/5", "c:/6")
    assert parsed.siblings(parsed.bricks[1]) == (parsed.bricks[0], parsed.bricks[2])
    assert parsed.siblings(parsed.bricks[3]) == parsed.bricks[4:]


def test_status_of_bricks_healers_and_tasks() -> None:
    parsed = gluster.parse_status(
        ElementTree.fromstring(
            """<cliOutput><volStatus><volumes><volume><volName>home</volName>
            <node><hostname>a</hostname><path>/b</path><peerid>u0</peerid>
                <status>1</status><pid>7</pid></node>
            <node><hostname>b</hostname><path>/b</path><peerid>u1</peerid>
                <status>0</status><pid>-1</pid></node>
            <node><hostname>Self-heal Daemon</hostname><path>localhost</path><peerid>u0</peerid>
                <status>1</status><pid>9</pid></node>
            <tasks><task><type>Rebalance</type><statusStr>in progress</statusStr></task>
                <task><type>Remove brick</type><statusStr>completed</statusStr></task></tasks>
            </volume></volumes></volStatus></cliOutput>"""
        )
    )
    assert parsed.bricks == {"a:/b": gluster.Process(True, 7), "b:/b": gluster.Process(False, 0)}
    assert parsed.healers == {"u0": gluster.Process(True, 9)}
    assert parsed.tasks == ("Rebalance",)


def test_clients_by_brick() -> None:
    parsed = gluster.parse_clients(
        ElementTree.fromstring(
            """<cliOutput><node><hostname>a</hostname><path>/b</path>
            <clientsStatus><clientCount>3</clientCount></clientsStatus></node></cliOutput>"""
        )
    )
    assert parsed == {"a:/b": 3}


SUMMARY = """<cliOutput><healInfo><bricks>
    <brick><status>Connected</status><totalNumberOfEntries>3</totalNumberOfEntries>
        <numberOfEntriesInHealPending>2</numberOfEntriesInHealPending>
        <numberOfEntriesInSplitBrain>0</numberOfEntriesInSplitBrain>
        <numberOfEntriesPossiblyHealing>1</numberOfEntriesPossiblyHealing></brick>
    <brick><status>{status}</status><totalNumberOfEntries>-</totalNumberOfEntries>
        <numberOfEntriesInHealPending>-</numberOfEntriesInHealPending>
        <numberOfEntriesInSplitBrain>5</numberOfEntriesInSplitBrain>
        <numberOfEntriesPossiblyHealing>-</numberOfEntriesPossiblyHealing></brick>
    </bricks></healInfo></cliOutput>"""


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Connected", gluster.Unhealed(pending=2, healing=1, split_brain=5)),
        ("Transport endpoint is not connected", None),
    ],
)
def test_unhealed_counts_all_bricks_or_cannot_tell(
    status: str, expected: gluster.Unhealed | None
) -> None:
    root = ElementTree.fromstring(SUMMARY.format(status=status))
    assert gluster.parse_unhealed(root) == expected


def test_what_is_unhealed_in_words() -> None:
    assert not gluster.Unhealed()
    assert gluster.Unhealed(healing=1), "a brick lacks part of it"
    assert str(gluster.Unhealed(2, 0, 5)) == "2 waiting for heal, 5 in split-brain"


def test_geo_replication_that_is_not_stopped() -> None:
    pairs = "".join(
        f"<pair><{side}>ssh://{host}::away</{side}><status>{status}</status></pair>"
        for side, host, status in (
            ("secondary", "n1", "Active"),
            ("secondary", "n1", "Passive"),
            ("secondary", "n2", "Stopped"),
            ("secondary", "n3", "Created"),
            ("slave", "n4", "Faulty"),
        )
    )
    root = ElementTree.fromstring(f"<cliOutput><geoRep>{pairs}</geoRep></cliOutput>")
    assert gluster.parse_geo_replication(root) == ["ssh://n1::away", "ssh://n4::away"]


STAND_IN = """#!/bin/sh
case $3 in
hang) exec sleep 600 ;;
die) kill -9 $$ ;;
esac
echo "Error : Request timed out"
exit 1
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `gluster` that gives up at once, or hangs."""
    program = tmp_path / "gluster"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    monkeypatch.setattr(gluster, "_PROGRAM", (str(program), "--mode=script"))


@pytest.mark.usefixtures("stand_in")
def test_a_gluster_that_gives_up_is_no_refusal() -> None:
    with pytest.raises(gluster.GaveUpError, match="`gluster volume stop home` gave up waiting"):
        gluster.command("volume", "stop", "home")
    with pytest.raises(gluster.GaveUpError, match="`gluster hang` did not end in 0 s"):
        gluster.command("hang", seconds=0.2)
    with pytest.raises(gluster.GaveUpError, match="`gluster die` was ended by signal 9"):
        gluster.command("die")
    with pytest.raises(gluster.UndecidedError):
        gluster.geo_replication("home")


def test_a_slow_look_for_what_to_heal_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """`gluster` has no time limit for it, so ours is one against a hang only."""
    limits: list[float] = []

    def run(words: Sequence[str], seconds: float = 0) -> str:
        limits.append(seconds)
        return "<cliOutput/>"

    monkeypatch.setattr(gluster, "_run", run)
    gluster.unhealed("home")
    gluster.set_granular_entry_heal("home", True)
    assert min(limits) > 3600


def test_global_options() -> None:
    root = ElementTree.fromstring(
        "<cliOutput><volGetopts><Opt><Option>cluster.brick-multiplex</Option>"
        "<Value>disable (DEFAULT)</Value></Opt></volGetopts></cliOutput>"
    )
    assert gluster.parse_options(root) == {"cluster.brick-multiplex": "disable"}

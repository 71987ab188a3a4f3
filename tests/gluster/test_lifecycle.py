"""What happens to a brick and its segment when options, processes and graphs change."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from glupy_exporter.schema import layout
from glupy_exporter.segment.records import Brick
from tests.gluster.compare import assert_equal, read_counts, settled
from tests.support.gluster.volumes import HOST, RUN, Volume, gluster, heal, volume, wait_for

OPTION = "user.xlator.glupy"

DEFAULTS = {
    f"{OPTION}.enabled": "on",
    f"{OPTION}.file-slots": str(layout.FILE_SLOTS_DEFAULT),
    f"{OPTION}.client-slots": str(layout.CLIENT_SLOTS_DEFAULT),
    f"{OPTION}.segment-dir": "/run/gluster/glupy",
}
"""glusterd resets no single option of the user namespace: tests set them back to these."""


@pytest.fixture(scope="module")
def plain(xlator: None) -> Iterator[Volume]:
    """One brick for the tests that leave it as they found it."""
    with volume(bricks=1) as made:
        yield made


def only_brick(subject: Volume) -> Path:
    (brick,) = subject.bricks
    return brick


def identity(subject: Volume) -> Brick:
    with subject.segment(only_brick(subject)) as segment:
        return segment.brick()


def slots(subject: Volume) -> tuple[int, int]:
    """File and client slots of the only brick's segment."""
    with subject.segment(only_brick(subject)) as segment:
        return len(segment.file_table().tags), len(segment.client_table().tags)


def writes(subject: Volume) -> int:
    """Writes that the only brick has counted."""
    return read_counts(subject, only_brick(subject)).fops.get("write", 0)


def write(mount: Path, times: int) -> None:
    """Issue exactly ``times`` write fops."""
    with (mount / "file").open("wb", buffering=0) as file:
        for _ in range(times):
            file.write(b"x" * 100)


def errors_logged(subject: Volume) -> list[str]:
    """The translator's own error lines in the brick's log."""
    lines = subject.log(only_brick(subject)).splitlines()
    return [line for line in lines if re.search(r"\] E \[.*-glupy: ", line)]


def test_fails_open(xlator: None, tmp_path: Path) -> None:
    """Without a segment a brick starts and works, and says why in one line."""
    (tmp_path / "file").touch()
    impossible = tmp_path / "file" / "segments"
    with volume(bricks=1, options={f"{OPTION}.segment-dir": str(impossible)}) as subject:
        with subject.mount() as mount:
            write(mount, 5)
            assert (mount / "file").stat().st_size == 500
            (line,) = errors_logged(subject)
            assert f"{impossible}: Not a directory" in line
            assert not subject.segment_path(only_brick(subject)).exists()
            (profile,) = subject.profile().values()
            assert profile.fops["write"] == 5

            # Mended while the brick runs.
            pid = subject.pid(only_brick(subject))
            subject.set_options(DEFAULTS)
            wait_for(subject.segment_path(only_brick(subject)).exists, "the segment")
            write(mount, 5)
        assert settled(subject)[only_brick(subject)][1].fops["write"] == 5
        assert subject.pid(only_brick(subject)) == pid


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("file-slots", "banana"),
        ("file-slots", str(layout.FILE_SLOTS_MAX + 1)),
        ("file-slots", "-8"),
        ("client-slots", "8.5"),
        ("enabled", "perhaps"),
        ("segment-dir", "not/absolute"),
    ],
)
def test_a_bad_value_is_refused(plain: Volume, option: str, value: str) -> None:
    before = identity(plain), slots(plain)
    plain.set_options({f"{OPTION}.{option}": value})
    wait_for(lambda: f'option {option}: "{value}" is not ' in plain.log(only_brick(plain)), "a log")
    with plain.mount() as mount:
        count = writes(plain)
        write(mount, 3)
        assert writes(plain) == count + 3
    after = identity(plain), slots(plain)
    plain.set_options(DEFAULTS)
    assert after[1] == before[1]
    assert after[0].created == before[0].created, "the segment was made anew"
    assert after[0].numbers["enabled"]


def test_bad_values_do_not_keep_a_brick_from_starting(xlator: None) -> None:
    options = {
        f"{OPTION}.file-slots": "banana",
        f"{OPTION}.client-slots": "0",
        f"{OPTION}.enabled": "perhaps",
        f"{OPTION}.segment-dir": "not/absolute",
    }
    with volume(bricks=1, options=options) as subject:
        assert identity(subject).numbers["enabled"]
        assert slots(subject) == (layout.FILE_SLOTS_DEFAULT, layout.CLIENT_SLOTS_DEFAULT)
        assert len(errors_logged(subject)) == len(options)


def test_counting_off_and_on_at_run_time(plain: Volume) -> None:
    pid = plain.pid(only_brick(plain))
    with plain.mount() as mount:
        plain.set_options({f"{OPTION}.enabled": "off"})
        wait_for(lambda: not identity(plain).numbers["enabled"], "counting to be off")
        count = writes(plain)
        write(mount, 5)
        assert writes(plain) == count
        plain.set_options({f"{OPTION}.enabled": "on"})
        wait_for(lambda: identity(plain).numbers["enabled"], "counting to be on")
        write(mount, 7)
        assert writes(plain) == count + 7
    assert plain.pid(only_brick(plain)) == pid
    assert read_counts(plain, only_brick(plain)).in_flight == 0


def test_slots_change_at_run_time(plain: Volume) -> None:
    pid, created = plain.pid(only_brick(plain)), identity(plain).created
    with plain.mount() as mount:
        plain.set_options({f"{OPTION}.file-slots": "1000", f"{OPTION}.client-slots": "16"})
        wait_for(lambda: slots(plain) == (1024, 16), "a segment of the new shape")
        write(mount, 4)
        assert writes(plain) == 4, "the new segment counts from nothing"
    fresh = identity(plain)
    assert fresh.alive
    assert fresh.created > created
    assert plain.pid(only_brick(plain)) == pid
    plain.set_options(DEFAULTS)
    default = layout.FILE_SLOTS_DEFAULT, layout.CLIENT_SLOTS_DEFAULT
    wait_for(lambda: slots(plain) == default, "the default shape")


def test_killed_brick(plain: Volume) -> None:
    before = identity(plain)
    assert before.alive
    assert before.pid == plain.kill(only_brick(plain))
    # The main thread may be gone before the others have let go of the segment.
    wait_for(lambda: not identity(plain).alive, "the segment to be dead")
    assert identity(plain).pid == before.pid

    plain.start(force=True)
    wait_for(lambda: identity(plain).alive, "a live segment")
    assert identity(plain).pid == plain.pid(only_brick(plain)) != before.pid
    with plain.mount() as mount:
        write(mount, 3)
    assert_equal(*settled(plain)[only_brick(plain)])


def test_volume_stop_and_start(plain: Volume) -> None:
    before = identity(plain)
    plain.stop()
    wait_for(lambda: not identity(plain).alive, "the segment to be dead")
    plain.start()
    wait_for(lambda: identity(plain).alive, "a live segment")
    assert identity(plain).created > before.created


def test_deleted_segment_is_made_again(plain: Volume) -> None:
    plain.segment_path(only_brick(plain)).unlink()
    with plain.mount() as mount:
        wait_for(plain.segment_path(only_brick(plain)).exists, "a new segment")
        write(mount, 3)
        assert writes(plain) == 3
    assert identity(plain).alive


def test_statedump(plain: Volume) -> None:
    brick = only_brick(plain)
    pid = plain.pid(brick)
    assert pid
    with plain.mount() as mount:
        write(mount, 1)
    os.kill(pid, signal.SIGUSR1)
    pattern = f"*.{pid}.dump.*"
    wait_for(lambda: any("DUMP-END" in f.read_text() for f in RUN.glob(pattern)), "a dump")
    (dump,) = RUN.glob(pattern)
    text = dump.read_text()
    dump.unlink()
    section = text.partition(f"[user/glupy.{plain.name}-glupy]\n")[2].partition("\n\n")[0]
    values = dict(line.rsplit("=", 1) for line in section.splitlines())
    values = {key.rsplit(".", 1)[-1]: value for key, value in values.items()}
    assert plain.segment_path(brick).samefile(values["segment"])
    assert values["enabled"] == "1"
    assert values["file-slots"] == str(layout.FILE_SLOTS_DEFAULT)
    assert int(values["fops-started"]) >= int(values["fops-completed"]) > 0
    assert int(values["clients-tracked"]) == 1


def test_clients_switch_graphs(plain: Volume) -> None:
    """A client that gets a new graph connects anew; the brick's counts go on."""
    plain.stop()
    plain.start()  # so that profile and segment count from the same moment
    with plain.mount("direct-io-mode=enable") as mount:
        for value in ("on", "off", "on", "off"):
            plain.set_options({"performance.quick-read": value})
            write(mount, 5)
    assert_equal(*settled(plain)[only_brick(plain)])


def test_profile_switched_during_load(plain: Volume) -> None:
    """``volume profile`` may come and go; we count every write."""
    with plain.mount() as mount:
        count = writes(plain)
        for _ in range(5):
            gluster("volume", "profile", plain.name, "stop")
            write(mount, 10)
            gluster("volume", "profile", plain.name, "start")
            write(mount, 10)
        assert writes(plain) == count + 100


def test_reset_brick(xlator: None) -> None:
    with volume("replica", "2", bricks=2) as subject:
        replaced = subject.bricks[1]
        with subject.mount() as mount:
            write(mount, 5)
            name = f"{HOST}:{replaced}"
            gluster("volume", "reset-brick", subject.name, name, "start")
            wait_for(lambda: not subject.pid(replaced), "the brick to be down")
            with subject.segment(replaced) as segment:
                wait_for(lambda: not segment.brick().alive, "the segment to be dead")
            wait_for(lambda: not subject.connected(mount, replaced), "the client to notice")
            write(mount, 5)
            gluster("volume", "reset-brick", subject.name, name, name, "commit", "force")
            wait_for(lambda: subject.pid(replaced), "the brick to be up")
            heal(subject)
        with subject.mount() as mount:
            write(mount, 5)
        with subject.segment(replaced) as segment:
            assert segment.brick().alive
            assert segment.brick().pid == subject.pid(replaced)
        for profile, counts in settled(subject).values():
            assert_equal(profile, counts)
            assert counts.fops["write"] >= 5

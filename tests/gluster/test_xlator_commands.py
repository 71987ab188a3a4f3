"""The commands that install the translator and put it into bricks, on real volumes."""

from __future__ import annotations

import contextlib
import errno
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from glupy_exporter.builder import build
from glupy_exporter.operate import install, peer, unfinished
from glupy_exporter.operate.gluster import Brick
from glupy_exporter.operate.gluster import volume as find_volume
from glupy_exporter.state import records, volumes
from tests.support.gluster.volumes import HOST, Volume, gluster, pending_heals, volume, wait_for

OPTION = "user.xlator.glupy"


def command(*words: str, status: int = 0) -> str:
    """What ``glupy-exporter xlator WORDS`` prints; its exit code must be ``status``."""
    done = subprocess.run(
        [sys.executable, "-m", "glupy_exporter.cli", "xlator", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == status, done.stdout
    assert "Traceback" not in done.stdout
    return done.stdout


def rows(made: Volume, status: int = 0) -> list[dict[str, Any]]:
    found = json.loads(command("status", made.name, "--json", status=status))
    assert isinstance(found, list)
    return found


def options(made: Volume) -> dict[str, str]:
    """What ``volume info`` shows below "Options Reconfigured", but for its order."""
    lines = gluster("volume", "info", made.name).partition("Options Reconfigured:")[2].splitlines()
    # Options of the whole pool show up with every volume, whoever set them meanwhile.
    return dict(line.split(": ", 1) for line in lines if ": " in line and "multiplex" not in line)


def pids(made: Volume) -> list[int | None]:
    return [made.pid(brick) for brick in made.bricks]


def volfile(made: Volume, brick: Path) -> str:
    dashed = str(brick).replace("/", "-")[1:]
    return Path(f"/var/lib/glusterd/vols/{made.name}/{made.name}.{HOST}.{dashed}.vol").read_text()


@contextlib.contextmanager
def kept(path: Path) -> Iterator[None]:
    """Whatever the block does to a file, afterwards it is as before."""
    before = path.read_bytes() if path.exists() else None
    mode = path.stat().st_mode & 0o777 if path.exists() else 0
    try:
        yield
    finally:
        if before is None:
            path.unlink(missing_ok=True)
        else:
            temporary = path.with_name(f".{path.name}.kept")
            temporary.write_bytes(before)
            temporary.chmod(mode)
            temporary.replace(path)


@pytest.fixture(scope="module")
def installed(xlator: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The translator and the peer script, installed by the command itself."""
    directory = tmp_path_factory.mktemp("built")
    build.build(directory)
    with kept(install.library()), kept(install.peer_script()):
        assert f"installed {install.library()}" in command("install", "--from", str(directory))
        yield


class Writer(threading.Thread):
    """Makes, renames, rewrites and reads files in a mount until it is told to stop."""

    def __init__(self, mount: Path) -> None:
        super().__init__()
        self.mount = mount
        self.stop = threading.Event()
        self.rounds = 0
        self.errors: list[OSError | AssertionError] = []

    def run(self) -> None:
        held = (self.mount / "held").open("w+b", buffering=0)
        while not self.stop.is_set():
            content = b"%020d" % self.rounds
            target = self.mount / f"file{self.rounds % 20}"
            try:
                temporary = target.with_suffix(".new")
                temporary.write_bytes(content)
                temporary.rename(target)
                assert target.read_bytes() == content
                held.seek(0)
                held.write(content)
                held.seek(0)
                assert held.read(20) == content
            except (OSError, AssertionError) as error:
                self.errors.append(error)
            self.rounds += 1
            self.stop.wait(0.02)
        held.close()

    def __enter__(self) -> Writer:
        self.start()
        wait_for(lambda: self.rounds, "the writer to write")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.join()


def test_clients_do_not_see_a_replicated_volume_being_enabled(installed: None) -> None:
    with volume("replica", "2", bricks=2, counted=False) as made:
        options_before, pids_before = options(made), pids(made)
        with made.mount() as mount:
            with Writer(mount) as writer:
                said = command("enable", made.name, "--yes")
            assert writer.errors == []
            assert writer.rounds > 20
            first = [f"{HOST}:{brick}" for brick in made.bricks]
            assert said.index(f"1. {first[0]} (pid {pids_before[0]})") < said.index(
                f"2. {first[1]}"
            )
            assert "one at a time" in said
            assert not set(pids(made)) & set(pids_before), "both bricks were restarted"
            assert pending_heals(made) == 0
            names = sorted(path.name for path in mount.iterdir())
            for brick in made.bricks:
                assert sorted(p.name for p in brick.iterdir() if p.name[0] != ".") == names
                for name in names:
                    assert (brick / name).read_bytes() == (mount / name).read_bytes()
        for row, brick in zip(rows(made), made.bricks):
            assert row["ok"] and row["volfile"] and row["loaded"] and row["version"] == "match"
            assert row["segment"] == "alive"
            with made.segment(brick) as segment:
                assert segment.brick().pid == made.pid(brick)
        assert "has the translator already" in command("enable", made.name, "--yes", status=2)

        # The file-slots option must go too, and values with blanks must survive.
        gluster("volume", "set", made.name, f"{OPTION}.file-slots", "64", "user.note", "a b")
        command("disable", made.name, "--yes")
        expected = {**options_before, "user.note": "a b"}
        # GlusterFS has no way to write the value "on" of this one again.
        assert options(made) == {**expected, "cluster.granular-entry-heal": "enable"}
        assert all("user/glupy" not in volfile(made, brick) for brick in made.bricks)
        assert not any(made.segment_path(brick).exists() for brick in made.bricks)
        assert [row["loaded"] for row in rows(made)] == [False, False]
        assert "nothing to disable" in command("disable", made.name, "--yes", status=2)


def test_a_dispersed_volume_is_enabled_brick_by_brick(installed: None) -> None:
    kind = ("disperse", "3", "redundancy", "1")
    with volume(*kind, bricks=3, counted=False) as made:
        before = pids(made)
        with made.mount() as mount:
            (mount / "file").write_bytes(b"content")
            with Writer(mount) as writer:
                command("enable", made.name, "--yes")
            assert writer.errors == []
            assert (mount / "file").read_bytes() == b"content"
        assert not set(pids(made)) & set(before)
        assert all(row["ok"] and row["loaded"] for row in rows(made))


def test_a_distributed_volume_is_stopped_and_started(installed: None) -> None:
    with volume(bricks=2, counted=False) as made:
        before = options(made)
        said = command("enable", made.name, "--yes")
        assert "I/O ON IT FAILS OR HANGS" in said
        assert all(row["ok"] and row["loaded"] for row in rows(made))
        assert options(made) == {**before, OPTION: "sdfs"}
        command("disable", made.name, "--yes")
        assert options(made) == before
        assert all(pids(made))


def test_a_volume_that_does_not_run_is_not_started(installed: None) -> None:
    with volume("replica", "2", bricks=2, counted=False, start=False) as made:
        before = options(made)
        assert "restart nothing" in command("enable", made.name, "--yes")
        assert all("type user/glupy" in volfile(made, brick) for brick in made.bricks)
        assert pids(made) == [None, None]
        command("disable", made.name, "--yes")
        assert options(made) == before


def test_the_translator_is_directly_under_io_stats_whatever_is_switched_on(installed: None) -> None:
    with volume(bricks=1, counted=False, start=False) as made:
        for switched_on in ({}, {"features.sdfs": "on", "network.compression": "on"}):
            made.set_options(switched_on)
            if not switched_on:
                command("enable", made.name, "--yes")
            lines = [line.split() for line in volfile(made, made.bricks[0]).splitlines() if line]
            types = [words[1] for words in lines if words[0] == "type"]
            assert types[-3:] == ["user/glupy", "debug/io-stats", "protocol/server"]
        assert "features/sdfs" in types


def test_an_enabling_that_stopped_half_way_goes_on_with_what_is_left(installed: None) -> None:
    with volume("replica", "2", bricks=2, counted=False) as made:
        done, left = made.bricks
        gluster("volume", "set", made.name, OPTION, "sdfs")
        made.kill(done)
        made.start(force=True)
        wait_for(made.segment_path(done).exists, "the first brick to have the translator")
        wait_for(lambda: pending_heals(made) == 0, "all bricks to be connected")
        before = made.pid(done)
        assert [row["loaded"] for row in rows(made, status=1)] == [True, False]
        said = command("enable", made.name, "--yes")
        assert f"1. {HOST}:{left}" in said and str(done) not in said
        assert made.pid(done) == before
        assert all(row["ok"] for row in rows(made))


PROGRAM = ("-m", "glupy_exporter.cli")
# Its standby waits for ten seconds, not for ten minutes.
IMPATIENT = (
    "-c",
    "import sys; from glupy_exporter import cli; from glupy_exporter.operate import unfinished; "
    "unfinished.STANDBY_SECONDS, unfinished._STEP_SECONDS = 10.0, 1.0; sys.exit(cli.main())",
)


class Running:
    """``glupy-exporter xlator WORDS`` while it runs."""

    def __init__(self, *words: str, program: Sequence[str] = PROGRAM) -> None:
        self.said = ""
        self.process = subprocess.Popen(
            [sys.executable, *program, "xlator", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until(self, text: str) -> None:
        """Read on until a line has ``text``."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.said += line
            if text in line:
                return
        pytest.fail(f"it ended without {text!r}: {self.said}")

    def end(self) -> int:
        """Read the rest and return the exit code."""
        self.said += self.process.communicate(timeout=200)[0]
        return self.process.returncode


@pytest.mark.parametrize(
    ("number", "step"),
    [
        (signal.SIGINT, "restarting "),
        (signal.SIGTERM, " is down"),
        (signal.SIGHUP, " is back; waiting"),
        (signal.SIGKILL, "restarting "),
        (signal.SIGKILL, " is down"),
        (signal.SIGKILL, " is back; waiting"),
    ],
)
def test_an_interrupted_enable_leaves_no_brick_down(
    installed: None, number: signal.Signals, step: str
) -> None:
    with volume("replica", "2", bricks=2, counted=False) as made:
        with made.mount() as mount, Writer(mount) as writer:
            running = Running("enable", made.name, "--yes")
            running.until(step)
            running.process.send_signal(number)
            code = running.end()
            if number == signal.SIGKILL:
                assert code == -number
            else:
                assert code == 128 + number
                assert f"interrupted by {number.name}" in running.said
                assert f"Run `xlator enable {made.name}` again" in running.said
                assert all(pids(made)), "it ended before the brick was back"
            wait_for(lambda: all(pids(made)), "all bricks to be back", 60)
            note = peer.STATE / f"{made.name}.json"
            wait_for(lambda: not note.exists(), "nothing to be left to do", 60)
            command("enable", made.name, "--yes")
        assert writer.errors == []
        assert all(row["ok"] and row["loaded"] for row in rows(made))


@pytest.mark.parametrize("step", ["stopping ", "unset ", "setting the other options back"])
def test_a_disable_that_is_killed_leaves_the_volume_as_it_was_or_without_the_translator(
    installed: None, step: str
) -> None:
    with volume("replica", "2", bricks=2, options={"user.note": "a b"}) as made:
        before = options(made)
        running = Running("disable", made.name, "--yes")
        running.until(step)
        running.process.send_signal(signal.SIGKILL)
        assert running.end() == -signal.SIGKILL
        note = peer.STATE / f"{made.name}.json"
        wait_for(lambda: not note.exists(), "nothing to be left to do", 100)
        assert all(pids(made))
        # glusterd says "on" or "enable" of what was switched on by one command or another.
        granular = {"cluster.granular-entry-heal": "enable"}
        now = options(made)
        if OPTION in now:
            assert {**now, **granular} == {**before, **granular}
            command("disable", made.name, "--yes")
            now = options(made)
        del before[OPTION]
        assert {**now, **granular} == {**before, **granular}
        assert all(pids(made))


def test_a_disable_that_is_stopped_does_not_go_on_once_its_volume_is_in_use(
    installed: None,
) -> None:
    """Else the reset would come when the volume is back."""
    with volume("replica", "2", bricks=2, options={"auth.allow": "127.0.0.*"}) as made:
        before = options(made)
        running = Running("disable", made.name, "--yes", program=IMPATIENT)
        running.until("stopping ")
        wait_for(lambda: not any(pids(made)), "the volume to be stopped")
        running.process.send_signal(signal.SIGSTOP)
        note = peer.STATE / f"{made.name}.json"
        wait_for(lambda: not note.exists(), "nothing to be left to do", 100)
        assert running.end() == -signal.SIGKILL
        assert all(pids(made))
        assert options(made)["auth.allow"] == before["auth.allow"]


def test_a_machine_that_ended_meanwhile_leaves_it_to_the_next_command(installed: None) -> None:
    """Neither the command nor its standby lived on."""
    with volume("replica", "2", bricks=2) as made:
        brick = gluster_brick(made, 0)
        gluster("volume", "reset-brick", made.name, str(brick), "start")
        wait_for(lambda: not made.pid(made.bricks[0]), "the brick to be down")
        unfinished.write(unfinished.Work(made.name, "restart", brick))
        first, _ = rows(made, status=1)
        assert f"`xlator restart {made.name}` on localhost did not end" in first["note"]
        said = command("restart", made.name, "--dry-run")
        assert f"`xlator restart {made.name}` has not ended: {brick} is to be brought" in said
        assert made.pid(made.bricks[0]) is None
        command("restart", made.name, "--yes")
        assert all(pids(made))
        assert not (peer.STATE / f"{made.name}.json").exists()


def gluster_brick(made: Volume, number: int) -> Brick:
    """A brick of the volume as the commands know it."""
    return find_volume(made.name).bricks[number]


def test_of_two_commands_on_a_volume_one_is_refused(installed: None) -> None:
    with volume("replica", "2", bricks=2, counted=False) as made:
        running = Running("enable", made.name, "--yes")
        running.until("restarting ")
        said = command("enable", made.name, "--yes", status=2)
        assert f"another `glupy-exporter xlator` works on {made.name}, on this node" in said
        assert "a command on localhost works on it" in command("status", made.name, status=1)
        assert running.end() == 0, running.said


def test_bricks_are_brought_to_the_installed_translator(installed: None) -> None:
    with volume("replica", "2", bricks=2) as made:
        assert "up to date" in command("restart", made.name, "--yes")
        before = pids(made)
        with kept(install.library()):
            # Any other content is another translator.
            newer = install.library().with_suffix(".newer")
            newer.write_bytes(install.library().read_bytes() + b"\0")
            newer.replace(install.library())
            for row in rows(made, status=1):
                assert f"run `xlator restart {made.name}`" in row["version"]
            assert f"`xlator restart {made.name}`" in command("enable", made.name, status=2)
            with made.mount() as mount, Writer(mount) as writer:
                command("restart", made.name, "--yes")
            assert writer.errors == []
            assert not set(pids(made)) & set(before)
            assert all(row["ok"] for row in rows(made))
            after = pids(made)
            made.kill(made.bricks[1])
            made.start(force=True)
            assert "up to date" in command("restart", made.name, "--yes")
            assert pids(made)[0] == after[0]


def test_a_dry_run_and_a_missing_yes_change_nothing(installed: None) -> None:
    with volume("replica", "2", bricks=2, counted=False) as made:
        before = options(made), pids(made)
        assert f"set {OPTION} sdfs" in command("enable", made.name, "--dry-run")
        assert "use --yes" in command("enable", made.name, status=2)
        assert (options(made), pids(made)) == before
        command("enable", made.name, "--yes")
        before = options(made), pids(made)
        assert f"unset {OPTION}" in command("disable", made.name, "--dry-run")
        assert "use --yes" in command("disable", made.name, status=2)
        assert (options(made), pids(made)) == before


def test_enable_refuses_what_it_could_not_end(installed: None) -> None:
    assert "does not exist" in command("enable", "no-such-volume", "--yes", status=2)
    with volume("replica", "2", bricks=2, counted=False) as made:
        before = options(made)
        made.kill(made.bricks[1])
        said = command("enable", made.name, "--yes", status=2)
        assert f"bricks are offline: {HOST}:{made.bricks[1]}" in said
        assert f"`gluster volume start {made.name} force`" in said
        first, second = rows(made, status=1)
        assert first["ok"] and not second["ok"]
        assert "brick is offline" in second["note"]
        made.start(force=True)
        gluster("volume", "set", made.name, "cluster.self-heal-daemon", "off")
        assert "no self-heal daemon" in command("enable", made.name, "--yes", status=2)
        gluster("volume", "reset", made.name, "cluster.self-heal-daemon")
        assert options(made) == before


def test_enable_refuses_a_node_without_a_matching_translator(installed: None) -> None:
    with volume(bricks=1, counted=False) as made:
        before = options(made), pids(made)
        with kept(install.peer_script()):
            install.peer_script().unlink()
            said = command("enable", made.name, "--yes", status=2)
            assert "no translator is installed on localhost; run `glupy-exporter xlator" in said
            assert [row["ok"] for row in rows(made)] == [True]
        version = install.gluster_version().encode()
        other = version[:-1] + b"X"
        with kept(install.library()):
            # Another stamp in a new file: bricks that run keep the old one.
            changed = install.library().with_suffix(".test")
            changed.write_bytes(
                install.library()
                .read_bytes()
                .replace(b'"glusterfs_version":"' + version, b'"glusterfs_version":"' + other)
            )
            changed.replace(install.library())
            said = command("enable", made.name, "--yes", status=2)
            assert f"built for GlusterFS {other.decode()}, {version.decode()} is installed" in said
        assert (options(made), pids(made)) == before


def test_disable_refuses_when_an_option_could_not_be_set_back(installed: None) -> None:
    with volume(bricks=1) as made:
        gluster("volume", "set", made.name, "features.trash", "on")
        gluster("volume", "set", made.name, "features.trash-dir", "bin")
        wait_for((made.bricks[0] / "bin").exists, "the trash directory")
        before = options(made), pids(made)
        said = command("disable", made.name, "--yes", status=2)
        assert "nothing has changed" in said and "Path bin exists" in said
        assert (options(made), pids(made)) == before


def test_disable_sets_back_what_volume_set_refuses(installed: None) -> None:
    """Options that only a stopped volume takes, and those with a command of their own."""
    aio = {"storage.linux-aio": "on"}
    with volume("replica", "2", bricks=2, options=aio) as made:
        gluster("volume", "bitrot", made.name, "enable")
        gluster("volume", "bitrot", made.name, "scrub-frequency", "daily")
        try:
            before = options(made)
            assert before["features.scrub-freq"] == "daily"
            command("disable", made.name, "--yes")
            del before[OPTION]
            granular = {"cluster.granular-entry-heal": "enable"}
            assert {**options(made), **granular} == {**before, **granular}
            assert all(pids(made))
        finally:
            gluster("volume", "bitrot", made.name, "disable")


def test_bricks_that_ignore_options_are_named_and_mended_without_a_restart(installed: None) -> None:
    with volume("replica", "2", bricks=2) as made, made.mount() as mount:

        def writable() -> bool:
            try:
                (mount / "file").write_bytes(b"content")
            except OSError as error:
                assert error.errno == errno.EROFS
                return False
            return True

        def on_record() -> bool:
            """As the exporter is told."""
            found = volumes.volumes(records.load())[made.name]
            return bool(found and found.translator)

        assert writable() and on_record()
        before = pids(made)
        gluster("volume", "reset", made.name)
        assert not on_record()
        for row in rows(made, status=1):
            assert "brick ignores changed options" in row["note"]
            assert f"run `xlator enable {made.name}`, which restarts nothing" in row["note"]
        gluster("volume", "set", made.name, "features.read-only", "on")
        assert writable(), "GlusterFS has learnt to change graphs: say so in docs/install.md"
        assert "restart nothing" in command("enable", made.name, "--yes")
        wait_for(lambda: not writable(), "the bricks to follow the option")
        assert pids(made) == before and on_record()
        assert all(row["ok"] for row in rows(made))


SLOW = """#!/bin/sh
case "$*" in *"--volname={name} "*) sleep 15 ;; esac
"""


def test_what_glusterd_does_after_gluster_gave_up_is_waited_for(installed: None) -> None:
    hook = Path("/var/lib/glusterd/hooks/1/stop/pre/S00glupytest.sh")
    impatient = (
        "import sys; from glupy_exporter import cli; from glupy_exporter.operate import gluster; "
        "gluster._PROGRAM += ('--timeout=5',); sys.exit(cli.main(sys.argv[1:]))"
    )
    with volume(bricks=1, counted=False) as made, kept(hook):
        hook.parent.mkdir(parents=True, exist_ok=True)
        hook.write_text(SLOW.format(name=made.name))
        hook.chmod(0o755)
        words = [sys.executable, "-c", impatient, "xlator", "enable", made.name, "--yes"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stdout + done.stderr
        assert all(row["ok"] and row["loaded"] for row in rows(made))


def test_every_node_answers_with_its_translator_and_open_segments(installed: None) -> None:
    with volume(bricks=1) as made:
        brick = made.bricks[0]
        wait_for(made.segment_path(brick).exists, "the segment")
        (node,) = peer.nodes().values()
        assert node.glusterfs_version == install.gluster_version()
        assert node.stamp == peer.find_stamp(install.library().read_bytes())
        assert node.segments[str(made.segment_path(brick).resolve())] == made.pid(brick)
        pid = made.kill(brick)
        (node,) = peer.nodes().values()
        assert pid not in node.segments.values()
        assert rows(made, status=1)[0]["segment"] == "dead"


def test_a_file_of_the_volume_is_not_taken_for_a_segment(installed: None) -> None:
    with volume(bricks=1) as made, made.mount() as mount, contextlib.ExitStack() as opened:
        brick = made.bricks[0]
        wait_for(made.segment_path(brick).exists, "the segment")
        true = made.segment_path(brick).resolve()
        false = true.with_name("other.bricks-b0.seg")
        for name in (false.name, f"x\n{false}", f"x\\n{false}", f"x\xff\n{false}", f"x\r{false}"):
            path = mount / name
            path.parent.mkdir(parents=True, exist_ok=True)
            opened.enter_context(path.open("w"))
        (node,) = peer.nodes().values()
        assert node.segments[str(true)] == made.pid(brick)
        assert str(false) not in node.segments
        assert any(path.endswith(f"/{false.name}") for path in node.segments), "it is not open"


def test_uninstall_refuses_while_a_brick_needs_the_translator(installed: None) -> None:
    with volume(bricks=1, start=False) as made:
        said = command("uninstall", status=2)
        assert made.name in said and "xlator disable" in said
        assert install.library().exists() and install.peer_script().exists()


@pytest.fixture
def multiplex(installed: None) -> Iterator[None]:
    """Bricks that start from now on share one process."""
    gluster("volume", "set", "all", "cluster.brick-multiplex", "on")
    yield
    gluster("volume", "reset", "all", "cluster.brick-multiplex")


def test_bricks_that_share_a_process_are_restarted_without_it(multiplex: None) -> None:
    kind = ("replica", "2")  # only bricks of volumes with like options share
    with volume(*kind, bricks=2) as other, volume(*kind, bricks=2, counted=False) as made:
        (process,) = set(pids(made)) | set(pids(other))
        with made.mount() as mount, Writer(mount) as writer:
            command("enable", made.name, "--yes")
        assert writer.errors == []
        assert {*pids(made), *pids(other)} == {process}
        assert all(row["ok"] and row["loaded"] for row in rows(made))
        command("disable", made.name, "--yes")
        assert [row["loaded"] for row in rows(made)] == [False, False]
        assert all(row["ok"] and row["loaded"] for row in rows(other))

"""The translator's life: what it makes, for whom, when, and what it leaves behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from glupy_exporter.segment import check, naming, reader, recorder
from tests.native.conftest import Need

NOBODY, GROUP = 65534, 12345
VOLUME, BRICK = "harness", "/bricks/b0"


@pytest.fixture(scope="module")
def command(load_harness: Callable[[str], list[str]]) -> list[str]:
    return load_harness("life_harness")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "run" / "glupy"


class Scene:
    """A harness that plays a scene, in steps."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.code = 0  # by which it has to end

    @property
    def root(self) -> Path:
        """The files as it sees them."""
        return Path(f"/proc/{self._process.pid}/root")

    def line(self) -> str:
        """What it shows next."""
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def kill(self) -> None:
        self._process.kill()
        self.code = -signal.SIGKILL

    def go_on(self) -> None:
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()


Play = Callable[..., contextlib.AbstractContextManager[Scene]]


@pytest.fixture
def play(command: list[str], directory: Path, tmp_path: Path) -> Play:
    @contextlib.contextmanager
    def start(
        scene: str, number: int = 0, brick: str = BRICK, before: Sequence[str] = ()
    ) -> Iterator[Scene]:
        words = [*before, *command, str(directory), brick, scene, str(number)]
        with (
            (tmp_path / f"{scene}.log").open("a+") as log,
            subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            ) as process,
        ):
            playing = Scene(process)
            try:
                yield playing
            except BaseException:
                process.kill()
                raise
            assert process.stdin
            process.stdin.close()
            code = process.wait(60)
            log.seek(0)
            assert code == playing.code, log.read()

    return start


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def segments(directory: Path) -> list[Path]:
    return reader.scan(directory) if directory.exists() else []


def test_a_graph_that_does_not_come_up_leaves_nothing(play: Play, directory: Path) -> None:
    with play("unfinished") as scene:
        assert scene.line() == "initialised"
        assert not directory.exists()
        scene.go_on()


def test_other_bricks_clients_may_leave_while_one_is_detached(play: Play) -> None:
    with play("detached", 300):
        pass


def test_a_brick_that_is_up_can_be_read(play: Play, directory: Path, need: Need) -> None:
    need(os.geteuid() == 0, "root, for the group")
    with play("up", GROUP) as scene:
        assert scene.line() == "up"
        wait_for(lambda: segments(directory), "the segment")
        (path,) = directory.iterdir()
        assert path.name == naming.names(VOLUME, BRICK)[0]
        assert (mode(path), path.stat().st_gid) == (0o640, GROUP)
        assert (mode(directory), directory.stat().st_gid) == (0o750, GROUP)
        scene.go_on()
    assert not list(directory.iterdir())


def test_a_group_may_have_many_members(play: Play, directory: Path, need: Need) -> None:
    need(os.geteuid() == 0, "root, for the group")
    with play("large-group", GROUP) as scene:
        wait_for(lambda: segments(directory), "the segment")
        (path,) = segments(directory)
        assert path.stat().st_gid == GROUP
        scene.line()
        scene.go_on()


def mounted(command: str) -> list[str]:
    """What has the program after it see a mount that nobody else sees."""
    unshare = ["unshare", "--mount", "--propagation=private"]
    return [*unshare, "sh", "-c", f'{command} && exec "$@"', "sh"]


def test_the_last_room_is_left_to_others(
    play: Play, directory: Path, tmp_path: Path, need: Need
) -> None:
    need(os.geteuid() == 0 and shutil.which("unshare"), "root and unshare")
    run, log = directory.parent, tmp_path / "up.log"
    run.mkdir()
    mount = f"mount -t tmpfs -o size=40m tmpfs {run}"
    with play("up", before=mounted(f"{mount} && fallocate -l 16m {run}/others")) as scene:
        assert scene.line() == "up"
        here = Path(f"{scene.root}{directory}")
        complaint = f"cannot leave 24 MiB of the file system free beside segment {directory}/"
        assert complaint in log.read_text()
        assert not segments(here)
        Path(f"{scene.root}{run}/others").unlink()
        wait_for(lambda: segments(here), "the segment")
        assert not [entry for entry in here.iterdir() if entry.name.startswith(".")]
        scene.go_on()
    assert log.read_text().count("cannot ") == 1


def test_times_follow_a_clock_that_is_set(play: Play, directory: Path) -> None:
    def seen() -> set[float]:
        with reader.Segment(segments(directory)[0]) as segment:
            files = [file for _, file in segment.file_table().records()]
            return {
                segment.brick().created,
                *(f.activity.first_seen for f in files),
                *(f.activity.last_seen for f in files),
            }

    before = time.time()
    with play("stepped") as scene:
        assert scene.line() == "1970"
        wait_for(lambda: segments(directory), "the segment")
        assert max(seen()) < 10_000
        scene.go_on()
        assert scene.line() == "set"
        wait_for(lambda: min(seen()) > before - 1, "times after 1970")
        assert len(seen()) > 1 and max(seen()) <= time.time() + 1
        scene.go_on()


def test_a_snapshot_is_not_counted(play: Play, directory: Path) -> None:
    with play("snapshot"):
        pass
    assert not directory.exists()


@pytest.mark.parametrize(
    "option", ["    option working-directory {}", 'option\tworking-directory "{}" ']
)
def test_the_record_of_a_volume_may_be_elsewhere(
    play: Play, directory: Path, tmp_path: Path, need: Need, option: str
) -> None:
    theirs = Path("/etc/glusterfs/glusterd.vol")
    need(os.geteuid() == 0 and shutil.which("unshare"), "root and unshare")
    need(theirs.exists(), "GlusterFS")
    volfile = tmp_path / "glusterd.vol"
    volfile.write_text(f"volume management\n{option.format(tmp_path)}\nend-volume\n")
    record = tmp_path / "vols" / VOLUME / "info"
    record.parent.mkdir(parents=True)
    host = socket.gethostname()
    record.write_text(f"count=4\nsub_count=2\nbrick-3={host}:{BRICK.replace('/', '-')}\n")
    with play("up", before=mounted(f"mount --bind {volfile} {theirs}")) as scene:
        wait_for(lambda: segments(directory), "the segment")
        with reader.Segment(segments(directory)[0]) as segment:
            assert (segment.brick().numbers["volume_bricks"], segment.brick().subvolume) == (4, 1)
        scene.line()
        scene.go_on()


@pytest.fixture
def brick_with_file(tmp_path: Path) -> str:
    """The path of a brick that has the file with the number 1."""
    handle = tmp_path / "brick" / ".glusterfs" / "01" / "00" / f"01000000{'-0000' * 3}-{'0' * 12}"
    handle.parent.mkdir(parents=True)
    handle.touch()
    return str(tmp_path / "brick")


def test_renamed_directories_do_not_make_it_look_on_the_disk_all_the_time(
    play: Play, brick_with_file: str
) -> None:
    with play("doubted", brick=brick_with_file) as scene:
        at_first, at_once, while_renamed, after = map(int, scene.line().split())
    assert (at_first, at_once) == (1, 0)
    assert while_renamed == 10
    assert after <= 1


@pytest.mark.parametrize("scene", ["hung-group", "hung-disk", "hung-facts"])
def test_what_hangs_does_not_hold_up_the_end(
    play: Play, directory: Path, brick_with_file: str, scene: str
) -> None:
    with play(scene, brick=brick_with_file) as running:
        assert running.line() == "hung"
        assert bool(segments(directory)) == (scene != "hung-group")
        running.go_on()
        assert running.line() == "down"
        assert not list(directory.iterdir())
        running.go_on()


def test_segments_that_follow_each_other_take_no_more_memory(play: Play) -> None:
    with play("many-segments", 5000) as scene:
        assert int(scene.line()) < 4096


def test_fops_may_come_after_the_end(play: Play) -> None:
    with play("late-fops"):
        pass


def test_cookies_that_are_lost_cost_no_count(play: Play, directory: Path) -> None:
    with play("lost-cookies") as scene:
        assert scene.line() == "up"
        wait_for(lambda: segments(directory), "the segment")
        (path,) = segments(directory)
        with reader.Segment(path) as segment:
            fops = segment.fops()
            table = segment.file_table()
            files = [table.record(row) for row in table.rows]
            clients = [client for _, client in segment.client_table().records()]
        assert len(fops) > 50
        assert {(fop.started, fop.completed) for fop in fops} == {(4, 4)}
        # Each fop but ipc names the file.
        assert [sum(file.activity.fops) for file in files if file] == [4 * (len(fops) - 1)]
        assert [sum(client.activity.fops) for client in clients] == [4 * len(fops)]
        scene.go_on()


def held_ranges(segment: reader.Segment) -> str:
    ranges = sorted((lock.start, lock.length) for lock in recorder.held_locks(segment))
    return " ".join(f"{start}+{length}" for start, length in ranges) or "none"


def listed(scene: Scene, directory: Path) -> Iterator[reader.Segment]:
    """The segment at each stop of the scene, where its list has the locks that the scene names."""
    lines = []
    while expected := scene.line():
        lines.append(expected)
        wait_for(lambda: segments(directory), "the segment")
        with reader.Segment(segments(directory)[0]) as segment:
            assert held_ranges(segment) == expected, lines
            yield segment
        scene.go_on()


def test_only_grants_are_listed_as_locks(play: Play, directory: Path) -> None:
    with play("locks") as scene:
        stops = 0
        for segment in listed(scene, directory):
            stops += 1
            assert segment.numbers()["unlisted_locks"] == (stops > 5)
            assert len(segment.in_flight()) == (8 if stops == 6 else 0)
        assert stops == 8


def test_only_what_is_cleared_leaves_the_list(play: Play, directory: Path) -> None:
    with play("cleared") as scene:
        assert sum(1 for _ in listed(scene, directory)) == 6


def test_the_inodes_of_the_brick_are_counted(play: Play, directory: Path) -> None:
    with play("everything") as scene:
        assert scene.line() == "up"
        wait_for(lambda: segments(directory), "the segment")
        (path,) = segments(directory)
        with reader.Segment(path) as segment:
            wait_for(lambda: segment.brick().numbers["inodes_lru_limit"], "the inode table")
            numbers = segment.brick().numbers
        # The root and the file that is in use; the other one.
        assert (numbers["inodes_active"], numbers["inodes_lru"]) == (2, 1)
        assert numbers["inodes_lru_limit"] == 100
        scene.go_on()


@pytest.mark.parametrize(
    "brick",
    [
        "/" + "x" * 242,  # as long as a plain name can be
        "/" + "x" * 243,
        "/" + "\N{EURO SIGN}" * 300,
    ],
)
def test_every_length_of_a_path_has_a_name(play: Play, directory: Path, brick: str) -> None:
    with play("up", brick=brick) as scene:
        wait_for(lambda: segments(directory), "the segment")
        (path,) = segments(directory)
        assert path.name == naming.names(VOLUME, brick)[0]
        with reader.Segment(path) as segment:
            assert segment.brick().path == brick
        scene.line()
        scene.go_on()


def test_bricks_whose_paths_look_alike_have_names_of_their_own(play: Play, directory: Path) -> None:
    first, second = "/a-b/c", "/a/b-c"
    plain, _ = naming.names(VOLUME, first)
    _, hashed = naming.names(VOLUME, second)
    with play("up", brick=first) as one:
        wait_for(lambda: segments(directory), "the first segment")
        with play("up", brick=second) as other:
            wait_for(lambda: len(segments(directory)) == 2, "both segments")
            assert {path.name for path in segments(directory)} == {plain, hashed}
            # Whoever lost its name, to one that does not look, takes another.
            (directory / hashed).replace(directory / plain)
            _, hashed_first = naming.names(VOLUME, first)
            wait_for((directory / hashed_first).exists, "another name of the first")
            wait_for((directory / plain).exists, "the second")
            for scene in (one, other):
                scene.line()
                scene.go_on()


def is_live(path: Path) -> bool:
    """Whether ``path`` is a segment and somebody writes to it."""
    try:
        with reader.Segment(path) as segment:
            return segment.brick().alive
    except (FileNotFoundError, check.SegmentError):
        return False


def copy(path: Path) -> None:
    shutil.copy(path, path.with_suffix(".new"))


def of_no_segment(path: Path) -> None:
    path.with_suffix(".new").write_bytes(bytes(8192))


def fifo(path: Path) -> None:
    os.mkfifo(path.with_suffix(".new"))


def dangling(path: Path) -> None:
    path.with_suffix(".new").symlink_to("nothing")


@pytest.mark.parametrize("put", [copy, of_no_segment, fifo, dangling])
def test_a_brick_takes_its_name_back_where_nobody_writes(
    play: Play, directory: Path, put: Callable[[Path], None]
) -> None:
    with play("up") as scene:
        scene.line()
        wait_for(lambda: segments(directory), "the segment")
        (path,) = segments(directory)
        put(path)
        path.with_suffix(".new").replace(path)
        assert not is_live(path)
        wait_for(lambda: is_live(path), "a new segment")
        scene.go_on()
    assert not list(directory.iterdir())


def test_a_brick_yields_to_a_newer_process_that_lives(play: Play, directory: Path) -> None:
    path = directory / naming.names(VOLUME, BRICK)[0]

    def heartbeat() -> float:
        with reader.Segment(path) as segment:
            return segment.brick().numbers["heartbeat"]

    with play("up") as old:
        old.line()
        wait_for(lambda: is_live(path), "the segment")
        before = path.stat().st_ino
        with play("up") as new:
            new.line()
            wait_for(lambda: path.stat().st_ino != before, "the newer segment")
            theirs, since = path.stat().st_ino, heartbeat()
            # The older process has looked at the name each second meanwhile.
            wait_for(lambda: heartbeat() >= since + 3, "three more rounds")
            assert path.stat().st_ino == theirs
            new.kill()
        wait_for(lambda: is_live(path), "the older process to take over")
        assert path.stat().st_ino != theirs
        old.go_on()
    assert not list(directory.iterdir())


def temporary(directory: Path) -> set[Path]:
    return {path for path in directory.iterdir() if path.suffix != ".seg"}


def test_what_dead_bricks_leave_is_removed(play: Play, directory: Path) -> None:
    with play("hung-group", brick="/bricks/alive") as alive:
        alive.line()
        (living,) = temporary(directory)
        for _ in range(2):
            with play("hung-group") as dead:
                dead.line()
                assert len(temporary(directory)) == 2
                dead.kill()
        with play("up") as scene:
            scene.line()
            wait_for(lambda: segments(directory), "the segment")
            assert temporary(directory) == {living}
            scene.go_on()
        alive.go_on()
        alive.line()
        alive.go_on()
    assert not list(directory.iterdir())


def test_only_segments_under_temporary_names_are_removed(play: Play, directory: Path) -> None:
    directory.mkdir(parents=True)
    of_old_release = directory / ".4711.0x7f0000001230"
    before_it_was_filled = directory / ".4711.0x7f0000004560"
    others = [directory / name for name in (".1.0x1", ".4711.0x12.seg~", "4711.0x12", ".4711.x")]
    empty, pipe, link = (directory / f".{number}.0x1" for number in (2, 3, 4))
    with play("up") as scene:
        scene.line()
        wait_for(lambda: segments(directory), "the segment")
        for path in (of_old_release, *others[1:]):
            shutil.copy(segments(directory)[0], path)
        before_it_was_filled.write_bytes(bytes(5 << 20))
        others[0].write_text("notes of an administrator")
        empty.touch()
        os.mkfifo(pipe)
        link.symlink_to(others[1])
        scene.go_on()
    with play("up") as scene:
        scene.line()
        wait_for(lambda: segments(directory), "the segment")
        assert temporary(directory) == {*others, empty, pipe, link}
        scene.go_on()


class Attacker:
    """What a member of the group can do that may write to the directory above."""

    def __init__(self, above: Path) -> None:
        self._above = above
        above.mkdir(mode=0o775)
        os.chown(above, -1, NOBODY)
        above.chmod(0o775)

    @contextlib.contextmanager
    def renames(self, victim: Path) -> Iterator[None]:
        """All the time: takes the directory's name away and lets it lead to the victim."""
        script = f"""
        cd {self._above} || exit 1
        number=0
        while :; do
            number=$((number + 1))
            mv glupy away-$number
            ln -s {victim} glupy
            rm -f glupy
        done 2>/dev/null
        """
        with subprocess.Popen(["sh", "-c", script], user=NOBODY, group=NOBODY) as process:
            try:
                yield
            finally:
                process.kill()


@pytest.fixture
def victim(tmp_path: Path, need: Need) -> Path:
    """A directory of root's that is nobody else's business."""
    need(os.geteuid() == 0, "root, and somebody else")
    for path in (tmp_path, *list(tmp_path.parents)[:-2]):
        path.chmod(path.stat().st_mode | 0o11)
    made = tmp_path / "victim"
    made.mkdir(mode=0o700)
    return made


def untouched(victim: Path) -> bool:
    status = victim.stat()
    return (mode(victim), status.st_uid, status.st_gid) == (0o700, 0, 0) and not list(
        victim.iterdir()
    )


def test_renames_do_not_lead_root_astray(play: Play, directory: Path, victim: Path) -> None:
    with Attacker(directory.parent).renames(victim), play("many-segments", 2000) as scene:
        scene.line()
        assert untouched(victim)
    assert untouched(victim)


def link(directory: Path, victim: Path) -> None:
    directory.symlink_to(victim)


def of_another(directory: Path, victim: Path) -> None:
    directory.mkdir()
    os.chown(directory, NOBODY, NOBODY)


def writable(directory: Path, victim: Path) -> None:
    directory.mkdir()
    directory.chmod(0o770)


@pytest.mark.parametrize("prepare", [link, of_another, writable])
def test_a_directory_that_is_not_roots_alone_is_refused(
    play: Play,
    directory: Path,
    victim: Path,
    tmp_path: Path,
    prepare: Callable[[Path, Path], None],
) -> None:
    Attacker(directory.parent)
    prepare(directory, victim)
    before = directory.lstat()
    with play("up", GROUP) as scene:
        assert scene.line() == "up"
        scene.go_on()
    assert untouched(victim)
    assert not list(directory.iterdir())
    assert (directory.lstat().st_mode, directory.lstat().st_gid) == (before.st_mode, before.st_gid)
    errors = [line for line in (tmp_path / "up.log").read_text().splitlines() if "] E [" in line]
    assert len(errors) == 1 and f"cannot use directory {directory}: " in errors[0]


def test_a_directory_keeps_its_owner_and_mode(play: Play, directory: Path, need: Need) -> None:
    need(os.geteuid() == 0, "root, for the group")
    directory.mkdir(parents=True)
    directory.chmod(0o711)
    with play("up", GROUP) as scene:
        wait_for(lambda: segments(directory), "the segment")
        scene.line()
        scene.go_on()
    assert (mode(directory), directory.stat().st_gid) == (0o711, 0)

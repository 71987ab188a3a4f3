"""Stamps, what nodes answer, and what install refuses."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import glupy_exporter
from glupy_exporter import commands
from glupy_exporter.builder import build
from glupy_exporter.errors import UserError
from glupy_exporter.node import glusterd
from glupy_exporter.operate import gluster, install, peer, plan
from glupy_exporter.schema import layout

STAMP = peer.Stamp("0.1.0", "10.3", layout.VERSION)
HOST, SNAPSHOT = "node1", "0f" * 16
Need = Callable[[object, str], None]


def test_the_stamp_that_build_writes_is_found_in_the_file() -> None:
    stamp = build.stamp("10.3").encode()
    found = peer.find_stamp(b"\x7fELF\0glupy-stamp:\0glupy-stamp:{}\0" + stamp + b"\0rest")
    assert found is not None
    assert (found.glusterfs_version, found.layout) == ("10.3", layout.VERSION)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"glupy-stamp:",
        b'glupy-stamp:{"xlator_version":"0.1.0","glusterfs_version":"10.3"}',
        b'glupy-stamp:{"xlator_version":"0.1.0","glusterfs_version":"10.3","layout":"x"}',
        b"glupy-stamp:{" + b"x" * 1000 + b"}",
        b"glupy-stamp:[]}",
    ],
)
def test_what_is_no_stamp(data: bytes) -> None:
    assert peer.find_stamp(data) is None


def test_check_names_both_versions() -> None:
    assert install.check(STAMP, "10.3") is None
    problem = install.check(STAMP, "11.1")
    assert problem is not None and "10.3" in problem and "11.1" in problem
    assert install.check(peer.Stamp("0.1.0", "10.3", layout.VERSION - 1), "10.3") is None
    newer = peer.Stamp("0.2.0", "10.3", layout.VERSION + 1)
    problem = install.check(newer, "10.3")
    assert problem is not None and f"layout {layout.VERSION + 1}" in problem


def test_answers_of_nodes() -> None:
    stamp = "glupy-stamp:" + json.dumps(
        {"xlator_version": "0.1.0", "glusterfs_version": "10.3", "layout": layout.VERSION}
    )
    nodes = peer.parse(
        [
            f"node u1 10.3 {stamp}",
            "segment u1 17 /run/gluster/glupy/home.srv-a b.seg",
            "node u2 10.3 -",
            "segment u2 x /run/gluster/glupy/home.srv-c.seg",
            f"running u1 17 same {stamp}",
            "running u1 18 other -",
            "running u2 x same -",
            "busy u2 - home",
            "unfinished u2 enable home",
            "unfinished u2 disable other",
            "lacks u2 - /dev/fuse",
            "Command executed successfully.",
            "",
        ]
    )
    assert nodes == {
        "u1": peer.Node(
            "10.3",
            STAMP,
            {"/run/gluster/glupy/home.srv-a b.seg": 17},
            {17: peer.Loaded(STAMP, True), 18: peer.Loaded(None, False)},
        ),
        "u2": peer.Node(
            "10.3",
            None,
            busy=frozenset({"home"}),
            unfinished={"home": "enable", "other": "disable"},
            lacks=frozenset({"/dev/fuse"}),
        ),
    }


@pytest.mark.parametrize(
    ("answer", "hosts"),
    [
        ("gsync peer_glupy command not found.", "localhost"),
        ("Staging failed on n2. Error: gsync peer_glupy command not found.", "n2"),
        (
            "Staging failed on n2. Error: gsync peer_glupy command not found. "
            "Staging failed on 10.0.0.3. Error: gsync peer_glupy command not found.",
            "n2, 10.0.0.3",
        ),
    ],
)
def test_nodes_without_the_script_are_named(
    answer: str, hosts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(script: str, *arguments: str) -> list[str]:
        raise gluster.GlusterError(f"`gluster system:: execute glupy` failed: {answer}")

    monkeypatch.setattr(gluster, "execute", refuse)
    with pytest.raises(peer.NoScriptError, match=f"no translator is installed on {hosts}; run"):
        peer.nodes()


@pytest.fixture
def xlator_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directories of a GlusterFS 10.3, without GlusterFS."""
    directory = tmp_path / "glusterfs" / "10.3" / "xlator"
    directory.mkdir(parents=True)
    monkeypatch.setattr(build, "xlator_dir", lambda: directory)
    monkeypatch.setattr(build, "libexec_dir", lambda: tmp_path / "libexec" / "glusterfs")
    return directory


def test_files_are_where_an_rpm_system_looks_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        "--print-xlatordir": "/usr/lib64/glusterfs/10.3/xlator\n",
        "--print-libexecdir": "/usr/libexec/glusterfs\n",
    }
    monkeypatch.setattr(build, "_run", lambda program, flag: told[flag])
    assert install.library() == Path("/usr/lib64/glusterfs/10.3/xlator/user/glupy.so")
    assert install.peer_script() == Path("/usr/libexec/glusterfs/peer_glupy")


def test_a_glusterfs_without_a_version_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"--print-xlatordir": "/lib/xlator\n", "--version": "glusterfs \nRepository revision:\n"}
    monkeypatch.setattr(build, "_run", lambda program, flag: told[flag])
    with pytest.raises(UserError, match="does not tell the version of GlusterFS"):
        build.find()


def test_a_32_bit_system_on_a_64_bit_kernel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(sys, "maxsize", 2**31 - 1)
    monkeypatch.setattr(build, "xlator_dir", lambda: pytest.fail("went on"))
    with pytest.raises(UserError, match="aarch64 with 32-bit programs is not supported"):
        build.find()


def test_install_refuses_a_missing_file(tmp_path: Path, xlator_dir: Path) -> None:
    with pytest.raises(UserError, match="xlator build"):
        install.install(tmp_path, dry_run=True)


def translator(directory: Path, content: bytes) -> Path:
    path = directory / "glupy.so"
    path.write_bytes(content)
    path.chmod(0o644)
    return path


def test_install_refuses_what_is_not_a_translator(tmp_path: Path, xlator_dir: Path) -> None:
    translator(tmp_path, b"\x7fELF")
    with pytest.raises(UserError, match="not a glupy translator"):
        install.install(tmp_path, dry_run=True)


def test_install_refuses_another_version(tmp_path: Path, xlator_dir: Path) -> None:
    translator(tmp_path, build.stamp("9.6").encode())
    with pytest.raises(UserError, match=r"built for GlusterFS 9\.6, 10\.3 is installed"):
        install.install(tmp_path, dry_run=True)


def test_install_refuses_what_cannot_be_loaded(tmp_path: Path, xlator_dir: Path) -> None:
    translator(tmp_path, build.stamp("10.3").encode())
    with pytest.raises(UserError, match=r"cannot be loaded \(.*glupy\.so: "):
        install.install(tmp_path, dry_run=True)
    assert not (xlator_dir / "user").exists()


def test_a_node_without_bricks_needs_the_script_alone(
    tmp_path: Path, xlator_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "libexec").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    install.install(tmp_path / "nothing", script_only=True)
    assert install.peer_script().read_text() == peer.SCRIPT
    assert not install.library().exists()


@pytest.mark.parametrize("moved", [False, True])
def test_uninstall_keeps_what_volumes_and_snapshots_need(
    tmp_path: Path, xlator_dir: Path, monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    volfile = tmp_path / "glusterd.vol"
    option = f"    option working-directory {tmp_path}\n" if moved else ""
    volfile.write_text(f"volume management\n{option}end-volume\n")
    monkeypatch.setattr(glusterd, "VOLFILE", volfile)
    usual = tmp_path / "usual" if moved else tmp_path
    monkeypatch.setattr(glusterd, "WORKING_DIRECTORY", usual)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    install.library().parent.mkdir()
    install.library().touch()
    for name in (f"vols/gv0/gv0.{HOST}.b.vol", f"snaps/s1/{SNAPSHOT}/{SNAPSHOT}.{HOST}.b.vol"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text("volume gv0-glupy\n    type user/glupy\n")
        with pytest.raises(UserError, match="do not start without the translator") as refused:
            install.uninstall()
    assert "volume gv0, snapshot s1 " in str(refused.value)
    assert "`glupy-exporter xlator disable gv0`, `gluster snapshot delete s1`" in str(refused.value)
    assert SNAPSHOT not in str(refused.value)
    shutil.rmtree(tmp_path / "vols")
    shutil.rmtree(tmp_path / "snaps")
    assert install.uninstall() == [f"removed {install.library()}"]


@pytest.mark.parametrize("quote", ["", '"'])
def test_the_script_finds_glusterds_directory(tmp_path: Path, quote: str) -> None:
    (tmp_path / "glusterd.info").write_text("UUID=elsewhere\noperating-version=100000\n")
    volfile = tmp_path / "glusterd.vol"
    volfile.write_text(
        "volume management\n#   option working-directory /commented\n"
        f"\toption  working-directory {quote}{tmp_path}{quote}  \nend-volume\n"
    )
    script = peer.SCRIPT.replace(str(glusterd.VOLFILE), str(volfile))
    done = subprocess.run(["/bin/sh", "-s"], input=script, capture_output=True, text=True)
    assert "\nnode elsewhere " in f"\n{done.stdout}"


def test_install_loads_nothing_before_it_has_asked_for_root(
    tmp_path: Path, xlator_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator(tmp_path, build.stamp("10.3").encode())
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(commands, "run", lambda *_, **__: pytest.fail("something was run"))
    with pytest.raises(UserError, match="only root"):
        install.install(tmp_path)


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_install_takes_no_translator_that_others_can_write(
    tmp_path: Path, xlator_dir: Path, mode: int
) -> None:
    translator(tmp_path, build.stamp("10.3").encode()).chmod(mode)
    with pytest.raises(UserError, match="not root's alone"):
        install.install(tmp_path, dry_run=True)


def test_install_takes_no_translator_of_another_user(
    tmp_path: Path, xlator_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = translator(tmp_path, build.stamp("10.3").encode())
    owner = path.stat().st_uid or 1000
    found = os.stat_result([*path.stat()[:4], owner, *path.stat()[5:]])
    monkeypatch.setattr(os, "fstat", lambda descriptor: found)
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(UserError, match="not root's alone"):
        install.install(tmp_path, dry_run=True)


def test_install_runs_nothing_of_the_current_directory(
    tmp_path: Path, xlator_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of that nor of PYTHONPATH, which `python -c` would look into first."""
    proof = tmp_path / "proof"
    translator(tmp_path, build.stamp("10.3").encode())
    for name in ("ctypes.py", "os.py", "sitecustomize.py"):
        (tmp_path / name).write_text(f"open({str(proof)!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(UserError, match="cannot be loaded"):
        install.install(tmp_path, dry_run=True)
    assert not proof.exists()


def test_no_program_is_found_by_the_callers_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proof = tmp_path / "proof"
    for name in ("glusterfsd", "sh"):
        (tmp_path / name).write_text(f"#!/bin/sh\n: > '{proof}'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:.:")
    with contextlib.suppress(UserError):
        build.xlator_dir()
    peer.this_node()
    assert not proof.exists()


def test_every_program_is_run_with_nothing_of_the_callers() -> None:
    calls = [
        {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        for path in Path(glupy_exporter.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) != "subprocess.CompletedProcess"
        and ast.unparse(node.func).startswith(("subprocess.", "os.exec", "os.spawn", "os.system"))
    ]
    assert len(calls) == 2, "commands.run, and a probe's process"
    for call in calls:
        assert (call["cwd"], call["env"]) == ("DIRECTORY", "ENVIRONMENT")


SEPARATORS = {
    "newline": b"\n",
    "what echo takes for one": b"\\n",
    "carriage return": b"\r",
    "vertical tab": b"\v",
    "form feed": b"\f",
    "record separator": b"\x1e",
    "next line": "\x85".encode(),
    "line separator": "\u2028".encode(),
    "newline after no character": b"\xff\n",
}


@contextlib.contextmanager
def opened(path: bytes) -> Iterator[None]:
    Path(os.fsdecode(path)).parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield
    finally:
        os.close(descriptor)


@pytest.fixture
def brick_process(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Has the peer script, run as glusterd does, look at these processes as those of bricks."""
    pids = [os.getpid()]

    def run(words: Sequence[str]) -> str:
        assert words[:3] == ("system::", "execute", "glupy")
        script = peer.SCRIPT
        for mark, stand_in in (
            ("/proc/[0-9]*", " ".join(f"/proc/{pid}" for pid in pids)),
            ('"$program" = glusterfsd', '"$program"'),
        ):
            assert mark in script
            script = script.replace(mark, stand_in)
        done = subprocess.run(
            ["/bin/sh", "-s", *words[3:]], input=script.encode(), stdout=subprocess.PIPE
        )
        return done.stdout.decode("utf-8", "replace")

    monkeypatch.setattr(gluster, "_run", run)
    return pids


@contextlib.contextmanager
def brick_with_segment(directory: Path, *wrapper: str) -> Iterator[str]:
    """A program called glusterfsd that has a segment open, as the peer script says it."""
    program = directory / "glusterfsd"
    shutil.copy(shutil.which("sh") or "sh", program)
    segment = directory / "v.b.seg"
    with segment.open("w") as opened:
        brick = subprocess.Popen(
            [*wrapper, program, "-c", "echo; read -r _"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[opened.fileno()],
        )
    try:
        assert brick.stdout and brick.stdout.readline()
        yield f" {segment}\n"
    finally:
        brick.kill()
        brick.communicate()


def test_bricks_of_a_container_are_not_those_of_the_node(tmp_path: Path, need: Need) -> None:
    need(os.geteuid() == 0, "root, to make a PID namespace")
    container = ("unshare", "--pid", "--fork", "--kill-child")
    for wrapper, found in ((), True), (container, False):
        with brick_with_segment(tmp_path, *wrapper) as line:
            done = subprocess.run(
                ["/bin/sh", "-s"], input=peer.SCRIPT, capture_output=True, text=True
            )
        assert (line in done.stdout) == found


def test_bricks_are_found_without_pidof(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sed", "grep", "head", "id", "find", "readlink", "cmp", "rm", "flock", "true"):
        (tools / tool).symlink_to(shutil.which(tool) or tool)
    program = tmp_path / "glusterfsd"
    shutil.copy(shutil.which("sleep") or "sleep", program)
    script = peer.SCRIPT.replace(f"PATH={commands.PATH}", f"PATH={tools}")
    with (tmp_path / "v.b.seg").open("w") as segment:
        brick = subprocess.Popen([program, "60"], pass_fds=[segment.fileno()])
    try:
        done = subprocess.run(["/bin/sh", "-s"], input=script, capture_output=True, text=True)
        assert "pidof" not in done.stderr
        assert f" {brick.pid} {tmp_path / 'v.b.seg'}\n" in done.stdout
    finally:
        brick.kill()
        brick.wait()


def test_a_node_without_fuse_says_so(tmp_path: Path) -> None:
    missing = tmp_path / "fuse"
    for device, lacks in (("/dev/null", False), (str(missing), True)):
        script = peer.SCRIPT.replace(peer.FUSE, device)
        done = subprocess.run(["/bin/sh", "-s"], input=script, capture_output=True, text=True)
        assert (f"- {device}\n" in done.stdout) is lacks, done.stdout
    assert not missing.exists()


@pytest.mark.parametrize("name", SEPARATORS)
def test_no_name_of_a_users_file_is_taken_for_a_segment_or_a_brick(
    tmp_path: Path, brick_process: list[int], name: str
) -> None:
    """A client may open, on the brick, any file in any directory that it makes there."""
    true, false = (tmp_path / "glupy" / f"v{n}.bricks-b{n}.seg" for n in range(2))
    brick, held = tmp_path / "b0", tmp_path / "b1.seg"
    held.mkdir()
    (uuid,) = peer.nodes()
    lines = [f"{false}", f"segment {uuid} 17 {false}", f"{held}", f"holding {uuid} 17 {held}"]
    names = [b"v1.bricks-b1.seg", *(b"x" + SEPARATORS[name] + os.fsencode(line) for line in lines)]
    with contextlib.ExitStack() as stack:
        for path in (os.fsencode(true), *(os.fsencode(brick) + b"/" + name for name in names)):
            stack.enter_context(opened(path))
        (node,) = peer.nodes().values()
        assert node.segments.get(str(true)) == os.getpid()
        assert str(false) not in node.segments
        assert not peer.holding([gluster.Brick("h", str(held), uuid)])
        stack.callback(os.close, os.open(held, os.O_RDONLY))
        assert peer.holding([gluster.Brick("h", str(held), uuid)])


def test_a_brick_that_is_gone_is_held_by_nobody(tmp_path: Path, brick_process: list[int]) -> None:
    brick_process[:] = [2**22 + 1]
    (uuid,) = peer.nodes()
    assert not peer.holding([gluster.Brick("h", str(tmp_path / "no" / "brick"), uuid)])


def test_a_segment_is_looked_for_where_the_volume_has_it() -> None:
    made = gluster.Volume("home", "", "Started", 1, 0, (gluster.Brick("h", "/b", "u"),), {})
    (brick,) = made.bricks
    for segments, pid in (
        ({"/run/gluster/glupy/home.b.seg": 7, "/b/home.b.seg": 8}, 7),
        ({"/b/home.b.seg": 8, "/b/run/gluster/glupy/home.b.seg": 9}, None),
    ):
        assert plan.process(made, brick, peer.Node("10.3", None, segments)) == pid
    elsewhere = dataclasses.replace(made, options={"user.xlator.glupy.segment-dir": "/srv/s/"})
    node = peer.Node("10.3", None, {"/run/gluster/glupy/home.b.seg": 7, "/srv/s/home.b.seg": 8})
    assert plan.process(elsewhere, brick, node) == 8


def test_another_users_process_is_no_brick(
    tmp_path: Path, brick_process: list[int], need: Need
) -> None:
    need(os.geteuid() == 0, "root")
    segment = tmp_path / "v0.bricks-b0.seg"
    with segment.open("w") as file:
        words = ["/bin/sh", "-c", "read end"]
        other = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=file, user=65534)
        try:
            brick_process[:] = [other.pid]
            (node,) = peer.nodes().values()
        finally:
            other.communicate()
    assert node.segments == {}


def test_output_that_is_no_text_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    program = ("sh", "-c", r"printf 'segment u 1 /b/\377\r.seg\n'")
    monkeypatch.setattr(gluster, "_PROGRAM", program)
    assert gluster.execute("glupy") == ["segment u 1 /b/\ufffd\r.seg", ""]


def test_a_build_is_nobody_elses_to_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes through no link, and compiles nothing that is in another user's directory."""
    work: list[Path] = []

    def compile_nothing(*words: str) -> str:
        built = Path(words[words.index("-o") + 1])
        built.write_bytes(b"built")
        work.append(built.parent)
        return ""

    found = build.GlusterFS("10.3", tmp_path, tmp_path, tmp_path / "lib")
    monkeypatch.setattr(build, "find", lambda: found)
    monkeypatch.setattr(build, "generate", lambda *_: None)
    monkeypatch.setattr(build, "defines", lambda _: [])
    monkeypatch.setattr(build, "includes", lambda _: [])
    monkeypatch.setattr(build, "_run", compile_nothing)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    victim = tmp_path / "victim"
    victim.write_text("as it was")
    # On another file system than the build: there, a file that is moved goes through the link.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as output:
        (Path(output) / "glupy.so").symlink_to(victim)
        made = build.build(Path(output))
        assert made.read_bytes() == b"built"
        assert not made.is_symlink()
    assert victim.read_text() == "as it was"
    assert [path.parent for path in work] == [Path("/tmp")]

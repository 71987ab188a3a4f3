"""Builds the harnesses and runs them while their segment is read."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from glupy_exporter.builder import build, codegen
from glupy_exporter.segment import reader
from tests.native import generate
from tests.support.core import with_core

NATIVE = Path(__file__).parent
WARNINGS = ["-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread"]

Need = Callable[[object, str], None]


@pytest.fixture(scope="session")
def compiler(need: Need) -> str:
    found = shutil.which("cc")
    need(found, "a C compiler")
    assert found
    return found


@pytest.fixture(scope="session")
def core_harness(
    compiler: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Path]:
    """Builds a harness of the C core, by its name, with the compiler option that is given."""

    def make(name: str, option: str) -> Path:
        work = tmp_path_factory.mktemp(name)
        program = work / "harness"
        flags = ["-g", "-O1", *option.split(), '-DGLUPY_XLATOR_VERSION="test"']
        subprocess.run(
            [compiler, *flags, NATIVE / f"{name}.c", *with_core(work), "-o", program], check=True
        )
        return program

    return make


@pytest.fixture(scope="session")
def gluster(need: Need) -> build.GlusterFS:
    need(shutil.which("glusterfsd"), "GlusterFS")
    need(Path("/usr/include/glusterfs/xlator.h").exists(), "GlusterFS's headers")
    return build.find()


@pytest.fixture(scope="session")
def fops(gluster: build.GlusterFS) -> list[codegen.Fop]:
    headers = gluster.include / "glusterfs"
    enum = codegen.parse_enum(codegen.Source.read(headers / "glusterfs-fops.h"))
    return codegen.parse_fops(codegen.Source.read(headers / "xlator.h"), enum)


@pytest.fixture(scope="session")
def load_harness(
    gluster: build.GlusterFS,
    fops: list[codegen.Fop],
    compiler: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], list[str]]:
    """Builds a harness that loads the translator; gives its path and the translator's."""
    work = tmp_path_factory.mktemp("translator")
    (work / "drivers.inc").write_text(generate.render(fops), encoding="utf-8")
    shared_object = build.build(work)
    headers = gluster.include / "glusterfs"
    # What other releases do not have.
    has_pool = "dict_pair_pool" in (headers / "glusterfs.h").read_text(encoding="utf-8")
    has_sizes = "inodehash_size" in (headers / "inode.h").read_text(encoding="utf-8")
    macros = ["-DWITH_DICT_PAIR_POOL"] if has_pool else []
    macros += ["-DINODE_TABLE_HAS_SIZES"] if has_sizes else []

    def make(name: str) -> list[str]:
        subprocess.run(
            [
                compiler,
                *WARNINGS,
                *build.defines(gluster),
                *macros,
                *build.includes(gluster),
                f"-I{work}",
                "-rdynamic",  # what the harness has in place of libc's is the translator's as well
                str(NATIVE / f"{name}.c"),
                "-o",
                str(work / name),
                str(gluster.library),
                "-ldl",  # part of libc since glibc 2.34
            ],
            check=True,
        )
        return [str(work / name), str(shared_object)]

    return make


@contextlib.contextmanager
def running(*command: str) -> Iterator[reader.Segment]:
    """Runs a harness and yields its segment, open, while it lives; it must end with 0."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as harness:
        assert harness.stdout and harness.stdin and harness.stderr
        path = harness.stdout.readline().strip()
        try:
            assert path, harness.stderr.read()
            with reader.Segment(Path(path)) as segment:
                yield segment
        finally:
            harness.stdin.close()
            errors = harness.stderr.read()
        assert harness.wait() == 0, errors
    assert not Path(path).exists()

"""``layout.h`` is what ``layout`` says: a C compiler checks every size and offset."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable

from glupy_exporter.builder import header
from glupy_exporter.schema import layout, version1


def test_the_compiler_agrees_with_every_offset(need: Callable[[object, str], None]) -> None:
    compiler = shutil.which("cc")
    need(compiler, "a C compiler")
    text = header.render()
    fields = sum(len(structure._fields_) for structure in layout.STRUCTURES)
    assert text.count("_Static_assert(") == fields + len(layout.STRUCTURES)
    command = [str(compiler), "-std=gnu11", "-fsyntax-only", "-Wall", "-Werror", "-xc", "-"]
    subprocess.run(command, input=text, text=True, check=True)

    wrong = text.replace(f"== {ctypes.sizeof(layout.FopCell)},", "== 8,")
    assert wrong != text
    failed = subprocess.run(command, input=wrong, text=True, check=False, capture_output=True)
    assert failed.returncode != 0 and "static assertion failed" in failed.stderr


def test_counters_are_aligned_so_that_copies_do_not_tear_them() -> None:
    for structure in layout.STRUCTURES:
        for field in structure._fields_:
            if field[1] is ctypes.c_uint64:
                assert getattr(structure, field[0]).offset % 8 == 0
    own_lines = (layout.FopCell, layout.IoCell, layout.Counters, layout.Ring, layout.Record)
    for structure in (*own_lines, layout.Flight, layout.HeldLock, layout.Tracer):
        assert ctypes.sizeof(structure) % 64 == 0, "neighbours must not share a cache line"


def test_whose_a_segment_is_stands_where_it_stood_in_version_1() -> None:
    assert layout.Header.pid.offset == version1.Header.identity.offset
    end = layout.Header.brick.offset + layout.Header.brick.size
    assert end == version1.Header.padding.offset


def test_a_default_segment_is_at_most_six_mebibytes() -> None:
    total = ctypes.sizeof(layout.Header)
    for table in layout.TABLES:
        length = table.length(
            lanes=layout.LANES_MAX,
            fops=64,
            files=layout.FILE_SLOTS_DEFAULT,
            clients=layout.CLIENT_SLOTS_DEFAULT,
            slow=layout.SLOW_RECORDS_DEFAULT,
            trace=layout.TRACE_RECORDS_DEFAULT,
            flights=layout.FLIGHTS_DEFAULT,
            held_locks=layout.HELD_LOCKS_DEFAULT,
        )
        total += ctypes.sizeof(layout.Entry) + length * ctypes.sizeof(table.element)
    assert total <= 6 << 20

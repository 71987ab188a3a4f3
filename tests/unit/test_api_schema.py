"""The API keeps what its OpenAPI document says: schemathesis makes requests from the document."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

from glupy_exporter.web import openapi
from tests.support import segments
from tests.support.exporters import exporter


def test_answers_are_as_documented(need: Callable[[object, str], None], tmp_path: Path) -> None:
    need(importlib.util.find_spec("schemathesis"), "schemathesis, from PyPI")
    made = segments.Segment(
        files={3: segments.File(b"/vm/\xff", uuid.UUID(int=1 << 64), (1, 2, 3), top_client=1)},
        clients={0: segments.Client(b"192.0.2.1", (1, 2, 3))},
        recorded={"slow": [segments.Recorded(client=1)]},
        flights={0: segments.Flight(client=1)},
    )
    flags = (f"--segment.dir={tmp_path}", "--web.listen-address=127.0.0.1:0")
    command = [Path(sys.executable).with_name("schemathesis"), "run", "--checks=all"]
    command += ["--max-examples=100", "--generation-database=:memory:", "--no-color"]
    with made.live(tmp_path), exporter(*flags) as running:
        url = f"http://127.0.0.1:{running.port()}{openapi.PATH}"
        done = subprocess.run([*command, url], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, f"{done.stdout[-5000:]}{done.stderr[-2000:]}"
    assert "Tested: 4" in done.stdout, done.stdout[-5000:]

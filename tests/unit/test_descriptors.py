"""More segments than a process may have open files."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support import segments
from tests.support.exporters import COMMAND, Exporter, ask

SEGMENTS = 1200
LIMIT = 1024


def test_what_cannot_be_opened_is_said_once_and_the_rest_is_served(tmp_path: Path) -> None:
    for number in range(SEGMENTS):
        brick = segments.Segment(volume=f"v{number:04}", lanes=1, file_slots=8, client_slots=8)
        brick.write(tmp_path)
    limited = ("sh", "-c", f'ulimit -n {LIMIT} && exec "$@"', "sh", *COMMAND)
    flags = ("--web.listen-address=127.0.0.1:0", f"--segment.dir={tmp_path}")
    running = Exporter(*flags, command=limited)
    try:
        port = running.port()
        for path in ("/metrics", "/api/v1/files", "/", "/metrics"):
            answer, body = ask(port, path)
            assert answer.status == 200
        served = re.findall(rb'^glupy_brick_up\{.*volume="(v\d+)"', body, re.MULTILINE)
        assert served[0] == b"v0000"
        assert 100 < len(served) < LIMIT / 2
        assert b'glupy_segment_errors_total{reason="descriptors"} 2\n' in body
        assert b'glupy_segment_errors_total{reason="unreadable"} 0\n' in body
        assert f"lets {len(served)} be read" in running.wait_for("reason=descriptors")
    finally:
        assert running.stop() == 0
    while "stopping" not in (line := running.log.get(timeout=20)):
        assert "level=error" not in line and "level=warn" not in line

"""Tests that run apart keep nobody else's clients alive."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.gluster.volumes import volume

ROOT = Path(__file__).resolve().parents[2]


def test_a_client_ends_at_its_unmount(glusterd: None) -> None:
    words = [sys.executable, "-m", "tests.support.apart", "sh", "-c", "echo; read -r _"]
    pipe = subprocess.PIPE
    with volume(bricks=1, counted=False) as subject:
        with subject.mount():  # which waits for the client's end
            apart = subprocess.Popen(words, cwd=ROOT, stdin=pipe, stdout=pipe)
            assert apart.stdout
            assert apart.stdout.readline() == b"\n"
        apart.communicate(b"\n", timeout=30)
        assert apart.returncode == 0

"""The spec of the RPM packages, as far as it can be checked without Enterprise Linux."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from glupy_exporter import __version__

SPEC = Path(__file__).resolve().parents[2] / "deploy" / "rpm" / "glupy-exporter.spec"
VERSION = __version__.replace(".dev", "~dev")
"""As packages have it: older than the release of that number."""

Need = Callable[[object, str], None]


@pytest.mark.parametrize("release", ["8", "9"])
def test_it_parses(release: str, need: Need) -> None:
    need(shutil.which("rpmspec"), "rpmspec (Debian: rpm)")
    words = ["rpmspec", "--parse", f"--define=rhel {release}"]
    parsed = subprocess.run([*words, SPEC], capture_output=True, text=True, check=True).stdout
    assert f"\nVersion:        {VERSION}\n" in parsed
    python = "39" if release == "8" else "3"
    assert f"python{python}-tornado >= 6.1" in parsed
    attributes = r"^%attr\(0640, root, glupy\) %config\(noreplace\) /etc/glupy-exporter/config.yml$"
    assert re.search(attributes, parsed, re.MULTILINE)
    upgraded = parsed.partition("\n%post\n")[2].partition("\n%preun")[0]
    assert "chmod 0640 /etc/glupy-exporter/config.yml" in upgraded
    assert re.search(r"^Requires: +glusterfs = [0-9.]+$", parsed, re.MULTILINE)
    # The units stop only after the script has not refused.
    assert "\n%preun -f exporter.preun\n" in parsed
    assert "\ncp deploy/debian/glupy-exporter.prerm exporter.preun\ncat >> exporter.preun" in parsed


def test_rpmlint_finds_no_error(need: Need) -> None:
    need(shutil.which("rpmlint"), "rpmlint")
    done = subprocess.run(["rpmlint", SPEC], capture_output=True, text=True)
    assert "0 errors" in done.stdout, done.stdout
    assert done.returncode == 0


def test_debian_has_the_same_version() -> None:
    changelog = (SPEC.parents[1] / "debian" / "changelog").read_text()
    assert changelog.startswith(f"glupy-exporter ({VERSION}) ")

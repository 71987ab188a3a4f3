"""What a release says of its dependencies, from what pip reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deploy import release

ROOT = Path(__file__).resolve().parents[2]


def item(name: str, version: str, digest: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "version": version, "license": "MIT\nand its text"},
        "download_info": {
            "url": f"https://example.org/{digest}.whl",
            "archive_info": {"hashes": {"sha256": digest}},
        },
    }


REPORTS = [
    (
        python,
        {
            "install": [
                item("PyYAML", "6", f"aa{machine}{python}"),
                item("tornado", "6.5" if python == "3.9" else "6.6", f"bb{machine}"),
            ]
        },
    )
    for python in release.PYTHONS
    for machine in "xy"
]


def test_what_is_required_is_what_setup_cfg_says_and_a_newer_tornado() -> None:
    found = release.requirements(ROOT / "setup.cfg")
    names = ["prometheus_client", "PyYAML", "tornado", "bcrypt", "tornado"]
    assert [each.split()[0] for each in found] == names
    assert found[-1] == "tornado >= 6.5"


def test_every_file_of_every_python_has_its_hash() -> None:
    text = release.constraints(release.packages(REPORTS))
    header, yaml, old, new = text.replace(" \\\n   ", "").splitlines()
    assert header == "# pip install --require-hashes -r constraints.txt"
    expected = sorted(f"--hash=sha256:aa{m}{python}" for python in release.PYTHONS for m in "xy")
    assert yaml.split() == ["pyyaml==6", *expected]
    both = "--hash=sha256:bbx --hash=sha256:bby"
    assert old == f'tornado==6.5 ; python_version == "3.9" {both}'
    others = " or ".join(f'python_version == "{python}"' for python in release.PYTHONS[1:])
    assert new == f"tornado==6.6 ; {others} {both}"


def test_the_bill_of_materials_names_all(tmp_path: Path) -> None:
    wheel = tmp_path / "glupy_exporter-1.2-py3-none-any.whl"
    wheel.write_bytes(b"")
    document = json.loads(release.sbom(wheel, release.packages(REPORTS)))
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    root = document["metadata"]["component"]
    assert root["purl"] == "pkg:pypi/glupy-exporter@1.2"
    assert root["hashes"][0]["content"].startswith("e3b0c442")  # of nothing
    purls = [component["purl"] for component in document["components"]]
    assert purls == ["pkg:pypi/pyyaml@6", "pkg:pypi/tornado@6.5", "pkg:pypi/tornado@6.6"]
    assert document["dependencies"] == [{"ref": root["bom-ref"], "dependsOn": purls}]
    first = document["components"][0]
    assert first["licenses"] == [{"license": {"name": "MIT"}}]
    assert len(first["externalReferences"]) == 2 * len(release.PYTHONS)

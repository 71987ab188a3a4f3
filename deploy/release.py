"""Writes what a release has besides its wheel: what it depends on, with hashes.

``constraints.txt`` pins every dependency, for pip's ``--require-hashes``. ``sbom.cdx.json`` is a
software bill of materials in the format of CycloneDX. pip is asked once for each Python and each
machine, as each has files of its own.
"""

from __future__ import annotations

import configparser
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
MACHINES = ("x86_64", "aarch64")
FLOORS = ["tornado >= 6.5"]
"""What setup.cfg cannot demand, as packages of distributions stand on older ones: Debian 12 has
tornado 6.2, which takes malformed framing for a request."""


class Package(NamedTuple):
    """A dependency in one version."""

    name: str
    version: str
    license: str
    files: Mapping[str, str]
    """SHA-256 by URL, of the files for all Pythons and machines."""
    pythons: tuple[str, ...]
    """Those that take this version."""


def requirements(setup: Path) -> list[str]:
    """What the exporter needs, passwords included, by its ``setup.cfg``."""
    parser = configparser.ConfigParser()
    parser.read(setup, encoding="utf-8")
    text = parser["options"]["install_requires"] + parser["options.extras_require"]["auth"]
    return text.split("\n")[1:] + FLOORS


def report(wanted: Iterable[str], python: str, machine: str) -> dict[str, Any]:
    """pip's installation report of what it would install there (format version 1)."""
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    words += ["--dry-run", "--ignore-installed", "--report=-", "--target=build/nowhere"]
    words += ["--only-binary=:all:", f"--python-version={python}"]
    words += [f"--platform=manylinux2014_{machine}", *wanted]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def packages(reports: Iterable[tuple[str, Mapping[str, Any]]]) -> list[Package]:
    """All that is in pip's reports, each with the Python for which it was made, by name."""
    found: dict[tuple[str, str], Package] = {}
    for python, answer in reports:
        for item in answer["install"]:
            said, source = item["metadata"], item["download_info"]
            key = said["name"].lower().replace("_", "-"), said["version"]
            terms = said.get("license_expression") or said.get("license", "").split("\n")[0]
            before = found.get(key, Package(*key, terms, {}, ()))
            files = {source["url"]: source["archive_info"]["hashes"]["sha256"]}
            found[key] = before._replace(
                files={**before.files, **files},
                pythons=tuple(dict.fromkeys((*before.pythons, python))),
            )
    return [found[key] for key in sorted(found)]


def constraints(found: Iterable[Package]) -> str:
    """Requirements for ``pip install --require-hashes -r``."""
    lines = ["# pip install --require-hashes -r constraints.txt"]
    for package in found:
        line = f"{package.name}=={package.version}"
        if set(package.pythons) != set(PYTHONS):
            line += " ; " + " or ".join(f'python_version == "{each}"' for each in package.pythons)
        hashes = sorted(set(package.files.values()))
        lines.append(" \\\n    ".join([line, *(f"--hash=sha256:{each}" for each in hashes)]))
    return "\n".join(lines) + "\n"


def _hash(value: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": value}]


def sbom(wheel: Path, found: Iterable[Package]) -> str:
    """The bill of materials of the wheel, as JSON of CycloneDX 1.5."""
    name, version = wheel.name.split("-")[:2]
    exporter = f"pkg:pypi/{name.replace('_', '-')}@{version}"
    components = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{package.name}@{package.version}",
            "name": package.name,
            "version": package.version,
            "purl": f"pkg:pypi/{package.name}@{package.version}",
            "licenses": [{"license": {"name": package.license}}] if package.license else [],
            "externalReferences": [
                {"type": "distribution", "url": url, "hashes": _hash(digest)}
                for url, digest in sorted(package.files.items())
            ],
        }
        for package in found
    ]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": exporter,
                "name": name.replace("_", "-"),
                "version": version,
                "purl": exporter,
                "hashes": _hash(hashlib.sha256(wheel.read_bytes()).hexdigest()),
            }
        },
        "components": components,
        "dependencies": [
            {"ref": exporter, "dependsOn": [each["bom-ref"] for each in components]},
        ],
    }
    return json.dumps(document, indent=2) + "\n"


def main(directory: Path) -> None:
    """Write both files beside the wheel in ``directory``."""
    (wheel,) = directory.glob("*.whl")
    wanted = requirements(Path("setup.cfg"))
    places = [(python, machine) for python in PYTHONS for machine in MACHINES]
    found = packages((python, report(wanted, python, machine)) for python, machine in places)
    (directory / "constraints.txt").write_text(constraints(found), encoding="utf-8")
    (directory / "sbom.cdx.json").write_text(sbom(wheel, found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

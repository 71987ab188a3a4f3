"""What documents and examples name is what the code declares: flags, keys, options, metrics."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from glupy_exporter import cli, config, reference
from glupy_exporter.metrics import COLLECTORS, docs
from glupy_exporter.metrics.exporter import SCRAPE_FAMILIES
from glupy_exporter.metrics.family import Family
from glupy_exporter.metrics.probes import Probes
from glupy_exporter.node.bricks import REASONS
from glupy_exporter.operate import options
from glupy_exporter.probes import base
from glupy_exporter.schema import option_table

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("deploy/ansible/**/*.yml"),
        *ROOT.glob("deploy/compose/*.yml"),
        *ROOT.glob("deploy/config/*"),
        *ROOT.glob("deploy/systemd/*"),
        *ROOT.glob("prometheus/**/*.yml"),
    ]
)
GENERATED = {"docs/metrics.md": docs.render, "docs/settings.md": reference.render}

FOREIGN_FLAGS = {
    "--diff": "ansible-playbook",
    "--enable-feature": "prometheus",
    "--storage.tsdb.path": "prometheus",
    "--syntax-only": "promtool",
    "--max-time": "curl",
    "--no-deps": "pip",
    "--now": "systemctl",
    "--print-libexecdir": "glusterfsd",
    "--print-xlatordir": "glusterfsd",
    "--require-hashes": "pip",
    "--volumes": "docker",
}
OF_OTHERS = {"host", "le", "quantile", "instance", "job", "cluster"}
"""Labels that any metric may have, by who scrapes it or by what is counted with it."""

FAMILIES = {
    family.name: family
    for families in (*(each.families for each in (*COLLECTORS, Probes)), SCRAPE_FAMILIES)
    for family in families
}
COMMANDS: dict[str, set[str]] = {}
"""The words that may follow a command, by command."""


def _flags(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            COMMANDS[parser.prog.split()[-1]] = {*action.choices}
            for each in action.choices.values():
                yield from _flags(each)


FLAGS = {*_flags(cli._parser())}


def _names(paths: str, pattern: str) -> set[str]:
    files = (path for path in ROOT.glob(paths) if path.is_file())
    return {name for path in files for name in re.findall(pattern, path.read_text("utf-8"))}


RECORDED = _names("prometheus/rules*/*.yml", r"record: (\S+)")
ALERTS = _names("prometheus/rules/*.yml", r"alert: (\S+)")
IDENTIFIERS = {
    *_names("deploy/ansible/site.yml", r"\bglupy_\w+"),
    *_names("deploy/ansible/roles/**/*.yml", r"\bglupy_\w+"),
    *_names("glupy_exporter/core/*.[ch]", r"\bglupy_\w+"),
    "glupy_exporter",  # the Python package
    base.PREFIX,
    f"{base.PREFIX}user_bytes_total",  # of the probe in docs/probes.md
}
"""Names that begin like a metric's and are variables of Ansible's roles, or of the C core."""
GONE = _names("docs/migration.md", r"(?m)^\| `([\w:]+)` \|")
"""Metrics and recorded series that earlier releases had."""
OF_THE_PAST = ("CHANGELOG.md", "migration.md")
"""Documents that may name them."""


def unknown_flags(text: str) -> Iterator[str]:
    for flag, value in re.findall(r"(?<![\w-])(--[a-z][\w.-]*)(?:=([^\s`,;)]+))?", text):
        stem = re.match(r"[a-z.-]+", flag)
        assert stem
        name = flag.rstrip(".")
        if name not in FLAGS | {*FOREIGN_FLAGS}:
            # --no-collector.NAME and --privacy. stand for several.
            several = stem[0] != flag or flag.endswith((".", "-"))
            if not several or not any(known.startswith(stem[0]) for known in FLAGS):
                yield flag
        elif value and value[0].isalnum() and not value.isupper():
            key = name[len("--") :]
            if key in config.SETTINGS and not _good(config.SETTINGS[key].check, value):
                yield f"{flag}={value}"


def _good(check: Callable[[Any], Any], value: object) -> bool:
    try:
        check(value)
    except ValueError:
        return False
    return True


def unknown_keys(text: str) -> Iterator[str]:
    roots = "|".join(sorted({key.partition(".")[0] for key in config.SETTINGS}))
    pattern = rf"(?<![\w./-])((?:{roots})\.[a-z][a-z.-]*[a-z])(?![\w(/])(?:: (\[[^\]]*\]|[^`\n]+))?"
    for key, value in re.findall(pattern, text):
        if key.endswith((".py", ".json", ".yml", ".md")):
            continue
        if key not in config.SETTINGS:
            if key not in config.IGNORED:
                yield key
        elif value and not _good(config.SETTINGS[key].check, yaml.safe_load(value)):
            yield f"{key}: {value}"


def unknown_options(text: str) -> Iterator[str]:
    known = {option.name: option for option in option_table.OPTIONS}
    pattern = rf"{re.escape(option_table.PREFIX)}((?:\.[a-z-]+)?)(?: ([a-z0-9/][\w/-]*))?"
    for match in re.finditer(pattern, text):
        name, value = option_table.PREFIX + match[1], match[2]
        in_code = value and text.count("`", 0, match.start()) % 2  # not the next word of a sentence
        if not match[1]:
            if in_code and value != options.POSITION:
                yield f"{name} {value}"
        elif name not in known:
            yield name
        elif in_code and not known[name].takes(value):
            yield f"{name} {value}"


def _families(name: str) -> list[Family]:
    """The families that the name stands for; all that begin with it if it ends with ``_``."""
    if name.endswith("_"):
        return [family for family in FAMILIES.values() if family.name.startswith(name)]
    for suffix in ("", "_bucket", "_sum", "_count"):
        family = FAMILIES.get(name[: len(name) - len(suffix)])
        if name.endswith(suffix) and family and (not suffix or family.type == "histogram"):
            return [family]
    return []


def _values(family: Family, label: str) -> tuple[str, ...]:
    """The values that a label of the family may have, none if it may have any."""
    if family.parts and label == family.labels[-1]:
        return family.parts
    return REASONS if label == "reason" else ()


def unknown_metrics(text: str) -> Iterator[str]:
    for name, labels in re.findall(r"(?<![\w-])([a-z_:]*glupy_[\w:]*)(?:\{([^{}]*)\})?", text):
        name = name.strip(":")
        if ":" in name:
            if name not in RECORDED:
                yield name
            continue
        families = _families(name)
        if not families and name not in IDENTIFIERS:
            yield name
        given = labels.replace("%q", '""')  # a template of an alert fills it in
        for label, value in re.findall(r'(\w+)(?:=~?|!=|!~|:)? *(?:"([^"]*)")?', given):
            for family in families:
                if label not in family.label_names and label not in OF_OTHERS:
                    yield f"{name}{{{label}}}"
                allowed = _values(family, label)
                if value and allowed and not {*value.split("|")} <= {*allowed}:
                    yield f'{name}{{{label}="{value}"}}'


def unknown_alerts(text: str) -> Iterator[str]:
    yield from ({*re.findall(r"\bGlupy[A-Z]\w+", text)} - ALERTS)


def unknown_commands(text: str) -> Iterator[str]:
    for command, word in re.findall(r"`(?:sudo )?(glupy-exporter|xlator) ([a-z]+)", text):
        if word not in COMMANDS[command]:
            yield f"{command} {word}"


CHECKS = {
    "flags": unknown_flags,
    "keys": unknown_keys,
    "options": unknown_options,
    "metrics": unknown_metrics,
    "alerts": unknown_alerts,
    "commands": unknown_commands,
}
FAULTS = {
    "flags": (
        "`serve --web.listen` `--no-privacy.NAME` `--privacy.paths=gfid` `--log.`",
        {"--web.listen", "--no-privacy.NAME", "--privacy.paths=gfid"},
    ),
    "keys": (
        "`privacy.paths: gfid`, `privacy.path` web.yml\n# collector.files.limit: 0\n`log.level`",
        {"privacy.paths: gfid", "privacy.path", "collector.files.limit: 0"},
    ),
    "options": (
        "`user.xlator.glupy quota` `user.xlator.glupy.file-slot` user.xlator.glupy is "
        "`gluster volume set V user.xlator.glupy.enabled perhaps`",
        {
            "user.xlator.glupy quota",
            "user.xlator.glupy.file-slot",
            "user.xlator.glupy.enabled perhaps",
        },
    ),
    "metrics": (
        "glupy_brick_down glupy_folder_ glupy_files_tracked_bucket a:glupy_b:c glupy_io_ "
        'glupy_brick_up{colour="red", job="x"} glupy_segment_errors_total{reason="none"} '
        'glupy_io_bytes_total{direction="read"} glupy_file_fops_total{kind=~"read|lookup"}',
        {
            *("glupy_brick_down", "glupy_folder_", "glupy_files_tracked_bucket", "a:glupy_b:c"),
            *("glupy_brick_up{colour}", 'glupy_segment_errors_total{reason="none"}'),
            'glupy_file_fops_total{kind="read|lookup"}',
        },
    ),
    "alerts": ("GlupyBrickDown GlupyBrickUp", {"GlupyBrickUp"}),
    "commands": (
        "`glupy-exporter serve` `glupy-exporter run` `xlator remove`",
        {"glupy-exporter run", "xlator remove"},
    ),
}


@pytest.mark.parametrize("what", CHECKS)
def test_a_fault_is_found(what: str) -> None:
    text, faults = FAULTS[what]
    assert {*CHECKS[what](text)} == faults


@pytest.mark.parametrize("what", CHECKS)
@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_names_what_there_is(path: Path, what: str) -> None:
    found = {*CHECKS[what](path.read_text(encoding="utf-8"))}
    assert found - (GONE if path.name in OF_THE_PAST else set()) == set()


@pytest.mark.parametrize("path", GENERATED)
def test_a_generated_document_is_up_to_date(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == GENERATED[path](), "run `make docs`"


def test_a_foreign_flag_is_named_somewhere() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    assert [flag for flag in FOREIGN_FLAGS if flag not in text] == []


def test_the_shipped_configuration_is_good(tmp_path: Path) -> None:
    """With all that it has as comments, too."""
    shipped = (ROOT / "deploy/config/config.yml").read_text(encoding="utf-8")
    lines = re.findall(r"^(?:# )?([a-z.-]+: .+)$", shipped, re.M)
    assert len(lines) > 5
    path = tmp_path / "config.yml"
    path.write_text("\n".join(lines), encoding="utf-8")
    config.load(argparse.Namespace(**{"config.file": path}))

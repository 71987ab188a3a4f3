"""What may be shown of files: the same for metrics and API."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property
from typing import Any

from glupy_exporter import values
from glupy_exporter.node import labels
from glupy_exporter.segment.records import File
from glupy_exporter.segment.text import unescape
from glupy_exporter.values import Setting, Settings

PATHS = {
    "full": "as they are",
    "hash": "a hash in place of each",
    "none": "no paths, gfids only",
}
"""Ways to show paths, each in a few words."""

_HASH_KEY_MAX = hashlib.blake2b.MAX_KEY_SIZE


def glob(pattern: str) -> re.Pattern[str]:
    """A pattern of the shell over whole paths, in which ``*`` and ``?`` match ``/`` too.

    Raises:
        ValueError: it is empty or not a pattern.
    """
    if not pattern:
        raise ValueError("a pattern may not be empty")
    try:
        return re.compile(translate(pattern))
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a pattern: {error}") from error


def _pattern(value: Any) -> str:
    glob(values.text(value))
    return str(value)


def _hash_key(value: Any) -> str:
    if not isinstance(value, str) or len(value.encode("utf-8", "surrogatepass")) > _HASH_KEY_MAX:
        raise values.expected(f"a text of at most {_HASH_KEY_MAX} bytes", value)
    return value


SETTINGS: Settings = {
    "privacy.paths": Setting(
        values.one_of(PATHS),
        "full",
        "how the paths of files are shown: "
        + ", ".join(f"{name} ({text})" for name, text in PATHS.items())
        + "; each file keeps its gfid, by which whoever can mount the volume can look it up",
        "HOW",
    ),
    "privacy.path-depth": Setting(
        values.whole(0, 1000), 0, "names of a path that are shown, from the root; 0 for all", "N"
    ),
    "privacy.hash-key": Setting(
        _hash_key,
        "",
        "key of the hashes, without which anybody can check a guess at a path; better in the "
        "file, as other users see flags",
        "KEY",
    ),
    "files.include": Setting(
        values.several(_pattern),
        [],
        "show only files whose path matches, may be repeated (a list in the file); * stands "
        "for any text, / included; of a path that is cut, only what it shows is known",
        "GLOB",
    ),
    "files.exclude": Setting(
        values.several(_pattern),
        [],
        "do not show files whose path matches, or may match if it is cut; may be repeated",
        "GLOB",
    ),
}


def _texts(path: str) -> set[str]:
    """The path as labels have it, in which a backslash is two, and as it is."""
    return {path, unescape(path).decode("utf-8", "surrogateescape")} if "\\" in path else {path}


def _may_match(pattern: str, path: str) -> bool:
    """Whether some path that begins with ``path`` may match the pattern.

    It is told by what the pattern has before its first wildcard; the rest may match anything.
    """
    head = re.split(r"[*?[]", pattern, maxsplit=1)[0]
    return head.startswith(path) or (head != pattern and path.startswith(head))


def _any(patterns: Iterable[str]) -> re.Pattern[str]:
    nothing = "(?!)"
    return re.compile("|".join(glob(pattern).pattern for pattern in patterns) or nothing)


@dataclass(frozen=True)
class Privacy:
    """Which files are shown, and what of their paths."""

    paths: str = "full"
    """One of :data:`PATHS`."""
    depth: int = 0
    """Names of a path that are kept, from the volume's root; 0 for all."""
    hash_key: str = ""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Privacy:
        """By the values of :data:`SETTINGS`."""
        return cls(
            paths=settings["privacy.paths"],
            depth=settings["privacy.path-depth"],
            hash_key=settings["privacy.hash-key"],
            include=settings["files.include"],
            exclude=settings["files.exclude"],
        )

    @property
    def selective(self) -> bool:
        """Whether some files may not be shown."""
        return bool(self.include or self.exclude)

    def shown(self, file: File) -> bool:
        """Whether the file may be shown, by its whole path; without a path it is not included.

        Of a path that is cut, the rest may be anything: it is included only if that does not
        matter, and excluded already if it may.
        """
        if not self.selective:
            return True
        texts = _texts(file.path)
        if self.include:
            include = self._include_any if file.truncated else self._include
            if not (file.path and any(map(include.match, texts))):
                return False
        if not self.exclude:
            return True
        if file.truncated and any(_may_match(p, text) for p in self.exclude for text in texts):
            return False
        return not any(map(self._exclude.match, texts))

    def path(self, file: File) -> str:
        """What is shown as the path.

        ``<gfid:...>`` while the brick has not learned it; ends in ``...`` where it is cut and in
        `` (deleted)`` if the file is, as in ``/proc``. It fits into a label.
        """
        if self.paths == "none":
            return ""
        path = self._cut(file)
        if self.paths == "hash" and file.path:
            key = self.hash_key.encode("utf-8")
            path = hashlib.blake2b(path.encode("utf-8"), digest_size=8, key=key).hexdigest()
        end = " (deleted)" if file.unlinked else ""
        return labels.fitting(path, labels.MAX - len(end)) + end

    def _cut(self, file: File) -> str:
        if not file.path:
            return f"<gfid:{file.gfid}>"
        names = file.path.split("/")
        if self.depth and len(names) > self.depth + 1:
            return "/".join((*names[: self.depth + 1], "..."))
        return f"{file.path}..." if file.truncated else file.path

    @cached_property
    def _include(self) -> re.Pattern[str]:
        return _any(self.include)

    @cached_property
    def _include_any(self) -> re.Pattern[str]:
        """Those patterns that match whatever comes after what they match."""
        return _any(pattern for pattern in self.include if pattern.endswith("*"))

    @cached_property
    def _exclude(self) -> re.Pattern[str]:
        return _any(self.exclude)

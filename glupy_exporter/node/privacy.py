"""Decides which files and paths may be shown, for /metrics, the API and `top` alike."""

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
"""The ways to show paths, each with its description."""

USERS = {
    "full": "as they are",
    "hash": "a hash in place of each",
    "none": "no ids of users and groups",
}
"""The ways to show ids of users and groups, each with its description."""

_HASH_KEY_MAX = hashlib.blake2b.MAX_KEY_SIZE


def glob(pattern: str) -> re.Pattern[str]:
    """A shell pattern for whole paths, compiled; ``*`` and ``?`` match ``/`` too.

    Raises:
        ValueError: the pattern is empty or malformed.
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
        + "; the gfid is always shown and leads anybody who can mount the volume to the file",
        "HOW",
    ),
    "privacy.path-depth": Setting(
        values.whole(0, 1000),
        0,
        "how many components of a path are shown, from the root on; 0 for all",
        "N",
    ),
    "privacy.users": Setting(
        values.one_of(USERS),
        "full",
        "how the ids of users and groups of a fop are shown: "
        + ", ".join(f"{name} ({text})" for name, text in USERS.items()),
        "HOW",
    ),
    "privacy.hash-key": Setting(
        _hash_key,
        "",
        "key of the hashes; without a key anybody can check a guess at a path. Set it in the "
        "file, as other users of the host can see flags",
        "KEY",
    ),
    "files.include": Setting(
        values.several(_pattern),
        [],
        "show only files whose path matches; * matches any text, / included. A path that the brick "
        "has cut matches only if the rest of it does not matter. May be repeated (a list in the "
        "file)",
        "GLOB",
    ),
    "files.exclude": Setting(
        values.several(_pattern),
        [],
        "hide files whose path matches. A path that the brick has cut matches if any rest of it "
        "may. May be repeated (a list in the file)",
        "GLOB",
    ),
}


def _texts(path: str) -> set[str]:
    """The path as labels have it, with escapes, and the path as it is on the volume."""
    return {path, unescape(path).decode("utf-8", "surrogateescape")} if "\\" in path else {path}


def _may_match(pattern: str, path: str) -> bool:
    """Whether some path that begins with ``path`` may match the pattern.

    Only the text before the pattern's first wildcard is compared: the rest may match anything.
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
    """How many components of a path are kept, from the volume's root on; 0 for all."""
    hash_key: str = ""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    users: str = "full"
    """One of :data:`USERS`."""

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Privacy:
        """Made of the values of :data:`SETTINGS`, by key."""
        return cls(
            paths=settings["privacy.paths"],
            depth=settings["privacy.path-depth"],
            hash_key=settings["privacy.hash-key"],
            include=settings["files.include"],
            exclude=settings["files.exclude"],
            users=settings["privacy.users"],
        )

    @property
    def selective(self) -> bool:
        """Whether some files may have to be hidden."""
        return bool(self.include or self.exclude)

    def shown(self, file: File) -> bool:
        """Whether the file may be shown, judged by its whole path.

        A file without a path matches no pattern of ``include``. The rest of a path that is cut may
        be anything: the file is included only if every rest matches, and excluded if any may.
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
        """The text that is shown as the file's path; it fits into a label.

        It is ``<gfid:...>`` while the brick has not learned the path. It ends in ``...`` where the
        path is cut, and in `` (deleted)`` if the file is deleted, as in ``/proc``.
        """
        if self.paths == "none":
            return ""
        path = self._cut(file)
        if self.paths == "hash" and file.path:
            path = self._hash(path)
        end = " (deleted)" if file.unlinked else ""
        return labels.fitting(path, labels.MAX - len(end)) + end

    def user(self, number: int) -> str:
        """The text that is shown as the id of a user or group, in decimal; empty for ``none``."""
        if self.users == "none":
            return ""
        return self._hash(f"user {number}") if self.users == "hash" else str(number)

    def _hash(self, text: str) -> str:
        key = self.hash_key.encode("utf-8")
        return hashlib.blake2b(text.encode("utf-8"), digest_size=8, key=key).hexdigest()

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
        """The patterns of ``include`` that still match if any text follows."""
        return _any(pattern for pattern in self.include if pattern.endswith("*"))

    @cached_property
    def _exclude(self) -> re.Pattern[str]:
        return _any(self.exclude)

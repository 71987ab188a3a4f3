"""A file of settings in YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from glupy_exporter.errors import UserError


def read(path: Path, what: str, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    """What the file holds, which messages call ``what``.

    Raises:
        UserError: it cannot be read, or is not YAML.
    """
    try:
        return yaml.load(path.read_bytes(), loader)
    except OSError as error:
        raise UserError(f"cannot read {what} {path}: {error.strerror}") from error
    # Besides its own errors PyYAML passes on what Python says to a date in month 0 or to nesting
    # without end.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        problem = " ".join(str(error).split())
        raise UserError(f"{what} {path} is not valid YAML: {problem}") from error

"""Keys and certificates, made by OpenSSL when a test asks for them."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make(directory: Path, name: str, *names: str) -> tuple[Path, Path]:
    """A self-signed certificate for alternative names such as ``DNS:localhost``, and its key."""
    cert, key = directory / f"{name}.crt", directory / f"{name}.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", f"/CN={name}"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", f"subjectAltName={','.join(names or ('DNS:' + name,))}"),
            *("-out", cert, "-keyout", key),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key

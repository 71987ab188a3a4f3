"""``tls_server_config`` as Python's ssl module has it."""

from __future__ import annotations

import ipaddress
import os
import ssl
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}

# Go's names and OpenSSL's. Neither lets anybody choose among those of TLS 1.3.
_CIPHERS = {
    "TLS_AES_128_GCM_SHA256": "",
    "TLS_AES_256_GCM_SHA384": "",
    "TLS_CHACHA20_POLY1305_SHA256": "",
    **{
        f"TLS_ECDHE_{key}_WITH_{name}": f"ECDHE-{key}-{openssl}"
        for key in ("ECDSA", "RSA")
        for name, openssl in {
            "AES_128_CBC_SHA": "AES128-SHA",
            "AES_256_CBC_SHA": "AES256-SHA",
            "AES_128_GCM_SHA256": "AES128-GCM-SHA256",
            "AES_256_GCM_SHA384": "AES256-GCM-SHA384",
            "CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
        }.items()
    },
}
REQUIRED_FOR_HTTP2 = (
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
)
"""RFC 7540, 9.2.2: one of these, by the kind of the server's key."""

_CURVES = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}

# RequestClientCert ignores the certificate, so none is requested. None: Python cannot require a
# certificate that it does not verify.
_CLIENT_AUTH: Mapping[str, ssl.VerifyMode | None] = {
    "": ssl.CERT_NONE,
    "NoClientCert": ssl.CERT_NONE,
    "RequestClientCert": ssl.CERT_NONE,
    "RequireAnyClientCert": None,
    "RequireClientCert": None,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}


@dataclass(frozen=True)
class Settings:
    """``tls_server_config``; what the file does not give is empty, or None for a path."""

    cert: str
    key: str
    cert_file: Path | None
    key_file: Path | None
    client_ca: str
    client_ca_file: Path | None
    client_auth_type: str
    client_allowed_sans: tuple[str, ...]
    min_version: str
    max_version: str
    cipher_suites: tuple[str, ...]
    curve_preferences: tuple[str, ...]
    prefer_server_cipher_suites: bool

    def files(self) -> tuple[Path, ...]:
        """The files that it names."""
        named = (self.cert_file, self.key_file, self.client_ca_file)
        return tuple(path for path in named if path)


def checked(settings: Settings) -> Settings | None:
    """The settings, or None if they ask for no TLS.

    Raises:
        ValueError: a value is unknown, or asks for something that Python cannot do.
    """
    for version in (settings.min_version, settings.max_version):
        _known("TLS version", version, _VERSIONS)
    for cipher in settings.cipher_suites:
        _known("cipher", cipher, _CIPHERS)
    for curve in settings.curve_preferences:
        _known("curve", curve, _CURVES)
    _known("client_auth_type", settings.client_auth_type, _CLIENT_AUTH)
    ca = bool(settings.client_ca or settings.client_ca_file)
    cert, key = settings.cert or settings.cert_file, settings.key or settings.key_file
    if not (cert or key or ca or settings.client_auth_type):
        return None
    if not cert:
        raise ValueError("tls_server_config: missing one of cert or cert_file")
    if not key:
        raise ValueError("tls_server_config: missing one of key or key_file")
    mode = _CLIENT_AUTH[settings.client_auth_type]
    if mode is None:
        raise ValueError(
            f"client_auth_type: Python cannot ask for a certificate without verifying it, as "
            f"{settings.client_auth_type} would, and that would keep nobody out; use "
            "RequireAndVerifyClientCert"
        )
    if ca and settings.client_auth_type in ("", "NoClientCert"):
        raise ValueError("a client CA needs a client_auth_type that uses it")
    if settings.client_allowed_sans and mode == ssl.CERT_NONE:
        raise ValueError(
            "client_allowed_sans needs a client_auth_type that verifies: VerifyClientCertIfGiven "
            "or RequireAndVerifyClientCert"
        )
    if 1 < len(set(settings.curve_preferences)) < len(_CURVES):
        raise ValueError("curve_preferences: Python can keep to one curve or allow all; name one")
    return settings


def _known(what: str, name: str, names: Mapping[str, Any]) -> None:
    if name not in names:
        raise ValueError(f"unknown {what}: {name!r}; known are {', '.join(filter(None, names))}")


def context(settings: Settings) -> ssl.SSLContext:
    """A server's context with the certificates that the files hold now.

    Raises:
        ValueError: a file cannot be read, or OpenSSL refuses the key, the certificate or an option.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.0 is the operator's choice
            made.minimum_version = _VERSIONS[settings.min_version]
            made.maximum_version = _VERSIONS[settings.max_version]
        ciphers = [_CIPHERS[name] for name in settings.cipher_suites if _CIPHERS[name]]
        if ciphers:
            made.set_ciphers(":".join(ciphers))
        if len(set(settings.curve_preferences)) == 1:
            made.set_ecdh_curve(_CURVES[settings.curve_preferences[0]])
        if not settings.prefer_server_cipher_suites:
            made.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
        with ExitStack() as stack:
            cert = settings.cert_file or stack.enter_context(_in_memory(settings.cert))
            key = settings.key_file or stack.enter_context(_in_memory(settings.key))
            _load(made, cert, key)
        made.verify_mode = _CLIENT_AUTH[settings.client_auth_type] or ssl.CERT_NONE
        _trust(made, settings)
    except ssl.SSLError as error:
        raise ValueError(f"tls_server_config: {error.reason or error}") from error
    return made


def _load(made: ssl.SSLContext, cert: Path, key: Path) -> None:
    for path in (cert, key):  # OpenSSL does not say which of them it could not read
        _readable(path)
    # Without an answer of ours OpenSSL would ask for the key's passphrase on the terminal.
    made.load_cert_chain(cert, key, password=lambda: "")


def _trust(made: ssl.SSLContext, settings: Settings) -> None:
    if settings.client_ca_file:
        _readable(settings.client_ca_file)
        made.load_verify_locations(cafile=settings.client_ca_file)
    elif settings.client_ca:
        made.load_verify_locations(cadata=settings.client_ca)
    elif made.verify_mode != ssl.CERT_NONE:
        made.load_default_certs(ssl.Purpose.CLIENT_AUTH)


def _readable(path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error


@contextmanager
def _in_memory(text: str) -> Iterator[Path]:
    """A file in memory with this text: ssl wants a file, and a key must not reach a disk."""
    handle = os.memfd_create("pem")
    try:
        os.write(handle, text.encode())
        yield Path(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)


def names(certificate: Mapping[str, Any]) -> set[str]:
    """The subject alternative names of a peer's certificate, as ssl gives it."""
    found = set()
    for kind, value in certificate.get("subjectAltName", ()):
        name = str(value)
        if kind == "IP Address":
            # OpenSSL writes IPv6 addresses in capitals and in full, and "<invalid>" for an address
            # of a wrong length.
            with suppress(ValueError):
                name = str(ipaddress.ip_address(name.strip()))
        found.add(name)
    return found

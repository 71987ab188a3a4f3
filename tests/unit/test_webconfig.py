"""What a web config file may say: the cases that exporter-toolkit tests, and ours."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from glupy_exporter.errors import UserError
from glupy_exporter.web.toolkit import tls, webconfig
from glupy_exporter.web.toolkit.guard import Guard
from tests.unit import certificates

HASH = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"
PAIR = "cert_file: server.crt, key_file: server.key"
HTTP1 = "http_server_config: {http2: false}\n"

Need = Callable[[object, str], None]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory, need: Need) -> Path:
    need(shutil.which("openssl"), "openssl")
    path = tmp_path_factory.mktemp("web")
    certificates.make(path, "server", "DNS:localhost", "IP:127.0.0.1")
    certificates.make(path, "client")
    (path / "junk.pem").write_text("no certificate")
    return path


def load(directory: Path, text: str) -> Guard:
    file = directory / "web.yml"
    file.write_text(text)
    return Guard(file)


def tls_section(more: str = "") -> str:
    return f"tls_server_config: {{{PAIR}{', ' if more else ''}{more}}}\n"


GO = (
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, "
    "TLS_AES_128_GCM_SHA256"
)

GOOD = {
    "empty": "",
    "TLS, certificate if given": tls_section("client_auth_type: VerifyClientCertIfGiven"),
    "TLS, certificate wanted": tls_section("client_auth_type: RequestClientCert"),
    "TLS, certificate required, its CA from the system": tls_section(
        "client_auth_type: RequireAndVerifyClientCert"
    ),
    "TLS, certificate required": tls_section(
        "client_auth_type: RequireAndVerifyClientCert, client_ca_file: client.crt"
    ),
    "alternative names": tls_section(
        "client_auth_type: RequireAndVerifyClientCert, client_ca_file: client.crt, "
        "client_allowed_sans: [one, two]"
    ),
    "some ciphers": tls_section(f"cipher_suites: [{GO}], min_version: TLS12, max_version: TLS12"),
    "ciphers, the client's choice": tls_section(
        f"cipher_suites: [{GO}], prefer_server_cipher_suites: false"
    ),
    "ciphers without HTTP/2": HTTP1
    + tls_section("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384], max_version: TLS12"),
    "all curves": tls_section("curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]"),
    "one curve": tls_section("curve_preferences: [CurveP521], min_version: TLS13"),
    "old TLS": tls_section("min_version: TLS10"),
    "headers": (
        "http_server_config: {headers: {Strict-Transport-Security: max-age=31536000, "
        "X-Content-Type-Options: nosniff, X-Frame-Options: deny, X-XSS-Protection: 1, "
        "Content-Security-Policy: default-src 'self'}}"
    ),
    "users": f"basic_auth_users: {{alice: {HASH}, bob: {HASH}}}",
    "users and TLS": tls_section() + f"basic_auth_users: {{alice: {HASH}}}",
    "rate limit": "rate_limit: {interval: 1m30s, burst: 3}",
    "no rate limit": "rate_limit: {interval: 0, burst: 0}",
}

BAD = {
    "not a mapping": ("one two\nthree", "expected KEY: VALUE lines"),
    "not YAML": ("a: [", "not valid YAML"),
    "a key twice": ("rate_limit: {}\nrate_limit: {}", "found 'rate_limit' twice"),
    "unknown section": ("tls_config: {}", "unknown key 'tls_config'"),
    "unknown key": ("tls_server_config: {cert_filse: server.crt}", "unknown key 'cert_filse'"),
    "not a text": ("tls_server_config: {cert_file: 1}", "cert_file: 1 is not a text"),
    "no certificate": (
        "tls_server_config: {cert_file: '', key_file: server.key}",
        "missing .* cert",
    ),
    "empty certificate": ("tls_server_config: {cert: '', key_file: server.key}", "missing .* cert"),
    "no key": ("tls_server_config: {cert_file: server.crt, key_file: ''}", "missing one of key"),
    "neither": ("tls_server_config: {client_auth_type: NoClientCert}", "missing one of cert"),
    "certificate is not there": (
        "tls_server_config: {cert_file: somefile, key_file: server.key}",
        "cannot read .*/somefile: No such file",
    ),
    "key is not there": (
        "tls_server_config: {cert_file: server.crt, key_file: somefile}",
        "cannot read .*/somefile: No such file",
    ),
    "junk for a certificate": (
        "tls_server_config: {cert_file: junk.pem, key_file: server.key}",
        "tls_server_config: ",
    ),
    "key of another": (
        "tls_server_config: {cert_file: server.crt, key_file: client.key}",
        "KEY_VALUES_MISMATCH",
    ),
    "CA without a policy": (tls_section("client_ca_file: client.crt"), "needs a client_auth_type"),
    "CA is not there": (
        tls_section("client_auth_type: RequireAndVerifyClientCert, client_ca_file: somefile"),
        "cannot read .*/somefile: No such file",
    ),
    "junk for a CA": (
        tls_section("client_auth_type: RequireAndVerifyClientCert, client_ca_file: junk.pem"),
        "tls_server_config: ",
    ),
    "unknown policy": (tls_section("client_auth_type: Maybe"), "unknown client_auth_type: 'Maybe'"),
    "a policy that Python has not": (
        tls_section("client_auth_type: RequireAnyClientCert"),
        "without verifying it",
    ),
    "names of certificates that nobody asks for": (
        tls_section("client_allowed_sans: [one]"),
        "needs a client_auth_type that verifies",
    ),
    "names of certificates that nobody verifies": (
        tls_section("client_auth_type: RequestClientCert, client_allowed_sans: [one]"),
        "needs a client_auth_type that verifies",
    ),
    "invented cipher": (
        tls_section("cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048]"),
        "unknown cipher",
    ),
    "ciphers that HTTP/2 does not take": (
        tls_section("cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384], max_version: TLS12"),
        "HTTP/2 requires",
    ),
    "invented curve": (tls_section("curve_preferences: [CurveP257]"), "unknown curve"),
    "two curves": (tls_section("curve_preferences: [CurveP256, X25519]"), "name one"),
    "invented version": (tls_section("min_version: TLS111"), "unknown TLS version"),
    "a hash that is none": ("basic_auth_users: {john: doe}", "of 'john' is no bcrypt hash"),
    "a user who is a number": (f"basic_auth_users: {{1: {HASH}}}", "'1' .* put it in quotes"),
    "a header of ours": ("http_server_config: {headers: {Server: x}}", "'Server' cannot be conf"),
    "a value that is not allowed": (
        "http_server_config: {headers: {X-Frame-Options: never}}",
        "invalid value for X-Frame-Options",
    ),
    "two lines in a header": (
        'http_server_config: {headers: {X-XSS-Protection: "1\\nSet-Cookie: a"}}',
        "is not a line",
    ),
    "an interval without a unit": (
        "rate_limit: {interval: 1}",
        "interval: 1 is not a duration like 1s",
    ),
    "an interval that is a truth value": (
        "rate_limit: {interval: yes}",
        "interval: True is not a duration",
    ),
    "a burst that is a text": (
        "rate_limit: {burst: many}",
        "burst: 'many' is not a whole number from 0",
    ),
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_accepted(directory: Path, text: str) -> None:
    guard = load(directory, text)
    assert guard.tls == ("tls_server_config" in text)


@pytest.mark.parametrize(("text", "why"), BAD.values(), ids=BAD)
def test_refused_with_the_reason(directory: Path, text: str, why: str) -> None:
    with pytest.raises(UserError, match=why) as refused:
        load(directory, text)
    assert "\n" not in str(refused.value)
    assert str(directory / "web.yml") in str(refused.value)


def test_a_file_that_is_not_there(directory: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read web config file .*: No such file"):
        Guard(directory / "nothing.yml")


def test_inline_pem_is_as_good_as_files(directory: Path) -> None:
    def inline(name: str) -> str:
        return "|\n" + "".join(f"    {line}" for line in (directory / name).open())

    guard = load(
        directory,
        f"tls_server_config:\n  cert: {inline('server.crt')}  key: {inline('server.key')}"
        f"  client_auth_type: RequireAndVerifyClientCert\n  client_ca: {inline('client.crt')}",
    )
    context = guard.context()
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert len(context.get_ca_certs()) == 1


def test_options_reach_ssl(directory: Path) -> None:
    context = load(
        directory,
        tls_section(
            f"cipher_suites: [{GO}], max_version: TLS12, prefer_server_cipher_suites: false"
        ),
    ).context()
    chosen = {cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"}
    assert chosen == {"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-SHA"}
    assert context.minimum_version == context.maximum_version == ssl.TLSVersion.TLSv1_2
    assert not context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    default = load(directory, tls_section()).context()
    assert default.minimum_version == ssl.TLSVersion.TLSv1_2
    assert default.options & ssl.OP_CIPHER_SERVER_PREFERENCE


def test_an_interval_is_that_of_go(directory: Path) -> None:
    file = directory / "limit.yml"
    for text, seconds in {"1m30s": 90, "1.5s": 1.5, "200ms": 0.2, "0": 0, "'0s'": 0}.items():
        file.write_text(f"rate_limit: {{interval: {text}, burst: 2}}")
        assert webconfig.read(file).interval == pytest.approx(seconds)


def test_a_key_with_a_passphrase_asks_nobody(directory: Path) -> None:

    encrypted = directory / "encrypted.key"
    words = ["openssl", "ec", "-aes128", "-passout", "pass:secret"]
    subprocess.run(
        [*words, "-in", directory / "server.key", "-out", encrypted],
        check=True,
        capture_output=True,
    )
    with pytest.raises(UserError, match="tls_server_config"):
        load(directory, "tls_server_config: {cert_file: server.crt, key_file: encrypted.key}")


def test_names_of_a_certificate() -> None:
    found = {"subjectAltName": (("DNS", "a.example"), ("IP Address", "192.0.2.1"))}
    assert tls.names(found) == {"a.example", "192.0.2.1"}
    assert tls.names({}) == set()


def test_names_are_written_as_go_writes_them() -> None:
    certificate = {
        "subjectAltName": (
            ("DNS", "one.example"),
            ("IP Address", "2001:DB8:0:0:0:0:0:1"),
            ("IP Address", "192.0.2.1"),
            ("URI", "spiffe://one"),
        )
    }
    assert tls.names(certificate) == {"one.example", "2001:db8::1", "192.0.2.1", "spiffe://one"}

"""The crate's own authority and what it issues, read by openssl-minded clients and by a board without a clock."""

from __future__ import annotations

import datetime as dt
import http.client
import ipaddress
import os
import signal
import socket
import ssl
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store

from appliance.certificates import Certificates
from tests.appliance.daemon import serving
from tests.appliance.daemon.serving import Crate
from tests.support.ports import LOOPBACK, wait_until
from tests.support.tools import tool

NAMES = ["crate.internal", "board.local", "10.0.0.1", "fd00::1"]


def server_certificate(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())


def test_the_authority_is_made_once(tmp_path: Path) -> None:
    first = Certificates(tmp_path / "tls").ensure_authority()
    assert Certificates(tmp_path / "tls").ensure_authority() == first


def test_two_crates_have_two_authorities(tmp_path: Path) -> None:
    subjects = {
        x509.load_pem_x509_certificate(Certificates(tmp_path / name).ensure_authority()).subject for name in "ab"
    }
    assert len(subjects) == 2


def test_a_certificate_is_issued_again_only_when_names_change(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    assert certificates.ensure_server(NAMES)
    issued = server_certificate(tmp_path)
    assert not certificates.ensure_server(list(reversed(NAMES)))
    assert server_certificate(tmp_path) == issued
    authority = certificates.ensure_authority()
    assert certificates.ensure_server([*NAMES, "10.0.0.2"])
    assert server_certificate(tmp_path) != issued
    assert certificates.ensure_authority() == authority


@pytest.mark.parametrize("year", [1971, 2000, 2026, 2049])
@pytest.mark.parametrize("name", NAMES)
def test_it_verifies_whatever_year_the_board_believes_in(tmp_path: Path, name: str, year: int) -> None:
    certificates = Certificates(tmp_path)
    certificates.ensure_server(NAMES)
    subject = x509.IPAddress(ipaddress.ip_address(name)) if name[0] in "1f" else x509.DNSName(name)
    authority = x509.load_pem_x509_certificate(certificates.ensure_authority())
    policy = PolicyBuilder().store(Store([authority])).time(dt.datetime(year, 6, 1))  # noqa: DTZ001 - it wants it naive
    chain = policy.build_server_verifier(subject).verify(server_certificate(tmp_path), [])
    assert len(chain) == 2


def test_keys_are_p256_and_nobody_else_reads_them(tmp_path: Path) -> None:
    Certificates(tmp_path / "tls").ensure_server(NAMES)
    key = server_certificate(tmp_path / "tls").public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    for file in (tmp_path / "tls").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700


def served_names(crate: Crate) -> set[str]:
    """What the certificate says that a new connection gets."""
    context = ssl.create_default_context(cafile=str(crate.ca))
    with (
        socket.create_connection((LOOPBACK, crate.port)) as plain,
        context.wrap_socket(plain, server_hostname=LOOPBACK) as secure,
    ):
        encoded = secure.getpeercert(binary_form=True)
    assert encoded is not None
    names = x509.load_der_x509_certificate(encoded).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return {str(name.value) for name in names.value}


def test_a_reload_takes_another_certificate_without_dropping_a_connection(tmp_path: Path) -> None:
    """A change of names is played by a server certificate that somebody else put there."""
    with serving.crate(tmp_path / "store", "--name", "crate.example.org", "--name", "192.0.2.7", tls=True) as crate:
        wanted = served_names(crate)
        assert {"crate.internal", "localhost", LOOPBACK, "crate.example.org", "192.0.2.7"} <= wanted
        context = ssl.create_default_context(cafile=str(crate.ca))
        connection = http.client.HTTPSConnection(LOOPBACK, crate.port, context=context)
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
        Certificates(crate.root / "tls").ensure_server(["stale.example.org", LOOPBACK])
        os.kill(crate.pid, signal.SIGHUP)
        wait_until(lambda: "issued again" in serving.log_of(crate.root).read_text(), "the reload")
        assert served_names(crate) == wanted
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()


@pytest.mark.parametrize(("year", "renewed"), [(1970, False), (2026, False), (2047, False), (2049, True), (2060, True)])
def test_both_are_renewed_in_their_last_year(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, year: int, *, renewed: bool
) -> None:
    certificates = Certificates(tmp_path)
    certificates.ensure_server(NAMES)
    before = x509.load_pem_x509_certificate(certificates.ensure_authority())
    monkeypatch.setattr("appliance.certificates._now", lambda: dt.datetime(year, 6, 1, tzinfo=dt.UTC))
    assert certificates.ensure_server(NAMES) is renewed
    after = x509.load_pem_x509_certificate(certificates.ensure_authority())
    assert (after != before) is renewed
    assert after.public_key() == before.public_key(), "who trusts the one of before goes on to"
    assert not certificates.ensure_server(NAMES), "renewed once"
    server_certificate(tmp_path).verify_directly_issued_by(before)
    assert (server_certificate(tmp_path).not_valid_after_utc.year > 2049) is renewed


def made(folder: Path, *names: str, authority: bool = False) -> tuple[Path, Path]:
    """A certificate and its key as somebody's own authority would hand them out."""
    certificate, key = folder / "given.pem", folder / "given.key"
    options = ["-addext", f"subjectAltName={','.join(f'DNS:{name}' for name in names)}"] if names else []
    options += ["-addext", f"basicConstraints=critical,CA:{'TRUE' if authority else 'FALSE'}"]
    command = [tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=site"]
    subprocess.run(
        [*command, *options, "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    return certificate, key


def certificate_verb(crate_root: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*serving.PROGRAM, "--root", crate_root, "certificate", *words]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


def name_shown_to(crate: Crate, asked: str, authority: Path) -> str:
    context = ssl.create_default_context(cafile=str(authority))
    with (
        socket.create_connection((LOOPBACK, crate.port)) as plain,
        context.wrap_socket(plain, server_hostname=asked) as secure,
    ):
        shown = secure.getpeercert()
    assert shown
    return str(shown["subject"][0][0][1])


def test_the_site_brings_a_certificate_for_names_of_its_own(tmp_path: Path) -> None:
    certificate, key = made(tmp_path, "crate.example.org", "*.apps.example.org")
    with serving.crate(tmp_path / "store", tls=True) as crate:
        assert crate.ca is not None
        done = certificate_verb(crate.root, "use", certificate, key)
        assert done.returncode == 0, done.stderr
        wait_until(lambda: _shows(crate, "crate.example.org", certificate), "the reload")
        assert name_shown_to(crate, "a.apps.example.org", certificate) == "site"
        assert name_shown_to(crate, "crate.internal", crate.ca) == "crate.internal"
        assert "crate.example.org" in certificate_verb(crate.root, "show").stdout
        assert certificate_verb(crate.root, "drop").returncode == 0
        wait_until(lambda: not _shows(crate, "crate.example.org", certificate), "the reload")


def _shows(crate: Crate, asked: str, authority: Path) -> bool:
    try:
        return name_shown_to(crate, asked, authority) == "site"
    except ssl.SSLCertVerificationError:
        return False


def test_the_site_brings_an_authority_of_its_own(tmp_path: Path) -> None:
    certificate, key = made(tmp_path, authority=True)
    with serving.crate(tmp_path / "store", tls=True) as crate:
        done = certificate_verb(crate.root, "authority", certificate, key)
        assert done.returncode == 0, done.stderr

        def shows() -> bool:
            try:
                return name_shown_to(crate, "crate.internal", certificate) == "crate.internal"
            except ssl.SSLCertVerificationError:
                return False

        wait_until(shows, "the reload")
        assert crate.request("GET", "/ca.pem", port=crate.plain, token="").body == certificate.read_bytes()


@pytest.mark.parametrize("verb", ["use", "authority"])
@pytest.mark.parametrize("wrong", ["no certificate", "no key", "another key", "of the wrong kind"])
def test_a_certificate_that_does_not_do_changes_nothing(tmp_path: Path, verb: str, wrong: str) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    certificate, key = made(tmp_path / "one", *([] if verb == "authority" else ["a.example.org"]), authority=True)
    if wrong == "no certificate":
        certificate.write_text("hello")
    elif wrong == "no key":
        key.write_text("hello")
    elif wrong == "another key":
        _, key = made(tmp_path / "other")
    else:
        certificate, key = made(tmp_path / "other")
    root = tmp_path / "store"
    authority = Certificates(root / "tls").ensure_authority()
    done = certificate_verb(root, verb, certificate, key)
    assert (done.returncode, done.stderr[:17]) == (2, "crate-appliance: "), done.stderr
    assert Certificates(root / "tls").ensure_authority() == authority
    assert Certificates(root / "tls").site.about() is None

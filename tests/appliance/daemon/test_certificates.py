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
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store

from appliance.certificates import Certificates
from tests.appliance.daemon import serving
from tests.appliance.daemon.serving import Crate
from tests.support.ports import LOOPBACK, wait_until

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

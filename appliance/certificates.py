"""The crate's own certificate authority, and the server certificate that it issues for whatever the crate is called.

Boards have no clock that survives a power cut, so both are valid from 1970 on and until 2049, the last year that
every X.509 reader takes (RFC 5280, 4.1.2.5.1). What a client trusts is the authority; the server certificate is
issued again whenever names or addresses change, and no client notices.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import secrets
import ssl
from collections.abc import Collection
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance import disk

WELL_KNOWN = "crate.internal"
_BEGIN = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_END = dt.datetime(2049, 12, 31, 23, 59, 59, tzinfo=dt.UTC)

Name = x509.DNSName | x509.IPAddress


class Certificates:
    """The PEM files in a folder: ca.pem and ca.key, made once; server.pem and server.key, issued when needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ca, self._ca_key = folder / "ca.pem", folder / "ca.key"
        self._server, self._server_key = folder / "server.pem", folder / "server.key"

    def ensure_authority(self) -> bytes:
        """The authority's certificate in PEM, made at the first call ever."""
        if not self.ca.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            self._folder.chmod(0o700)
            key = ec.generate_private_key(ec.SECP256R1())
            subject = _subject(f"BuzzCrate authority {secrets.token_hex(4)}")
            certificate = (
                _builder(subject, subject, key.public_key(), key.public_key())
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(_usage(signs=True), critical=True)
                .sign(key, hashes.SHA256())
            )
            disk.write_private(self._ca_key, _private(key))
            # the certificate last: where it is, its key is
            disk.write_private(self.ca, certificate.public_bytes(serialization.Encoding.PEM))
        return self.ca.read_bytes()

    def ensure_server(self, names: Collection[str]) -> bool:
        """Issues a server certificate for `names` unless there is one for just them. Whether it did."""
        wanted = {_name(name) for name in names}
        authority = x509.load_pem_x509_certificate(self.ensure_authority())
        if self._server.exists() and self._server_key.exists():
            current = x509.load_pem_x509_certificate(self._server.read_bytes())
            held = current.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            if set(held) == wanted and current.issuer == authority.subject:
                return False
        signer = serialization.load_pem_private_key(self._ca_key.read_bytes(), None)
        if not isinstance(signer, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{self._ca_key} holds no EC key")
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(_subject(WELL_KNOWN), authority.subject, key.public_key(), signer.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(sorted(wanted, key=str)), critical=False)
            .sign(signer, hashes.SHA256())
        )
        disk.write_private(self._server_key, _private(key))
        disk.write_private(self._server, certificate.public_bytes(serialization.Encoding.PEM))
        return True

    def load_into(self, context: ssl.SSLContext) -> None:
        """Connections that begin from now on get the current server certificate."""
        context.load_cert_chain(self._server, self._server_key)


def _name(text: str) -> Name:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _subject(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, signer: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

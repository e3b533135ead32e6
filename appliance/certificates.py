"""The crate's own certificate authority, and the server certificate that it issues for whatever the crate is called.

Boards have no clock that survives a power cut, so both are valid from 1970 on and until 2049, the last year that
every X.509 reader takes (RFC 5280, 4.1.2.5.1); in the last year of either it is issued again, for longer. What a
client trusts is the authority; the server certificate is issued again whenever names or addresses change, and no
client notices. A site that has an authority of its own can put that, or one intermediate of it, in this one's place.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import secrets
import ssl
from collections.abc import Collection
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance import disk
from appliance.errors import BadCertificate
from appliance.site_certificate import SiteCertificate

WELL_KNOWN = "crate.internal"
_OURS = "BuzzCrate authority"
_BEGIN = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_END = dt.datetime(2049, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
_LAST_YEAR = dt.timedelta(days=365)
_LONGER = dt.timedelta(days=20 * 365)

Name = x509.DNSName | x509.IPAddress
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


class Certificates:
    """The PEM files in a folder: ca.pem and ca.key, made once; server.pem and server.key, issued when needed.

    site.pem and site.key are there when the site has brought a certificate of its own for names of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ca, self._ca_key = folder / "ca.pem", folder / "ca.key"
        self._server, self._server_key = folder / "server.pem", folder / "server.key"
        self.site = SiteCertificate(folder / "site.pem", folder / "site.key")

    def ensure_authority(self) -> bytes:
        """The authority's certificate in PEM, made at the first call ever, and again in its last year."""
        if not self.ca.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            self._folder.chmod(0o700)
            key = ec.generate_private_key(ec.SECP256R1())
            disk.write_private(self._ca_key, _private(key))
            # the certificate last: where it is, its key is
            self._sign_authority(_subject(f"{_OURS} {secrets.token_hex(4)}"), key)
        current = x509.load_pem_x509_certificate(self.ca.read_bytes())
        if current.subject.rfc4514_string().startswith(f"CN={_OURS}") and _ends_soon(current):
            self._sign_authority(current.subject, self._signer())  # of the same key: who trusts it goes on to
        return self.ca.read_bytes()

    def ensure_server(self, names: Collection[str]) -> bool:
        """Issues a server certificate for `names` unless there is one for just them. Whether it did."""
        wanted = {_name(name) for name in names}
        authority = x509.load_pem_x509_certificate(self.ensure_authority())
        if self._server.exists() and self._server_key.exists():
            current = x509.load_pem_x509_certificate(self._server.read_bytes())
            held = current.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            if set(held) == wanted and _signed(current, authority) and not _ends_soon(current, authority):
                return False
        signer = self._signer()
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(_subject(WELL_KNOWN), authority.subject, key, signer)
            .not_valid_before(max(_BEGIN, authority.not_valid_before_utc))
            .not_valid_after(min(_end(), authority.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(sorted(wanted, key=str)), critical=False)
            .sign(signer, _hash_for(signer))
        )
        disk.write_private(self._server_key, _private(key))
        # an authority that is somebody's intermediate is sent along
        disk.write_private(self._server, certificate.public_bytes(serialization.Encoding.PEM) + self._chain(authority))
        return True

    def replace_authority(self, certificate: bytes, key: bytes) -> None:
        """Issues in the name of another authority from now on. Raises `BadCertificate`; nothing is changed then.

        Clients that trust the one of before must be told of this one: /ca.pem, client-setup and deploy hand it out.
        """
        try:
            authority = x509.load_pem_x509_certificate(certificate)
            signer = serialization.load_pem_private_key(key, None)
        except (ValueError, TypeError) as error:
            raise BadCertificate(
                f"not a certificate and its key in PEM: {error}", hint="without a passphrase"
            ) from error
        if not isinstance(signer, Key):
            raise BadCertificate("a key of this kind signs no certificates here", hint="use EC, RSA or Ed25519")
        if signer.public_key() != authority.public_key():
            raise BadCertificate("the key is not that of the certificate")
        try:
            may_sign = authority.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except x509.ExtensionNotFound:
            may_sign = False
        if not may_sign:
            raise BadCertificate(
                "the certificate is no authority's", hint="crate-appliance certificate use takes others"
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        self.ca.unlink(missing_ok=True)
        disk.write_private(self._ca_key, key)
        disk.write_private(self.ca, certificate)

    def load_into(self, context: ssl.SSLContext) -> None:
        """Connections that begin from now on get the current server certificate, or the site's for the site's names."""
        context.load_cert_chain(self._server, self._server_key)
        self.site.serve_from(context)

    def stamp(self) -> tuple[int, ...]:
        """Changes when somebody puts other files there."""
        files = (self.ca, self._server, *self.site.files)
        return tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in files)

    def _sign_authority(self, subject: x509.Name, key: Key) -> None:
        certificate = (
            _builder(subject, subject, key, key)
            .not_valid_before(_BEGIN)
            .not_valid_after(_end())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .sign(key, _hash_for(key))
        )
        disk.write_private(self.ca, certificate.public_bytes(serialization.Encoding.PEM))

    def _signer(self) -> Key:
        signer = serialization.load_pem_private_key(self._ca_key.read_bytes(), None)
        if not isinstance(signer, Key):
            raise BadCertificate(f"{self._ca_key} holds a key that signs no certificates here")
        return signer

    def _chain(self, authority: x509.Certificate) -> bytes:
        return b"" if authority.subject == authority.issuer else self.ca.read_bytes()


def _end() -> dt.datetime:
    """2049, or twenty years from now where that is over."""
    now = _now()
    return _END if now + _LAST_YEAR < _END else now.replace(microsecond=0) + _LONGER


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _ends_soon(certificate: x509.Certificate, issuer: x509.Certificate | None = None) -> bool:
    """Whether a year is left at most, and another one would last longer than that."""
    soon = _now() + _LAST_YEAR >= certificate.not_valid_after_utc
    return soon and (issuer is None or certificate.not_valid_after_utc < issuer.not_valid_after_utc)


def _signed(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _name(text: str) -> Name:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _subject(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(subject: x509.Name, issuer: x509.Name, key: Key, signer: Key) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )


def _hash_for(key: Key) -> hashes.SHA256 | None:
    """Ed25519 brings its own."""
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


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

"""A certificate that the site brought, for names of the site's own, beside the crate's.

The crate goes on answering for crate.internal with its own certificate, which nodes and clients were told to trust;
whoever asks for one of the site's names (TLS's server name, RFC 6066, 3) gets the site's.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from appliance import disk
from appliance.errors import BadCertificate


@dataclass(frozen=True, slots=True)
class About:
    """What a certificate says of itself."""

    names: tuple[str, ...]
    issuer: str
    ends: datetime


@dataclass(frozen=True, slots=True)
class SiteCertificate:
    """Two PEM files: the certificate followed by its chain, and its key."""

    certificate: Path
    key: Path

    @property
    def files(self) -> tuple[Path, Path]:
        return self.certificate, self.key

    def keep(self, chain: bytes, key: bytes) -> About:
        """Puts them in place of what was there. Raises `BadCertificate`; nothing is changed then."""
        told = about(chain)
        try:
            public = serialization.load_pem_private_key(key, None).public_key()
        except (ValueError, TypeError) as error:
            raise BadCertificate(f"not a private key in PEM: {error}", hint="without a passphrase") from error
        if public != x509.load_pem_x509_certificates(chain)[0].public_key():
            raise BadCertificate("the key is not that of the first certificate", hint="give the chain leaf first")
        if not told.names:
            raise BadCertificate("the certificate names no host", hint="it needs a subject alternative name")
        self.certificate.parent.mkdir(parents=True, exist_ok=True)
        self.drop()
        disk.write_private(self.key, key)
        disk.write_private(self.certificate, chain)
        return told

    def drop(self) -> None:
        """Whether there is one or not."""
        for file in self.files:
            file.unlink(missing_ok=True)

    def about(self) -> About | None:
        """None when there is none."""
        return about(self.certificate.read_bytes()) if all(file.exists() for file in self.files) else None

    def serve_from(self, context: ssl.SSLContext) -> None:
        """Connections of `context` that ask for one of its names get it from now on; others what they got before."""
        told = self.about()
        if told is None:
            context.sni_callback = None
            return
        other = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        other.set_alpn_protocols(["http/1.1"])
        other.load_cert_chain(*self.files)
        names = told.names

        def choose(connection: ssl.SSLObject, wanted: str | None, _context: ssl.SSLContext) -> None:
            if wanted and _means(names, wanted.lower()):
                connection.context = other

        context.sni_callback = choose


def about(chain: bytes) -> About:
    """Of the first certificate of a PEM file. Raises `BadCertificate`."""
    try:
        first = x509.load_pem_x509_certificates(chain)[0]
        names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = tuple(name.lower() for name in names.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        hosts = ()
    except ValueError as error:
        raise BadCertificate(f"not a certificate in PEM: {error}") from error
    return About(hosts, first.issuer.rfc4514_string(), first.not_valid_after_utc)


def _means(names: Iterable[str], wanted: str) -> bool:
    """A star stands for one whole label (RFC 9525, 6.3)."""
    return any(name in {wanted, f"*.{wanted.partition('.')[2]}"} for name in names)

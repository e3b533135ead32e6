"""OpenPGP as repositories need it: the crate's own signing key, and upstream's signatures checked.

Signing is written over `cryptography`, because a crate's key and signatures carry a date that no node's clock can be
behind (a board has no clock, and sqv refuses a signature from its future), and pysequoia dates by the clock.
Verifying, where everything is to be feared, is pysequoia's.

Formats: RFC 9580; keys are version 4 Ed25519 in the older encoding, which gpgv 2.2 reads (section 5.5.5.5).
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pysequoia
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pysequoia.packet import PacketPile

from archive import documents
from mirror.errors import BadSection, TruncatedIndex, Unsigned, WronglySigned

CLEARSIGNED = b"-----BEGIN PGP SIGNED MESSAGE-----"
_END = b"-----END PGP SIGNATURE-----"

BEGINNING = datetime(1970, 1, 2, tzinfo=UTC)
"""The date of a crate's key and of its signatures: apt on Debian 13 (sqv) accepts them on a clock that starts in 1970,
and a `Date:` field, not the signature, says how old an index is."""

_EDDSA, _SHA512 = 22, 10
_ED25519_OID = bytes.fromhex("2b06010401da470f01")
_SIGNATURE, _PUBLIC_KEY, _USER_ID = 2, 6, 13
_BINARY, _TEXT, _POSITIVE_CERTIFICATION = 0x00, 0x01, 0x13
_CREATED, _ISSUER, _KEY_FLAGS, _ISSUER_FINGERPRINT = 2, 16, 27, 33
_MAY_CERTIFY_AND_SIGN = b"\x03"


@dataclass(frozen=True)
class RepositoryKey:
    """The key that a crate signs its repositories with, without expiry. `created` is in UTC, to the second."""

    private: Ed25519PrivateKey
    created: datetime
    user: str

    @classmethod
    def generate(cls, user: str, created: datetime = BEGINNING) -> RepositoryKey:
        return cls(Ed25519PrivateKey.generate(), created.astimezone(UTC).replace(microsecond=0), user)

    @classmethod
    def from_bytes(cls, data: bytes) -> RepositoryKey:
        """Reads what `to_bytes` wrote. Raises `InvalidValue` for what is not JSON."""
        kept = documents.parse(data, "the repository key")
        private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(kept["seed"]))
        return cls(private, datetime.fromtimestamp(kept["created"], UTC), kept["user"])

    def to_bytes(self) -> bytes:
        """The secret key: to be kept where only the crate reads it."""
        seed = self.private.private_bytes_raw().hex()
        return documents.canonical({"created": int(self.created.timestamp()), "seed": seed, "user": self.user})

    @property
    def fingerprint(self) -> bytes:
        return hashlib.sha1(_framed_key(self._body()), usedforsecurity=False).digest()

    def public_key(self) -> bytes:
        """Armored: key, user id, and the signature that binds them."""
        user = self.user.encode()
        bound = _framed_key(self._body()) + b"\xb4" + struct.pack(">I", len(user)) + user
        flags = _subpacket(_KEY_FLAGS, _MAY_CERTIFY_AND_SIGN)
        certification = self.signature(_POSITIVE_CERTIFICATION, bound, self.created, flags)
        packets = _packet(_PUBLIC_KEY, self._body()) + _packet(_USER_ID, user) + certification
        return _armored(b"PUBLIC KEY BLOCK", packets)

    def signer(self, when: datetime = BEGINNING) -> Signer:
        """Signs with the date `when`, or the key's own where that is later: no signature may precede its key."""
        return Signer(self, max(when.astimezone(UTC).replace(microsecond=0), self.created))

    def _body(self) -> bytes:
        point = b"\x40" + self.private.public_key().public_bytes_raw()
        head = struct.pack(">BIBB", 4, int(self.created.timestamp()), _EDDSA, len(_ED25519_OID))
        return head + _ED25519_OID + _mpi(point)

    def signature(self, kind: int, data: bytes, when: datetime, extra: bytes = b"") -> bytes:
        """A signature packet of type `kind` over `data`; `extra` are hashed subpackets (RFC 9580, section 5.2)."""
        hashed = _subpacket(_CREATED, struct.pack(">I", int(when.timestamp())))
        hashed += _subpacket(_ISSUER_FINGERPRINT, b"\x04" + self.fingerprint) + extra
        head = struct.pack(">BBBBH", 4, kind, _EDDSA, _SHA512, len(hashed)) + hashed
        digest = hashlib.sha512(data + head + b"\x04\xff" + struct.pack(">I", len(head))).digest()
        raw = self.private.sign(digest)
        unhashed = _subpacket(_ISSUER, self.fingerprint[-8:])
        tail = struct.pack(">H", len(unhashed)) + unhashed + digest[:2] + _mpi(raw[:32]) + _mpi(raw[32:])
        return _packet(_SIGNATURE, head + tail)


@dataclass(frozen=True)
class Signer:
    """A `mirror.ecosystem.RepositorySigner` whose signatures all carry one date."""

    key: RepositoryKey
    when: datetime

    def public_key(self) -> bytes:
        return self.key.public_key()

    def clearsign(self, text: bytes) -> bytes:
        lines = [line.rstrip(b" \t\r") for line in text.rstrip(b"\n").split(b"\n")]
        signature = self.key.signature(_TEXT, b"\r\n".join(lines), self.when)
        escaped = b"\n".join(b"- " + line if line.startswith(b"-") else line for line in lines)
        return CLEARSIGNED + b"\nHash: SHA512\n\n" + escaped + b"\n" + _armored(b"SIGNATURE", signature)

    def detach(self, data: bytes) -> bytes:
        return _armored(b"SIGNATURE", self.key.signature(_BINARY, data, self.when))


def _framed_key(body: bytes) -> bytes:
    return b"\x99" + struct.pack(">H", len(body)) + body


def _mpi(number: bytes) -> bytes:
    number = number.lstrip(b"\0")
    bits = len(number) * 8 - (8 - number[0].bit_length()) if number else 0
    return struct.pack(">H", bits) + number


def _subpacket(kind: int, body: bytes) -> bytes:
    return bytes([len(body) + 1, kind]) + body


def _packet(tag: int, body: bytes) -> bytes:
    return bytes([0xC0 | tag, 0xFF]) + struct.pack(">I", len(body)) + body


def _armored(kind: bytes, data: bytes) -> bytes:
    text = base64.b64encode(data)
    lines = b"\n".join(text[start : start + 64] for start in range(0, len(text), 64))
    checksum = base64.b64encode(_crc24(data).to_bytes(3, "big"))
    return b"-----BEGIN PGP %b-----\n\n%b\n=%b\n-----END PGP %b-----\n" % (kind, lines, checksum, kind)


def _crc24(data: bytes) -> int:
    """RFC 9580, section 6.1.1: optional there, but gpgv 2.2 warns where it is missing."""
    crc = 0xB704CE
    for octet in data:
        crc ^= octet << 16
        for _ in range(8):
            crc = (crc << 1) ^ (0x1864CFB if crc & 0x800000 else 0)
    return crc & 0xFFFFFF


@dataclass(frozen=True)
class Verified:
    """What a signature was found to cover, and the fingerprints of the certificates that made it."""

    data: bytes
    signers: tuple[str, ...]


class Keyring:
    """The certificates that upstream is believed by. `only` narrows them to these fingerprints (of certificates)."""

    def __init__(self, certificates: Iterable[pysequoia.Cert], only: Sequence[str] = ()) -> None:
        wanted = {fingerprint.lower().removesuffix("!").replace(" ", "") for fingerprint in only}
        self._certificates = [c for c in certificates if not wanted or c.fingerprint in wanted]

    @classmethod
    def load(cls, paths: Sequence[Path], armored: Sequence[bytes] = (), only: Sequence[str] = ()) -> Keyring:
        """From key files, binary or armored, and from keys that stand in the text. Raises `BadSection`."""
        found: list[pysequoia.Cert] = []
        for path in paths:
            try:
                found += pysequoia.Cert.split_bytes(path.read_bytes())
            except OSError as error:
                raise BadSection(f"cannot read the keyring {path}: {error.strerror}") from error
            except RuntimeError as error:
                raise BadSection(f"{path} is not an OpenPGP keyring: {_first_line(error)}") from error
        for block in armored:
            try:
                found += pysequoia.Cert.split_bytes(block)
            except RuntimeError as error:
                raise BadSection(f"the embedded key is not an OpenPGP key: {_first_line(error)}") from error
        return cls(found, only)

    def __len__(self) -> int:
        return len(self._certificates)

    def verify_clearsigned(self, data: bytes, where: str) -> Verified:
        """The text that the signature covers, and nothing that stands around it.

        Raises `Unsigned`, `TruncatedIndex` or `WronglySigned`, naming `where`.
        """
        if not data.startswith(CLEARSIGNED):
            raise Unsigned(f"{where} is not signed", hint="only signed repositories can be mirrored")
        if _END not in data:
            raise TruncatedIndex(f"{where} ends before its signature does", hint="try again; the mirror may be syncing")
        try:
            found = pysequoia.verify(bytes=data, store=self._store)
        except RuntimeError as error:
            raise self._wrong(where, error) from error
        return Verified(found.bytes or b"", tuple(signature.certificate for signature in found.valid_sigs))

    def verify_detached(self, data: bytes, signature: bytes, where: str) -> Verified:
        """`data`, once a signature in `signature` covers it. Raises `Unsigned` or `WronglySigned`."""
        try:
            packets = [bytes(packet) for packet in PacketPile.from_bytes(signature)]
        except RuntimeError as error:
            raise Unsigned(f"the signature of {where} cannot be read: {_first_line(error)}") from error
        signers: list[str] = []
        last: RuntimeError | None = None
        for packet in packets:
            try:
                found = pysequoia.verify(bytes=data, store=self._store, signature=pysequoia.Sig.from_bytes(packet))
                signers += [one.certificate for one in found.valid_sigs]
            except RuntimeError as error:
                last = error
        if not signers:
            raise self._wrong(where, last)
        return Verified(data, tuple(signers))

    def _store(self, _: list[str]) -> list[pysequoia.Cert]:
        return self._certificates

    def _wrong(self, where: str, error: RuntimeError | None) -> WronglySigned:
        reason = _first_line(error) if error else "it holds no signature"
        return WronglySigned(
            f"{where} is not signed by any of the {len(self)} keys that are trusted for it: {reason}",
            hint="name upstream's key in `keyrings`, after checking its fingerprint by another way",
        )


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0]

"""OpenSSH public keys as bytes: parsed by hand, because `cryptography` takes a security key for a plain one.

PROTOCOL and PROTOCOL.u2f of OpenSSH, RFC 4253 section 6.6, RFC 8709.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass

from archive.errors import MalformedKey

ED25519 = "ssh-ed25519"
SK_ED25519 = "sk-ssh-ed25519@openssh.com"
TYPES = (ED25519, SK_ED25519)
"""What crates are signed with."""
_POINT = 32


class Wire:
    """Reads SSH's length-prefixed fields (RFC 4251 section 5). Raises `ValueError` when they do not add up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, length: int) -> bytes:
        taken = self._data[self._at : self._at + length]
        if len(taken) != length:
            raise ValueError("it ends early")
        self._at += length
        return taken

    def integer(self) -> int:
        return int.from_bytes(self.take(4))

    def string(self) -> bytes:
        return self.take(self.integer())

    def end(self) -> None:
        if self._at != len(self._data):
            raise ValueError("it goes on after its end")


def string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key by its wire bytes, which are its identity. `point` is empty for types that crates are not signed with.

    `application` is what a security key was made for, usually `ssh:`.
    """

    type: str
    blob: bytes
    point: bytes = b""
    application: str = ""

    @classmethod
    def from_blob(cls, blob: bytes) -> PublicKey:
        """Raises `MalformedKey`; a key of another type is no error."""
        try:
            wire = Wire(blob)
            kind = wire.string().decode("ascii")
            if kind not in TYPES:
                return cls(kind, blob)
            point = wire.string()
            application = wire.string().decode() if kind == SK_ED25519 else ""
            wire.end()
        except ValueError as error:
            raise MalformedKey(f"this is no public key: {error}") from error
        if len(point) != _POINT:
            raise MalformedKey(f"this is no public key: {len(point)} bytes where {kind} has {_POINT}")
        return cls(kind, blob, point, application)

    @classmethod
    def ed25519(cls, point: bytes) -> PublicKey:
        return cls(ED25519, string(ED25519.encode()) + string(point), point)

    @classmethod
    def from_words(cls, kind: str, encoded: str) -> PublicKey:
        """The two words of a key line: type and base64. Raises `MalformedKey`."""
        try:
            key = cls.from_blob(base64.b64decode(encoded, validate=True))
        except binascii.Error as error:
            raise MalformedKey(f"the key after {kind} is not base64") from error
        if key.type != kind:
            raise MalformedKey(f"the line says {kind[:60]!r}, the key in it is {key.type[:60]!r}")
        return key

    @classmethod
    def from_line(cls, line: str) -> PublicKey:
        """A line of a `.pub` file: type, base64, comment. Raises `MalformedKey`."""
        words = line.split(maxsplit=2)
        if line.startswith("-----BEGIN "):
            raise MalformedKey("this is a private key", hint="name the .pub file beside it, and keep this one secret")
        if len(words) < 2:
            raise MalformedKey(
                f"{line[:60]!r} is not a public key", hint="it is one line: ssh-ed25519, the key, a comment"
            )
        return cls.from_words(words[0], words[1])

    @property
    def fingerprint(self) -> str:
        """`SHA256:…`, as `ssh-keygen -l` prints it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    @property
    def line(self) -> str:
        """As in a `.pub` file, without comment and newline."""
        return f"{self.type} {base64.b64encode(self.blob).decode()}"

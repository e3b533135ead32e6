"""Files encrypted with a passphrase, in the format of age (age-encryption.org/v1), so that `age -d` opens them, too.

A header holds a random file key, wrapped with the passphrase through scrypt; the content follows in chunks of 64 KiB,
each sealed with ChaCha20-Poly1305 under its number, the last one marked as the last. What is cut off, changed or
reordered does not open.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import io
import re
import secrets
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from appliance.errors import BadBackup, WrongPassphrase

MAGIC = b"age-encryption.org/v1\n"
_LABEL = b"age-encryption.org/v1/scrypt"
_WORK = 16  # log2 of scrypt's N: 64 MiB, which a board has, and a quarter of a second
_MOST_WORK = 20  # 1 GiB; a file that asks for more is not ours to open
_CHUNK = 64 << 10
_TAG = 16
_STANZA = re.compile(rb"-> scrypt ([A-Za-z0-9+/]{22}) ([1-9][0-9]?)\n([A-Za-z0-9+/]{43})\n")
_LONGEST_HEADER = 512  # bytes; ours has less than 200


class Writer(io.RawIOBase):
    """Encrypts what is written to it into `file`. Without `close` the file does not open again."""

    def __init__(self, file: BinaryIO, passphrase: str) -> None:
        self._file = file
        self._waiting = bytearray()
        self._count = 0
        key, salt, nonce = secrets.token_bytes(16), secrets.token_bytes(16), secrets.token_bytes(16)
        wrapped = ChaCha20Poly1305(_wrapping(passphrase, salt, _WORK)).encrypt(bytes(12), key, None)
        head = MAGIC + b"-> scrypt %s %d\n%s\n---" % (_encode(salt), _WORK, _encode(wrapped))
        file.write(head + b" " + _encode(_mac(key, head)) + b"\n" + nonce)
        self._cipher = ChaCha20Poly1305(_derive(key, nonce, b"payload"))

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._waiting += data
        while len(self._waiting) > _CHUNK:  # a full chunk may be the last one, so it waits for more
            self._seal(bytes(self._waiting[:_CHUNK]), last=False)
            del self._waiting[:_CHUNK]
        return len(data)

    def finish(self) -> None:
        """The end of the content; to be called once."""
        self._seal(bytes(self._waiting), last=True)
        self._waiting.clear()

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._count, last=last), chunk, None))
        self._count += 1


class Reader(io.RawIOBase):
    """Decrypts `file`, which stands at its beginning. Every byte that comes out is as it was written."""

    def __init__(self, file: BinaryIO, passphrase: str) -> None:
        """Raises `WrongPassphrase`; `BadBackup` for what is no such file."""
        self._file = file
        self._count = 0
        self._chunk = memoryview(b"")
        self._ended = False
        salt, work, wrapped, head, mac = _header(file)
        try:
            key = ChaCha20Poly1305(_wrapping(passphrase, salt, work)).decrypt(bytes(12), wrapped, None)
        except InvalidTag as error:
            raise WrongPassphrase("the passphrase is not that of this backup") from error
        if not hmac.compare_digest(_mac(key, head), mac):
            raise BadBackup("the head of the backup was changed or is damaged", hint="take another copy of it")
        self._cipher = ChaCha20Poly1305(_derive(key, file.read(16), b"payload"))
        self._next = file.read(_CHUNK + _TAG)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Raises `BadBackup` where the file is damaged or cut off."""
        if not self._chunk and not self._ended:
            self._open()
        view = memoryview(buffer)
        count = min(len(view), len(self._chunk))
        view[:count] = self._chunk[:count]
        self._chunk = self._chunk[count:]
        return count

    def _open(self) -> None:
        sealed, self._next = self._next, self._file.read(_CHUNK + _TAG)
        self._ended = not self._next
        try:
            self._chunk = memoryview(self._cipher.decrypt(_nonce(self._count, last=self._ended), sealed, None))
        except InvalidTag as error:
            raise BadBackup(
                f"the backup is damaged or cut off behind byte {self._count * _CHUNK}", hint="take another copy of it"
            ) from error
        self._count += 1


def _header(file: BinaryIO) -> tuple[bytes, int, bytes, bytes, bytes]:
    """Salt, work, wrapped key, what is authenticated, and its MAC; `file` stands behind it then."""
    first = file.read(_LONGEST_HEADER)
    found = _STANZA.match(first, len(MAGIC)) if first.startswith(MAGIC) else None
    end = first.find(b"\n", found.end()) + 1 if found else 0
    if not found or not end or not first[found.end() :].startswith(b"--- "):
        raise BadBackup("not encrypted with a passphrase alone", hint="age -d may open it; restore then what comes out")
    file.seek(end - len(first), io.SEEK_CUR)
    work = int(found[2])
    if work > _MOST_WORK:
        raise BadBackup(f"the passphrase is stretched more than this program does (2^{work})", hint="age -d opens it")
    try:
        mac = _decode(first[found.end() + 4 : end - 1])
    except (ValueError, binascii.Error) as error:
        raise BadBackup("the head of the backup is damaged", hint="take another copy of it") from error
    return _decode(found[1]), work, _decode(found[3]), first[: found.end() + 3], mac


def _wrapping(passphrase: str, salt: bytes, work: int) -> bytes:
    return Scrypt(salt=_LABEL + salt, length=32, n=1 << work, r=8, p=1).derive(passphrase.encode())


def _derive(key: bytes, salt: bytes | None, info: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=info).derive(key)


def _mac(key: bytes, head: bytes) -> bytes:
    return hmac.digest(_derive(key, None, b"header"), head, "sha256")


def _nonce(count: int, *, last: bool) -> bytes:
    return count.to_bytes(11, "big") + bytes([last])


def _encode(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _decode(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)

"""SSH signatures (OpenSSH's PROTOCOL.sshsig): their spelling, the slot that holds several, and their verification."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from archive.errors import MalformedKey, MalformedSlot, SlotFull
from archive.keys import ED25519, SK_ED25519, PublicKey, Wire, string
from archive.limits import LIMITS

NAMESPACE = "buzzcrate-crate@v1"
HASH = "sha512"
_MAGIC = b"SSHSIG"
_VERSION = (1).to_bytes(4)
_BEGIN = b"-----BEGIN SSH SIGNATURE-----\n"
_END = b"-----END SSH SIGNATURE-----\n"
_WIDTH = 70  # of a base64 line, as ssh-keygen breaks it
_USER_PRESENT = 0x01


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature block. `signature` is the inner one, in the key type's own format."""

    key: PublicKey
    namespace: str
    reserved: bytes
    hash: str
    signature: bytes

    @classmethod
    def from_blob(cls, blob: bytes) -> Signature:
        """Raises `ValueError` or `MalformedKey`."""
        wire = Wire(blob)
        if wire.take(len(_MAGIC)) != _MAGIC or wire.take(4) != _VERSION:
            raise ValueError("it is not an SSH signature of version 1")
        key = PublicKey.from_blob(wire.string())
        namespace, reserved = wire.string().decode(), wire.string()
        found = cls(key, namespace, reserved, wire.string().decode("ascii"), wire.string())
        wire.end()
        return found

    def to_blob(self) -> bytes:
        return (
            _MAGIC
            + _VERSION
            + string(self.key.blob)
            + string(self.namespace.encode())
            + string(self.reserved)
            + string(self.hash.encode())
            + string(self.signature)
        )

    def armored(self) -> bytes:
        return armor(self.to_blob())


def armor(blob: bytes) -> bytes:
    """As ssh-keygen writes it."""
    text = base64.b64encode(blob)
    lines = [text[start : start + _WIDTH] + b"\n" for start in range(0, len(text), _WIDTH)]
    return _BEGIN + b"".join(lines) + _END


def signed_data(message: bytes, namespace: str, reserved: bytes = b"") -> bytes:
    """What the key signs in the end; it covers the namespace and the hash's name."""
    digest = hashlib.new(HASH, message).digest()
    return _MAGIC + string(namespace.encode()) + string(reserved) + string(HASH.encode()) + string(digest)


def verify(signature: Signature, message: bytes, namespace: str = NAMESPACE) -> bool:
    """Whether `signature` is one of `message` for `namespace` by the key it carries.

    Ed25519, and Ed25519 security keys when their user was there (PROTOCOL.u2f); sha512 only.
    """
    if signature.namespace != namespace or signature.hash != HASH:
        return False
    data = signed_data(message, namespace, signature.reserved)
    try:
        wire = Wire(signature.signature)
        kind, raw = wire.string().decode("ascii"), wire.string()
        if kind != signature.key.type:
            return False
        if kind == SK_ED25519:
            flags, counter = wire.take(1), wire.take(4)
            application = hashlib.sha256(signature.key.application.encode()).digest()
            data = application + flags + counter + hashlib.sha256(data).digest()
            if not flags[0] & _USER_PRESENT:
                return False
        elif kind != ED25519:
            return False
        wire.end()
        Ed25519PublicKey.from_public_bytes(signature.key.point).verify(raw, data)
    except (ValueError, InvalidSignature):
        return False
    return True


def parse_slot(slot: bytes) -> tuple[Signature, ...]:
    """Every signature of a slot, of whatever key type, none when it is empty. Raises `MalformedSlot`."""
    if len(slot) != LIMITS.slot:
        raise MalformedSlot(f"the signature slot has {len(slot)} bytes instead of {LIMITS.slot}")
    rest = slot.rstrip(b"\n")
    if not rest:
        return ()
    rest += b"\n"
    found: list[Signature] = []
    while rest:
        block, end, after = rest.partition(_END)
        if not block.startswith(_BEGIN) or not end:
            raise MalformedSlot(
                f"the signature slot holds something else behind {len(found)} signatures",
                hint="the slot was damaged or edited; copy the crate again or have it signed again",
            )
        found.append(parse_armored(block + end))
        rest = after
    return tuple(found)


def parse_armored(text: bytes) -> Signature:
    """One armored signature, spelled as ssh-keygen spells it. Raises `MalformedSlot`."""
    try:
        blob = base64.b64decode(text.removeprefix(_BEGIN).removesuffix(_END).replace(b"\n", b""), validate=True)
        signature = Signature.from_blob(blob)
    except (ValueError, binascii.Error, MalformedKey) as error:
        raise MalformedSlot(f"a signature in the slot cannot be read: {error}") from error
    if signature.armored() != text:
        raise MalformedSlot("a signature in the slot is not spelled as ssh-keygen spells it")
    return signature


def fill_slot(signatures: tuple[bytes, ...]) -> bytes:
    """The slot with these armored signatures. Raises `SlotFull`."""
    content = b"".join(signatures)
    if len(content) > LIMITS.slot:
        raise SlotFull(f"{len(signatures)} signatures take {len(content)} bytes; the slot has {LIMITS.slot}")
    return content.ljust(LIMITS.slot, b"\n")

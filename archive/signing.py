"""Signing a crate with the SSH keys people have.

Plain and encrypted Ed25519 key files are used here, through `cryptography`. What lives elsewhere, in an agent or on a
FIDO2 security key, is asked through `ssh-keygen -Y sign`.
"""

from __future__ import annotations

import base64
import binascii
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive import layout, sshsig
from archive.errors import (
    KeyExists,
    MalformedKey,
    MalformedSlot,
    SigningFailed,
    UnsupportedKey,
    WrongPassphrase,
)
from archive.keys import ED25519, TYPES, PublicKey, Wire, string
from archive.layout import Member
from archive.limits import KIB, LIMITS
from archive.reader import read_envelope
from archive.sshsig import NAMESPACE, Signature
from archive.volumes import Volumes

_BEGIN = "-----BEGIN OPENSSH PRIVATE KEY-----"
_END = "-----END OPENSSH PRIVATE KEY-----"
_MAGIC = b"openssh-key-v1\0"
_KEY_FILE = 64 * KIB


class Signer(Protocol):
    """Something that signs with one key."""

    @property
    def public(self) -> PublicKey: ...

    def sign(self, message: bytes) -> bytes:
        """An armored signature of `message` for BuzzCrate's namespace. Raises `SigningFailed`."""
        ...


class KeyFile:
    """An Ed25519 private key at hand."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = PublicKey.ed25519(private.public_key().public_bytes_raw())

    def sign(self, message: bytes, namespace: str = NAMESPACE) -> bytes:
        raw = self._private.sign(sshsig.signed_data(message, namespace))
        inner = string(ED25519.encode()) + string(raw)
        return Signature(self.public, namespace, b"", sshsig.HASH, inner).armored()


class Agent:
    """A key that only ssh-keygen can reach: in the agent that SSH_AUTH_SOCK names, or on a security key.

    `path` is its `.pub` file, or the key file that stands for it.
    """

    def __init__(self, path: Path, public: PublicKey) -> None:
        self._path = path
        self.public = public

    def sign(self, message: bytes) -> bytes:
        command = ["ssh-keygen", "-Y", "sign", "-q", "-n", NAMESPACE, "-O", f"hashalg={sshsig.HASH}", "-f"]
        try:
            done = subprocess.run([*command, str(self._path)], input=message, capture_output=True, check=False)
        except FileNotFoundError as error:
            raise SigningFailed("ssh-keygen is not installed", hint="install openssh-client") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().replace("\n", "; ")
            raise SigningFailed(
                f"ssh-keygen did not sign with {self._path}: {said}",
                hint="check `ssh-add -l`, or that the security key is plugged in",
            )
        try:
            signature = sshsig.parse_armored(done.stdout)
        except MalformedSlot as error:
            raise SigningFailed(f"ssh-keygen gave something other than a signature for {self._path}") from error
        if signature.key != self.public or not sshsig.verify(signature, message):
            raise SigningFailed(f"the signature that ssh-keygen made with {self._path} does not verify")
        return done.stdout


def load_signer(path: Path, passphrase: Callable[[], str] | None = None) -> Signer:
    """The signer for a private key file, or for a `.pub` file whose key is in the agent.

    `passphrase` is asked once, when the file is encrypted. Raises `MalformedKey`, `UnsupportedKey`, `WrongPassphrase`,
    and `FileNotFoundError`.
    """
    with path.open("rb") as file:
        text = file.read(_KEY_FILE).decode("ascii", "replace")
    if _BEGIN not in text:
        try:
            public = PublicKey.from_line(text.strip())
        except MalformedKey as error:
            raise error.at(str(path)) from error
        return Agent(path, _usable(public, path))
    public, encrypted = _read_outside(text, path)
    if _usable(public, path).type != ED25519:
        return Agent(path, public)
    if encrypted and passphrase is None:
        raise WrongPassphrase(f"{path} is encrypted", hint="add it to an agent and name its .pub file instead")
    secret = passphrase().encode() if encrypted and passphrase else None
    try:
        private = serialization.load_ssh_private_key(text.encode(), secret)
    except ValueError as error:
        if encrypted:
            raise WrongPassphrase(f"this passphrase does not open {path}") from error
        raise MalformedKey(f"{path} is not a private key: {error}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise MalformedKey(f"{path} holds another key than it says")
    return KeyFile(private)


def generate(path: Path, passphrase: str, comment: str) -> PublicKey:
    """Makes a key pair: `path` (mode 0600, encrypted unless `passphrase` is empty), `path.pub`. Raises `KeyExists`."""
    public_path = path.with_name(path.name + ".pub")
    for taken in (path, public_path):
        if taken.exists():
            raise KeyExists(f"{taken} exists", hint="choose another name; whoever trusts that key still needs it")
    private = Ed25519PrivateKey.generate()
    protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        protection = serialization.BestAvailableEncryption(passphrase.encode())
    public = KeyFile(private).public
    _write_new(
        path,
        private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, protection),
        0o600,
    )
    _write_new(public_path, f"{public.line} {comment}".rstrip().encode() + b"\n", 0o644)
    return public


@dataclass(frozen=True, slots=True)
class Appended:
    """What `append_signature` did: the key, and whether it was not there before."""

    public: PublicKey
    added: bool


def append_signature(paths: Sequence[Path], signer: Signer) -> Appended:
    """Signs a finished crate once more, in its place; a key that signed it before is left alone.

    Raises `MalformedSlot`, `SlotFull`, and what reading raises.
    """
    with Volumes.open(paths) as volumes:
        envelope = read_envelope(volumes)
        first = volumes.paths[0]
    there = sshsig.parse_slot(envelope.slot)
    if any(one.key == signer.public and sshsig.verify(one, envelope.signed) for one in there):
        return Appended(signer.public, added=False)
    slot = sshsig.fill_slot((*(one.armored() for one in there), signer.sign(envelope.signed)))
    member = Member(layout.SIGNED, 0, len(envelope.signed)).next(layout.SLOT, LIMITS.slot)
    descriptor = os.open(first, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, slot, member.offset)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return Appended(signer.public, added=True)


def _read_outside(text: str, path: Path) -> tuple[PublicKey, bool]:
    """The public key that an OpenSSH key file shows without a passphrase (PROTOCOL.key), and whether it needs one."""
    try:
        encoded = text.partition(_BEGIN)[2].partition(_END)[0]
        wire = Wire(base64.b64decode("".join(encoded.split()), validate=True))
        if wire.take(len(_MAGIC)) != _MAGIC:
            raise ValueError("another format")
        cipher = wire.string()
        wire.string()  # the key derivation's name
        wire.string()  # and its options
        if wire.integer() != 1:
            raise ValueError("several keys")
        return PublicKey.from_blob(wire.string()), cipher != b"none"
    except (ValueError, binascii.Error) as error:
        raise MalformedKey(f"{path} is not an OpenSSH private key: {error}") from error


def _usable(public: PublicKey, path: Path) -> PublicKey:
    if public.type not in TYPES:
        raise UnsupportedKey(
            f"{path} is a key of type {public.type}; crates are signed with {' or '.join(TYPES)}",
            hint="make one with `crate-bundle keygen`",
        )
    return public


def _write_new(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)

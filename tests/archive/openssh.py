"""The real ssh-keygen, and security keys made in software, for want of hardware."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive import sshsig
from archive.keys import SK_ED25519, PublicKey, string
from archive.sshsig import NAMESPACE, Signature
from tests.support.tools import tool


def ssh_keygen(*words: str | Path, message: bytes = b"", check: bool = True) -> subprocess.CompletedProcess[bytes]:
    command: Sequence[str] = [tool("ssh-keygen"), *map(str, words)]
    done = subprocess.run(command, input=message, capture_output=True, check=False)
    assert not check or done.returncode == 0, done.stderr.decode()
    return done


def sign(key: Path, message: bytes, namespace: str = NAMESPACE, hashed: str = "sha512") -> bytes:
    done = ssh_keygen("-Y", "sign", "-q", "-n", namespace, "-O", f"hashalg={hashed}", "-f", key, message=message)
    return done.stdout


def accepts(
    folder: Path,
    signers: str,
    principal: str,
    signature: bytes,
    message: bytes,
    *,
    namespace: str = NAMESPACE,
    time: str = "",
) -> bool:
    """Whether ssh-keygen would; `time` as it takes it, UTC."""
    (folder / "signers").write_text(signers)
    (folder / "signature").write_bytes(signature)
    words: list[str | Path] = [
        "-Y",
        "verify",
        "-f",
        folder / "signers",
        "-I",
        principal,
        "-n",
        namespace,
        "-s",
        folder / "signature",
    ]
    if time:
        words += ["-O", f"verify-time={time}"]
    return ssh_keygen(*words, message=message, check=False).returncode == 0


@contextmanager
def agent(folder: Path) -> Iterator[Mapping[str, str]]:
    """An ssh-agent of its own; yields the environment that leads to it."""
    socket = folder / "agent"
    process = subprocess.Popen(
        [tool("ssh-agent"), "-D", "-a", str(socket)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout
        process.stdout.readline()  # it says where it listens once it does
        yield {"SSH_AUTH_SOCK": str(socket)}
    finally:
        process.terminate()
        process.communicate()


class SoftwareSecurityKey:
    """Signs as a FIDO2 key does (PROTOCOL.u2f), with an Ed25519 key that it holds in memory.

    It stands for the hardware below `ssh-keygen -Y sign`; `flags` says whether somebody touched it.
    """

    def __init__(self, number: int = 77, *, application: str = "ssh:", flags: int = 1) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(number.to_bytes(32))
        point = self._private.public_key().public_bytes_raw()
        blob = string(SK_ED25519.encode()) + string(point) + string(application.encode())
        self.public = PublicKey(SK_ED25519, blob, point, application)
        self._flags = bytes([flags])

    def sign(self, message: bytes) -> bytes:
        counter = (5).to_bytes(4)
        application = hashlib.sha256(self.public.application.encode()).digest()
        digest = hashlib.sha256(sshsig.signed_data(message, NAMESPACE)).digest()
        raw = self._private.sign(application + self._flags + counter + digest)
        inner = string(SK_ED25519.encode()) + string(raw) + self._flags + counter
        return Signature(self.public, NAMESPACE, b"", sshsig.HASH, inner).armored()

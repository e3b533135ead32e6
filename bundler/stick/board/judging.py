"""Whether a crate is by whom the card says, asked of ssh-keygen."""

from __future__ import annotations

import argparse
import base64
import binascii
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from bundler.stick.board.ground import MISUSED, REFUSED, Stop
from bundler.stick.board.head import KEY_TYPES, Head, Signature, fingerprint_of

NAMESPACE = "buzzcrate-crate@v1"
_PUBLIC = re.compile(r"(\S+) ([A-Za-z0-9+/=]+)")


def judge(head: Head, wanted: argparse.Namespace, work: Path) -> str:
    """The fingerprint of the key that vouches for the crate; empty where it is trusted here already.

    A key or fingerprint that was given is all that counts; else who is trusted here; else the person at the terminal.
    """
    if not head.signatures:
        raise Stop(REFUSED, "the crate is not signed", "have it signed by whoever built it: crate-bundle sign")
    valid = [one for one in head.signatures if _verified(one, head.signed, work)]
    if not valid:
        raise Stop(REFUSED, "no signature fits the crate", "it was changed or damaged; do not use it, ask for another")
    presented = ", ".join(one.fingerprint for one in valid)
    if wanted.key or wanted.fingerprint:
        expected = _read_fingerprint(wanted.key) if wanted.key else wanted.fingerprint
        if not re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}", expected):
            raise Stop(MISUSED, f"{expected} is no fingerprint", "it is SHA256: and 43 characters, as on the card")
        if any(one.fingerprint == expected for one in valid):
            return str(expected)
        raise Stop(
            REFUSED,
            f"the crate is signed by {presented}, and not by {expected}",
            "compare it with the card; if that is what it says, do not use this stick",
        )
    root = Path(wanted.root)
    if any(_trusted(one, head.signed, root, work) for one in valid):
        return ""
    waiting = [one.fingerprint for one in valid if one.fingerprint in _waiting(root)]
    return waiting[0] if waiting else _asked(valid)


def _asked(valid: list[Signature]) -> str:
    """The fingerprint that the person at the terminal says is on the card."""
    if not sys.stdin.isatty():
        presented = ", ".join(one.fingerprint for one in valid)
        raise Stop(
            REFUSED,
            f"the crate is signed by {presented}, and nothing says that this is right",
            "give the fingerprint that is on the card: --fingerprint SHA256:...",
        )
    for one in valid:
        sys.stderr.write(f"The crate is signed by\n\n    {one.fingerprint}\n\n")
        sys.stderr.write("Compare every character with the card. Is it the same? Type yes or no: ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() == "yes":
            return one.fingerprint
    raise Stop(REFUSED, "the crate is not by whom it should be", "do not use this stick; ask whoever sent it")


def _read_fingerprint(path: str) -> str:
    """Of a public key file."""
    try:
        text = Path(path).read_text()
        found = _PUBLIC.match(text)
        if found and found[1] in KEY_TYPES:
            return fingerprint_of(base64.b64decode(found[2], validate=True))
    except (OSError, UnicodeDecodeError, binascii.Error) as error:
        raise Stop(MISUSED, f"{path} cannot be read: {error}", "name the .pub file of whoever signed") from error
    raise Stop(MISUSED, f"{path} is not a public key of Ed25519", "name the .pub file of whoever signed")


def _verified(one: Signature, signed: bytes, work: Path) -> bool:
    """Whether the signature is one of `signed` by the key in it."""
    signers, principal = work / "signers", "signer"
    signers.write_text(f"{principal} {one.type} {one.key}\n")
    return _ssh_verify(one, signed, signers, principal, work)


def _trusted(one: Signature, signed: bytes, root: Path, work: Path) -> bool:
    """Whether this machine's own allowed_signers has the key, with whatever limits stand there."""
    signers = root / "trust/allowed_signers"
    if not signers.exists():
        return False
    (work / "signature").write_text(one.armored)
    words = ["ssh-keygen", "-Y", "find-principals", "-f", str(signers), "-s", str(work / "signature")]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    return any(_ssh_verify(one, signed, signers, name, work) for name in found.stdout.split())


def _ssh_verify(one: Signature, signed: bytes, signers: Path, principal: str, work: Path) -> bool:
    (work / "signature").write_text(one.armored)
    words = ["ssh-keygen", "-Y", "verify", "-f", str(signers), "-I", principal, "-n", NAMESPACE]
    words += ["-s", str(work / "signature")]
    return subprocess.run(words, input=signed, capture_output=True, check=False).returncode == 0


def _waiting(root: Path) -> set[str]:
    """Fingerprints that were trusted here before a crate brought their keys."""
    with suppress(OSError):
        return {line.split()[0] for line in (root / "trust/fingerprints").read_text().splitlines() if line.strip()}
    return set()

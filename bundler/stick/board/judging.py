"""Whether a crate is by whom the card says, asked of ssh-keygen."""

from __future__ import annotations

import argparse
import base64
import binascii
import re
import subprocess
import sys
import tomllib
from contextlib import suppress
from pathlib import Path

from bundler.stick.board.ground import MISUSED, REFUSED, Stop
from bundler.stick.board.head import KEY_TYPES, Head, Signature, fingerprint_of

NAMESPACE = "buzzcrate-crate@v1"
_PUBLIC = re.compile(r"(\S+) ([A-Za-z0-9+/=]+)")


def judge(head: Head, wanted: argparse.Namespace, work: Path) -> str:
    """The fingerprint of the key that vouches for the crate; empty where this board trusts it already.

    A key or fingerprint that was given must have signed. Then this board's own trust counts, with its policy for crates
    of that name; where it has none, whom the person at the terminal confirms.
    """
    if not head.signatures:
        raise Stop(REFUSED, "the crate is not signed", "have it signed by whoever built it: crate-bundle sign")
    valid = [one for one in head.signatures if _verified(one, head.signed, work)]
    if not valid:
        raise Stop(REFUSED, "no signature fits the crate", "it was changed or damaged; do not use it, ask for another")
    root, crate = Path(wanted.root), head.release["name"]
    policy = _policy(root, crate)
    given = _given(wanted, valid) if wanted.key or wanted.fingerprint else ""
    names = {one.fingerprint: _principals(one, head.signed, root, work) for one in valid}
    trusted = any(names.values())
    if not (given or trusted or policy):
        given = _asked(valid)
    if given:
        names[given] |= {wanted.name}
    only, threshold = policy or (None, 1)
    if not _seated([some if only is None else some & only for some in names.values()], threshold):
        who = f"{threshold} of {', '.join(sorted(only))}" if only else f"{threshold} different people"
        hint = "have it signed by them: crate-bundle sign; the policy is this board's own: crate-appliance trust list"
        raise Stop(REFUSED, f"crates called {crate} must be signed by {who} here, and this one is not", hint)
    return given


def _given(wanted: argparse.Namespace, valid: list[Signature]) -> str:
    """The fingerprint that was given, by which the crate is signed."""
    expected: str = _read_fingerprint(wanted.key) if wanted.key else wanted.fingerprint
    if not re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}", expected):
        raise Stop(MISUSED, f"{expected} is no fingerprint", "it is SHA256: and 43 characters, as on the card")
    if all(one.fingerprint != expected for one in valid):
        raise Stop(
            REFUSED,
            f"the crate is signed by {', '.join(one.fingerprint for one in valid)}, and not by {expected}",
            "compare it with the card; if that is what it says, do not use this stick",
        )
    return expected


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


def _principals(one: Signature, signed: bytes, root: Path, work: Path) -> set[str]:
    """Whom this board knows the key as: by its allowed_signers, with whatever limits stand there, or while it waits for
    the key of a fingerprint.
    """
    found = set()
    with suppress(OSError):
        lines = [line.split() for line in (root / "trust/fingerprints").read_text().splitlines() if line.strip()]
        found = {words[1] for words in lines if words[0] == one.fingerprint and len(words) == 2}
    signers = root / "trust/allowed_signers"
    if signers.exists():
        (work / "signature").write_text(one.armored)
        words = ["ssh-keygen", "-Y", "find-principals", "-f", str(signers), "-s", str(work / "signature")]
        named = subprocess.run(words, capture_output=True, text=True, check=False).stdout.split()
        found |= {name for name in named if _ssh_verify(one, signed, signers, name, work)}
    return found


def _policy(root: Path, crate: str) -> tuple[set[str] | None, int] | None:
    """Who may sign crates of that name here, and how many of them must; None where nothing is said of it."""
    path = root / "trust/policy.toml"
    try:
        table = tomllib.loads(path.read_text())["crate"][crate]
        principals = table.get("principals")
        return (None if principals is None else set(principals)), int(table.get("threshold", 1))
    except (FileNotFoundError, KeyError):
        return None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise Stop(REFUSED, f"{path} cannot be read: {error}", "put it right, or take it away") from error


def _seated(keys: list[set[str]], people: int) -> bool:
    """Whether so many of the keys can be given to as many different people, out of those whom each may belong to."""
    if people <= 0 or not keys:
        return people <= 0
    first, *others = keys
    return _seated(others, people) or any(_seated([other - {name} for other in others], people - 1) for name in first)


def _ssh_verify(one: Signature, signed: bytes, signers: Path, principal: str, work: Path) -> bool:
    (work / "signature").write_text(one.armored)
    words = ["ssh-keygen", "-Y", "verify", "-f", str(signers), "-I", principal, "-n", NAMESPACE]
    words += ["-s", str(work / "signature")]
    return subprocess.run(words, input=signed, capture_output=True, check=False).returncode == 0

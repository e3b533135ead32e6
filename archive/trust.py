"""Whether a crate is to be trusted: every rule in one place, and nothing but rules.

Nothing here reads a file, a clock or a database: what is to be judged, whom to trust and what time it is come in as
arguments, and a refusal or a verdict comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from archive import sshsig
from archive.errors import (
    BelowThreshold,
    LowerSerial,
    Refused,
    SerialReused,
    SignerNotAllowed,
    SignerNotValid,
    UnknownSigner,
    Unsigned,
    UselessPolicy,
    WrongHash,
    WrongNamespace,
    WrongSignature,
)
from archive.keys import PublicKey
from archive.release import Release
from archive.signers import AllowedSigners, Line, matches
from archive.sshsig import NAMESPACE


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may sign crates of one name, and how many of them must. None: any principal of the signers file."""

    principals: tuple[str, ...] | None = None
    threshold: int = 1


@dataclass(frozen=True, slots=True)
class Floor:
    """The release of a name below which none is accepted: its serial and the sha256 (hex) of its crate.json."""

    serial: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature that counted."""

    principal: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A crate that is trusted, and because of whom."""

    release: Release
    signatures: tuple[Signature, ...]


def judge(
    signed: bytes, slot: bytes, signers: AllowedSigners, policy_of: Callable[[str], Policy], when: datetime
) -> Verdict:
    """Accepts a crate when enough different people signed it with enough different keys.

    `policy_of` gives the policy for a crate's name. Raises what `Release.parse` raises, `MalformedSlot`, and the
    `Refused` that tells most about why.
    """
    release = Release.parse(signed)
    policy = policy_of(release.name)
    if policy.threshold < 1 or policy.principals == ():
        raise UselessPolicy(
            f"the policy for {release.name} asks for {policy.threshold} signatures of "
            f"{'no one' if policy.principals == () else 'anyone'}",
            hint="a threshold is at least 1, and somebody must be allowed to sign",
        )
    signatures = sshsig.parse_slot(slot)
    if not signatures:
        raise Unsigned(
            f"{release.name} {release.serial} is not signed", hint="whoever built it can run `crate-bundle sign`"
        )
    names: dict[PublicKey, set[str]] = {}
    refusals: list[Refused] = []
    for one in signatures:
        try:
            names.setdefault(one.key, set()).update(_principals(one, signed, signers, policy, when))
        except Refused as refusal:
            refusals.append(refusal)
    counted = _pair(names)
    if len(counted) >= policy.threshold:
        pairs = sorted((name, key.fingerprint) for name, key in counted.items())
        return Verdict(release, tuple(Signature(*pair) for pair in pairs))
    if counted or not refusals:
        signed_by = ", ".join(sorted(counted))
        raise BelowThreshold(
            f"{release.name} {release.serial} is signed by {signed_by}; {policy.threshold} different people with "
            "different keys are needed",
            hint="have it signed by somebody else as well: `crate-bundle sign`",
        )
    # an unknown signer says least: any other reason is about somebody who is trusted
    raise next((refusal for refusal in refusals if not isinstance(refusal, UnknownSigner)), refusals[0])


def presented(signed: bytes, slot: bytes) -> tuple[PublicKey, ...]:
    """The keys that did sign, trusted or not: what a fingerprint that came another way is compared with."""
    return tuple(one.key for one in sshsig.parse_slot(slot) if sshsig.verify(one, signed))


def check_serial(release: Release, signed_sha256: str, floor: Floor | None) -> None:
    """Raises `LowerSerial` or `SerialReused` when `floor` is a later release, or another one of the same serial."""
    if floor is None:
        return
    if release.serial < floor.serial:
        raise LowerSerial(
            f"{release.name} {release.serial} is older than {floor.serial}, which was active before",
            hint=f"to go back, use `rollback`, or lower the floor: `trust floor {release.name} {release.serial}`",
        )
    if release.serial == floor.serial and signed_sha256 != floor.sha256:
        raise SerialReused(
            f"another crate than this was already active as {release.name} {release.serial}",
            hint="two builds took one serial; build again with a higher one",
        )


def _principals(
    one: sshsig.Signature, signed: bytes, signers: AllowedSigners, policy: Policy, when: datetime
) -> set[str]:
    """In whose name this signature may count; raises the `Refused` that says why in nobody's."""
    who = one.key.fingerprint
    lines = signers.of(one.key)
    if not lines:
        raise UnknownSigner(
            f"it is signed by {who}, which is not trusted here",
            hint="if that is the right key, `trust add` it, from a copy that did not come with the crate",
        )
    if one.namespace != NAMESPACE:
        raise WrongNamespace(f"{who} signed for {one.namespace[:80]!r}, not for {NAMESPACE!r}")
    if one.hash != sshsig.HASH:
        raise WrongHash(f"{who} signed with {one.hash[:20]!r}, not with {sshsig.HASH}")
    if not sshsig.verify(one, signed):
        raise WrongSignature(
            f"the signature by {who} is not one of this crate.json", hint="it was changed or damaged; copy it again"
        )
    lines = [line for line in lines if line.allows(NAMESPACE)]
    valid = [line for line in lines if line.valid(when)]
    if lines and not valid:
        raise SignerNotValid(f"{who} is not trusted at {when:%Y-%m-%d %H:%M %Z}", hint="check this machine's clock")
    found = {name for line in valid for name in _names(line, policy)}
    if not found:
        raise SignerNotAllowed(
            f"{who} is trusted, but not for this crate", hint="the policy names who may sign it; see `trust list`"
        )
    return found


def _names(line: Line, policy: Policy) -> list[str]:
    if policy.principals is None:
        return line.names()
    return [principal for principal in policy.principals if matches(principal, line.principals)]


def _pair(names: Mapping[PublicKey, set[str]]) -> dict[str, PublicKey]:
    """As many principals as possible, each with a key of its own, so that neither counts twice.

    A maximum matching by augmenting paths: a principal's key moves on to another principal if that makes room.
    """
    taken: dict[str, PublicKey] = {}

    def seat(key: PublicKey, tried: set[str]) -> bool:
        for name in sorted(names[key] - tried):
            tried.add(name)
            if name not in taken or seat(taken[name], tried):
                taken[name] = key
                return True
        return False

    for key in names:
        seat(key, set())
    return taken

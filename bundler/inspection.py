"""What is in a crate, without importing it: its items, what each platform takes, what is shared, what is big."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from archive import trust
from archive.catalogue import Item
from archive.errors import Damaged, MissingPart
from archive.layout import Placed
from archive.oci_index import title
from archive.progress import Progress
from archive.reader import Crate, read_envelope
from archive.release import time_text
from archive.signers import AllowedSigners
from archive.verification import verify_archive
from archive.volumes import Volumes
from bundler.errors import LockInvalid
from bundler.lockfile import Lock
from bundler.platform_sizes import by_platform

_BIGGEST = 10


@dataclass(frozen=True, slots=True)
class Holding:
    """An item: `size` is all of its blobs, `own` those that no other item has; both in bytes."""

    kind: str
    name: str
    version: str
    title: str
    platforms: tuple[str, ...]
    blobs: int
    size: int
    own: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What a difference does not carry: `blobs` of `size` bytes together, and the crates that brought them."""

    blobs: int
    size: int
    base: tuple[str, ...]


@dataclass(frozen=True)
class Inspection:
    """A crate as `inspect` tells it. Sizes are bytes, each blob counted once; keys of `signers` are fingerprints.

    `platforms` gives for each kind what the blobs of a platform take; `shared` is what more than one item uses, and
    `saved` what that spares.
    """

    crate: Crate
    signers: tuple[str, ...]
    holdings: tuple[Holding, ...]
    kinds: Mapping[str, int]
    platforms: Mapping[tuple[str, str], int]
    shared: int
    saved: int
    left_out: LeftOut
    parts: tuple[Path, ...]
    missing: tuple[str, ...]

    @property
    def biggest(self) -> list[Holding]:
        return sorted(self.holdings, key=lambda it: (-it.size, it.name, it.version))[:_BIGGEST]

    def to_json(self) -> dict[str, Any]:
        release = self.crate.release
        return {
            "name": release.name,
            "channel": release.channel,
            "serial": release.serial,
            "created": time_text(release.created),
            "expires": time_text(release.expires) if release.expires else None,
            "writer": release.writer,
            "digest": self.crate.digest,
            "size": self.crate.total_size,
            "blobs": self.crate.survey.blobs,
            "left_out": {
                "blobs": self.left_out.blobs,
                "size": self.left_out.size,
                "base": list(self.left_out.base),
            },
            "parts": [str(path) for path in self.parts],
            "missing": list(self.missing),
            "signed_by": list(self.signers),
            "kinds": dict(self.kinds),
            "platforms": [
                {"kind": kind, "platform": platform, "size": size}
                for (kind, platform), size in sorted(self.platforms.items())
            ],
            "shared": self.shared,
            "saved": self.saved,
            "items": [
                {
                    "kind": it.kind,
                    "name": it.name,
                    "version": it.version,
                    "platforms": list(it.platforms),
                    "blobs": it.blobs,
                    "size": it.size,
                    "own": it.own,
                }
                for it in self.holdings
            ],
        }


@dataclass(frozen=True)
class Verification:
    """What `verify` found: who vouches, when that was asked, and what is damaged (place and reason)."""

    crate: Crate
    signers: tuple[str, ...]
    trusted: tuple[trust.Signature, ...]
    blobs: int
    size: int
    damages: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.crate.release.name,
            "serial": self.crate.release.serial,
            "digest": self.crate.digest,
            "signed_by": list(self.signers),
            "trusted": [{"principal": it.principal, "fingerprint": it.fingerprint} for it in self.trusted],
            "blobs": self.blobs,
            "bytes": self.size,
            "damages": list(self.damages),
            "sound": not self.damages,
        }


def inspect(paths: Sequence[Path]) -> Inspection:
    """Reads what describes the crate, and not its blobs. Nothing is trusted by it. Raises `Malformed`, `Damaged`."""
    with Volumes.open(paths) as volumes:
        envelope = read_envelope(volumes)
        crate = Crate.open(volumes, envelope.signed)
        items = list(crate.catalogue())
        users = _users(items)
        sizes = {file.sha256: file.size for item in items for file in item.files}
        return Inspection(
            crate=crate,
            signers=_signers(envelope.signed, envelope.slot),
            holdings=tuple(_holding(item, users) for item in items),
            kinds=_by_kind(items),
            platforms=by_platform(crate, items),
            shared=sum(size for sha256, size in sizes.items() if users[sha256] > 1),
            saved=sum(size * (users[sha256] - 1) for sha256, size in sizes.items()),
            left_out=_left_out(crate),
            parts=tuple(volumes.paths),
            missing=tuple(volumes.missing(crate.total_size)),
        )


def verify(paths: Sequence[Path], signers: AllowedSigners | None, when: datetime, progress: Progress) -> Verification:
    """Reads and checks every byte; with `signers`, the signatures first. Nothing is written.

    Raises `Refused` when none of `signers` vouches for the crate, `MissingPart`, and what reading raises. Damage is
    in the result.
    """
    with Volumes.open(paths) as volumes:
        envelope = read_envelope(volumes)
        trusted: tuple[trust.Signature, ...] = ()
        if signers is not None:
            policy = trust.Policy()
            trusted = trust.judge(envelope.signed, envelope.slot, signers, lambda _: policy, when).signatures
        crate = Crate.open(volumes, envelope.signed)
        if missing := volumes.missing(crate.total_size):
            raise MissingPart(f"{', '.join(missing)} not at hand", hint="name every part, or the folders they are in")
        report = verify_archive(crate, progress)
        users = _users_of(crate) if report.damages else {}
        return Verification(
            crate=crate,
            signers=_signers(envelope.signed, envelope.slot),
            trusted=trusted,
            blobs=report.blobs,
            size=report.bytes,
            damages=tuple(
                f"{damage.where}: {damage.reason}" + _needed_by(damage.placed, users) for damage in report.damages
            ),
        )


def _left_out(crate: Crate) -> LeftOut:
    sizes = [placed.entry.size for placed in crate.entries() if placed.entry.absent]
    if not sizes:
        return LeftOut(0, 0, ())
    try:
        lock = Lock.parse(crate.small_blob(crate.release.lock), "the lock of this crate")
    except LockInvalid:  # of another program, or of another time
        return LeftOut(len(sizes), sum(sizes), ())
    return LeftOut(len(sizes), sum(sizes), tuple(f"{base.name} {base.serial}" for base in lock.base if base.name))


def _needed_by(placed: Placed | None, names: Mapping[str, list[str]]) -> str:
    found = names.get(placed.entry.digest, []) if placed else []
    return f", needed by {', '.join(found)}" if found else ""


def _users_of(crate: Crate) -> dict[str, list[str]]:
    """Blob to the items that need it; empty when the catalogue itself is damaged."""
    found: dict[str, list[str]] = defaultdict(list)
    try:
        for item in crate.catalogue():
            for sha256 in {file.sha256 for file in item.files}:
                found[sha256].append(title(item))
    except Damaged:
        return {}
    return found


def _signers(signed: bytes, slot: bytes) -> tuple[str, ...]:
    """Fingerprints of the keys whose signatures fit, trusted or not."""
    return tuple(key.fingerprint for key in trust.presented(signed, slot))


def _users(items: Iterable[Item]) -> Mapping[str, int]:
    """How many items use a blob."""
    users: dict[str, int] = defaultdict(int)
    for item in items:
        for sha256 in {file.sha256 for file in item.files}:
            users[sha256] += 1
    return users


def _holding(item: Item, users: Mapping[str, int]) -> Holding:
    platforms = item.publish.get("platforms") or ([item.platform] if item.platform else [])
    return Holding(
        kind=item.kind,
        name=item.name,
        version=item.version,
        title=title(item),
        platforms=tuple(platforms),
        blobs=len(item.files),
        size=sum(file.size for file in item.files),
        own=sum(file.size for file in item.files if users[file.sha256] == 1),
    )


def _by_kind(items: Iterable[Item]) -> dict[str, int]:
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for item in items:
        found[item.kind].update((file.sha256, file.size) for file in item.files)
    return {kind: sum(sizes.values()) for kind, sizes in sorted(found.items())}

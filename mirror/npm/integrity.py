"""Subresource integrity (W3C), as locks and registries write it: `sha512-<base64>`, several with spaces between."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mirror.errors import BadIndex, UntrustedUpstream, WrongDigest

_STRONG = ("sha512", "sha384", "sha256")
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Sums:
    """What the registry says of a tarball, computed by us. `integrity` is its sha512, `shasum` its sha1 in hex."""

    integrity: str
    shasum: str


def promises(*told: str) -> frozenset[tuple[str, bytes]]:
    """Every (algorithm, digest) of integrity strings; of an algorithm that nobody knows, nothing.

    Raises `BadIndex` for one that is broken.
    """
    found = set()
    for word in " ".join(told).split():
        algorithm, dash, encoded = word.partition("?")[0].partition("-")
        if algorithm not in {*_STRONG, "sha1"}:
            continue
        try:
            digest = base64.b64decode(encoded, validate=True)
        except binascii.Error as error:
            raise BadIndex(f"{word[:200]!r} is no integrity: {error}") from error
        if not dash or len(digest) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
            raise BadIndex(f"{word[:200]!r} is no integrity: its digest has {len(digest)} bytes")
        found.add((algorithm, digest))
    return frozenset(found)


def check(tarball: Path, what: str, promised: Iterable[tuple[str, bytes]]) -> Sums:
    """Reads the tarball once and holds it against every promise.

    sha1 is held too, and does not suffice: someone who can afford it makes two tarballs of one sha1. Raises
    `UntrustedUpstream` when nothing better was promised, `WrongDigest` when the tarball is another.
    """
    expected = set(promised)
    if not any(algorithm in _STRONG for algorithm, _ in expected):
        raise UntrustedUpstream(
            f"upstream vouches for {what} with {'sha1 alone' if expected else 'no digest at all'}",
            hint="write the lock anew; if the registry knows no sha512 of it, take another version",
        )
    digests = _digests(tarball, {"sha512", "sha1", *(algorithm for algorithm, _ in expected)})
    for algorithm, digest in sorted(expected):
        found = digests[algorithm]
        if found != digest:
            raise WrongDigest(
                f"{what} is {_written(algorithm, found)}, and promised was {_written(algorithm, digest)}",
                hint="it changed after it was locked, or on its way; do not use it before you know which",
            )
    return _sums(digests)


def sums(tarball: Path) -> Sums:
    """Of a tarball that nobody vouches for."""
    return _sums(_digests(tarball, {"sha512", "sha1"}))


def _sums(digests: Mapping[str, bytes]) -> Sums:
    return Sums(_written("sha512", digests["sha512"]), digests["sha1"].hex())


def _digests(tarball: Path, algorithms: Iterable[str]) -> dict[str, bytes]:
    """All of them in one pass."""
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    with tarball.open("rb") as content:
        while block := content.read(_BLOCK):
            for each in hashes.values():
                each.update(block)
    return {name: each.digest() for name, each in hashes.items()}


def _written(algorithm: str, digest: bytes) -> str:
    return f"{algorithm}-{base64.b64encode(digest).decode()}"

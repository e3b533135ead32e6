"""Upstream's indexes, believed only through a signature: InRelease by key, Packages by InRelease's sha256."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import lzma
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import quote

import zstandard

from archive.errors import Problem
from mirror.apt.packages import Origin, PackagesIndex
from mirror.apt.release import Release
from mirror.apt.sources import Source
from mirror.errors import BadIndex, TruncatedIndex, UpstreamChanged, WrongDigest
from mirror.openpgp import Keyring, Verified
from mirror.origins import public_url
from mirror.transport import Transport

RELEASE_LIMIT = 16 << 20
PACKAGES_LIMIT = 1 << 30
_ATTEMPTS = 3


@dataclass(frozen=True)
class Suite:
    """A suite whose Release was believed. `sha256` is of the signed text."""

    source: Source
    release: Release
    url: str
    sha256: str
    signers: tuple[str, ...]

    @property
    def evidence(self) -> dict[str, str]:
        """How upstream's word was checked, for the catalogue."""
        found = {"release": public_url(self.url), "sha256": self.sha256, "signed-by": " ".join(self.signers)}
        return {**found, "date": self.release.date.isoformat()} if self.release.date else found


async def read_suite(transport: Transport, source: Source, keyring: Keyring) -> Suite:
    """Reads and believes InRelease, or Release and its Release.gpg where there is none.

    Raises `UntrustedUpstream` (unsigned, wrongly signed, expired, truncated), `BadIndex`, or what the transport raises.
    """
    url = source.base + "InRelease"
    try:
        body = (await transport.read(url, limit=RELEASE_LIMIT)).body
    except Problem as missing:
        url, verified = await _detached(transport, source, keyring, missing)
    else:
        verified = keyring.verify_clearsigned(body, url)
    release = Release.parse(verified.data, url)
    if source.check_valid_until:
        release.check_valid(datetime.now(UTC), url)
    return Suite(source, release, url, hashlib.sha256(verified.data).hexdigest(), verified.signers)


async def _detached(transport: Transport, source: Source, keyring: Keyring, missing: Problem) -> tuple[str, Verified]:
    url = source.base + "Release"
    try:
        data = (await transport.read(url, limit=RELEASE_LIMIT)).body
        signature = (await transport.read(url + ".gpg", limit=1 << 20)).body
    except Problem:
        raise missing from None
    return url, keyring.verify_detached(data, signature, url)


async def read_packages(
    transport: Transport, source: Source, keyring: Keyring, architectures: Sequence[str], order: int
) -> tuple[Suite, dict[str, list[PackagesIndex]]]:
    """The indexes of one suite, by architecture. `order` is the source's place in the list.

    When a mirror changes while it is read, what InRelease pins is gone; then everything of this suite is read again.
    Raises `UpstreamChanged` when that does not settle.
    """
    suite = await read_suite(transport, source, keyring)
    for _ in range(_ATTEMPTS):
        try:
            asked = [a for a in architectures if not source.architectures or a in source.architectures]
            wanted = [(a, component) for a in asked for component in source.components or ("",)]
            read = [_read_index(transport, suite, component, a, order) for a, component in wanted]
            indexes: dict[str, list[PackagesIndex]] = {architecture: [] for architecture in architectures}
            for (architecture, _), found in zip(wanted, await asyncio.gather(*read), strict=True):
                indexes[architecture] += found
        except Problem:
            again = await read_suite(transport, source, keyring)
            if again.sha256 == suite.sha256:
                raise
            suite = again
        else:
            return suite, indexes
    raise UpstreamChanged(f"{source} changed {_ATTEMPTS} times while it was read", hint="try again in a few minutes")


async def _read_index(
    transport: Transport, suite: Suite, component: str, architecture: str, order: int
) -> list[PackagesIndex]:
    release, source = suite.release, suite.source
    names = [architecture, "all"] if release.all_apart and component else [architecture]
    found = []
    for name in names:
        path = release.packages_path(component, name)
        if path is None:
            if name == architecture and not source.optional:
                raise BadIndex(
                    f"{suite.url} lists no {f'{component}/' if component else ''}binary-{architecture}/Packages",
                    hint=f"it has the architectures {' '.join(release.architectures) or '(none stated)'} "
                    f"and the components {' '.join(release.components) or '(none stated)'}",
                )
            continue
        pin = release.pins[path]
        folder, _, file = path.rpartition("/")
        by_hash = f"{folder}/by-hash/SHA256/{pin.sha256}".lstrip("/")
        url = source.base + quote(by_hash if release.by_hash and source.by_hash else path)
        fetched = await transport.fetch(url, sha256=pin.sha256, size=pin.size)
        if (fetched.sha256, fetched.size) != (pin.sha256, pin.size):
            raise WrongDigest(f"{url} is not the file that {suite.url} pins", hint="try again; the mirror is syncing")
        origin = Origin(source.url, source.suite, component, release.codename, release.priority, order, suite.url)
        plain = release.pins.get(f"{folder}/Packages".lstrip("/"))
        found.append(await asyncio.to_thread(_load, fetched.path, file, plain.size if plain else None, origin))
    return found


def _load(path: Path, name: str, size: int | None, origin: Origin) -> PackagesIndex:
    """`size` is what the index must have when unpacked, where upstream pins that too."""
    limit = PACKAGES_LIMIT if size is None else min(size, PACKAGES_LIMIT)
    try:
        with path.open("rb") as packed, _unpacked(packed, name) as plain:
            data = plain.read(limit + 1)
    except (OSError, EOFError, lzma.LZMAError, zstandard.ZstdError) as error:
        raise TruncatedIndex(f"{origin.url} {origin.suite}: {name} cannot be unpacked: {error}") from error
    if len(data) > limit:
        raise BadIndex(f"{origin.url} {origin.suite}: {name} unpacks to more than the {limit:,} bytes it may have")
    if size is not None and len(data) < size:
        raise TruncatedIndex(f"{origin.url} {origin.suite}: {name} unpacks to {len(data):,} of {size:,} bytes")
    return PackagesIndex(data, origin)


def _unpacked(packed: BinaryIO, name: str) -> BinaryIO:
    if name.endswith(".xz"):
        return cast("BinaryIO", lzma.open(packed))
    if name.endswith(".gz"):
        return cast("BinaryIO", gzip.open(packed))
    if name.endswith(".zst"):
        return cast("BinaryIO", zstandard.open(packed, "rb"))
    return packed

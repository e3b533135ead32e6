"""The registry upstream: what it says of the versions that a lock names, and their tarballs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from archive import documents
from archive.errors import Problem
from mirror.errors import BadIndex, Unsolvable
from mirror.npm import integrity
from mirror.npm.client import Registries
from mirror.npm.graph import Package
from mirror.npm.integrity import Sums
from mirror.npm.names import check_name
from mirror.npm.package_lock import words
from mirror.transport import Fetched, Transport

PACKUMENT_LIMIT = 256 << 20
"""Bytes; a few old packages have more than a hundred MiB in full, where a registry knows no shorter form."""

_SHORT = {"Accept": "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8"}
_PROSE = {"readme", "readmeFilename", "changelog", "gitHead"}


@dataclass(frozen=True, slots=True)
class Release:
    """One version: its manifest as upstream gives it, the tags that point at it, its tarball here."""

    manifest: Mapping[str, Any]
    tags: tuple[str, ...]
    url: str
    fetched: Fetched
    sums: Sums


class Upstream:
    def __init__(self, transport: Transport, registries: Registries) -> None:
        self._transport = transport
        self._registries = registries

    async def latest(self, name: str) -> Package | None:
        """What the registry's latest release of `name` runs on; None where it has no such package any more."""
        try:
            manifest, _ = (await self.packument(name, ())).get("", ({}, ()))
        except Problem:
            return None
        os, cpu, libc = (words(manifest.get(field)) for field in ("os", "cpu", "libc"))
        return Package(name, str(manifest.get("version", "")), os=os, cpu=cpu, libc=libc)

    async def packument(self, name: str, versions: Iterable[str]) -> dict[str, tuple[dict[str, Any], tuple[str, ...]]]:
        """The manifests of `versions` (and of `latest`, under an empty key), each with its tags.

        Raises `Unsolvable` for a version that the registry does not have any more.
        """
        url = self._registries.of(check_name(name)) + quote(name, safe="@")
        document = await self._transport.read(url, limit=PACKUMENT_LIMIT, headers=_SHORT)
        return await asyncio.to_thread(_picked, document.body, name, frozenset(versions))

    async def release(self, package: Package, manifest: Mapping[str, Any], tags: tuple[str, ...]) -> Release:
        """Brings the tarball in, held against the lock's integrity and the registry's."""
        what = f"{package.name} {package.version}"
        try:
            dist: Mapping[str, Any] = manifest["dist"]
            promised = integrity.promises(package.integrity, str(dist.get("integrity", "")))
            url = package.url or str(dist["tarball"])
            shasum = bytes.fromhex(str(dist.get("shasum", "")))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadIndex(f"what the registry says of {what} cannot be read: {error!r}") from error
        sha512 = min((digest.hex() for algorithm, digest in promised if algorithm == "sha512"), default="")
        fetched = await self._transport.fetch(url, sha512=sha512)
        told = {*promised, *([("sha1", shasum)] if shasum else [])}
        sums = await asyncio.to_thread(integrity.check, fetched.path, what, told)
        kept = {key: value for key, value in dist.items() if key != "tarball"}  # an address may hold a secret
        return Release({**manifest, "dist": kept}, tags, url, fetched, sums)


def _picked(body: bytes, name: str, versions: frozenset[str]) -> dict[str, tuple[dict[str, Any], tuple[str, ...]]]:
    """Keeps of a long document only what was asked for."""
    document = documents.parse(body, f"the registry's word on {name}")
    try:
        tags: dict[str, str] = document.get("dist-tags", {})
        known: dict[str, dict[str, Any]] = document["versions"]
        gone = sorted(versions - known.keys())
        if gone:
            raise Unsolvable(
                f"{name} {', '.join(gone)} is not in the registry any more",
                hint="it was unpublished since the lock was made; lock again",
            )
        latest = known.get(tags.get("latest", ""))
        found = {version: (_kept(known[version]), _tagged(tags, version)) for version in versions}
    except (KeyError, TypeError, AttributeError) as error:
        raise BadIndex(f"what the registry says of {name} cannot be read: {error!r}") from error
    return found if latest is None else {**found, "": (latest, ())}


def _kept(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Without the registry's own bookkeeping and the prose: a catalogue is read on small boards."""
    own = {key for key in manifest if key.startswith("_")} - {"_hasShrinkwrap"}
    return {key: value for key, value in manifest.items() if key not in own | _PROSE}


def _tagged(tags: Mapping[str, str], version: str) -> tuple[str, ...]:
    return tuple(sorted(tag for tag, tagged in tags.items() if tagged == version))

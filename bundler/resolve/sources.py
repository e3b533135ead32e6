"""The two places that images come from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from archive.digests import Digest
from archive.references import Reference
from bundler.cache import Cache
from bundler.errors import ImageInvalid
from bundler.fetch import fetch_blob
from bundler.local_images import DOCUMENT_LIMIT, LocalImages
from bundler.oci import Descriptor
from bundler.registry import RegistryClient


@dataclass(frozen=True)
class RegistrySource:
    """An image of a registry. Documents are kept in the cache, where packing finds them."""

    registry: RegistryClient
    cache: Cache
    reference: Reference

    @property
    def origin(self) -> str:
        return f"docker://{self.reference}"

    async def root(self) -> tuple[Descriptor, bytes]:
        found = await self.registry.manifest(self.reference)
        self.cache.put(found.body)
        return Descriptor(found.digest, len(found.body), found.media_type), found.body

    async def manifest(self, descriptor: Descriptor) -> bytes:
        held = self.cache.find(descriptor.digest)
        if held is not None and held.size == descriptor.size:
            return held.path.read_bytes()
        found = await self.registry.manifest(self.reference.at(descriptor.digest))
        self.cache.put(found.body)
        return found.body

    async def config(self, descriptor: Descriptor) -> bytes:
        if descriptor.size > DOCUMENT_LIMIT:
            raise ImageInvalid(f"the config of {self.reference} has {descriptor.size} bytes; that is no config")
        fetched = await fetch_blob(self.reference.at(descriptor.digest), descriptor.size, self.registry, self.cache)
        return fetched.path.read_bytes()

    async def referrers(self, digest: Digest) -> Sequence[Descriptor]:
        return await self.registry.referrers(self.reference.at(digest))

    async def attached_tags(self, digest: Digest) -> Sequence[tuple[str, Descriptor]]:
        return sorted((await self.registry.cosign_tags(self.reference.at(digest))).items(), key=lambda found: found[0])

    async def sha256(self, descriptor: Descriptor) -> str:
        """Only the content tells; it is needed in the cache anyway."""
        if descriptor.is_index or descriptor.is_manifest:
            return Digest.of(await self.manifest(descriptor)).hex
        reference = self.reference.at(descriptor.digest)
        return (await fetch_blob(reference, descriptor.size, self.registry, self.cache)).sha256


@dataclass(frozen=True)
class LocalSource:
    """An image of a local layout or archive; `reference` is the name that the crate gives it."""

    images: LocalImages
    reference: Reference
    origin: str

    async def root(self) -> tuple[Descriptor, bytes]:
        found = self.images.find(self.reference)
        return found, await self.manifest(found)

    async def manifest(self, descriptor: Descriptor) -> bytes:
        return self.images.read(descriptor.digest)

    async def config(self, descriptor: Descriptor) -> bytes:
        return self.images.read(descriptor.digest)

    async def referrers(self, digest: Digest) -> Sequence[Descriptor]:
        return self.images.referrers(digest)

    async def attached_tags(self, digest: Digest) -> Sequence[tuple[str, Descriptor]]:
        return self.images.attached_tags(digest)

    async def sha256(self, descriptor: Descriptor) -> str:
        if descriptor.digest in self.images.made:
            return Digest.of(self.images.made[descriptor.digest]).hex
        extent = self.images.extent(descriptor.digest)
        return (await asyncio.to_thread(extent.digest)).hex

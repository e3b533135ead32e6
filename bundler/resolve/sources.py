"""The two places that images come from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from archive.digests import Digest
from archive.references import Reference
from bundler.local_images import LocalImages
from bundler.oci import Descriptor


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

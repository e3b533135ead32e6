"""What a crate that is built for a known crate leaves out: every blob that is there already, boot files aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from archive.requests import Export, Holding, prefix
from bundler import lockfile, oci
from bundler.lockfile import Base, Lock
from bundler.resolve import appliance, images


@dataclass(frozen=True, slots=True)
class LeftOut:
    """`digests` (sha256, hex) of blobs that the receiving side must hold, `size` bytes together; `base` brought them.

    `unneeded` are those that building can do without, too: an index for fewer platforms is made from the original.
    """

    digests: frozenset[str] = frozenset()
    unneeded: frozenset[str] = frozenset()
    size: int = 0
    base: tuple[Base, ...] = ()

    @classmethod
    def of(cls, lock: Lock, have: Export | None) -> LeftOut:
        """Of a crate of `lock`, for the crate that `have` came from; nothing, when that is None."""
        if have is None:
            return cls()
        holders = have.holders()
        boot = {file.sha256 for file in appliance.boot_files(lock.items)}
        sizes = lockfile.sizes(lock.items)
        held = {sha256: holders[prefix(sha256)] for sha256 in sizes.keys() - boot if prefix(sha256) in holders}
        digests = frozenset(held)
        return cls(
            digests=digests,
            unneeded=digests - set(_originals(lock, digests)),
            size=sum(sizes[sha256] for sha256 in digests),
            base=tuple(_bases(Counter(held.values()))),
        )


def _originals(lock: Lock, digests: frozenset[str]) -> Iterator[str]:
    """The indexes that others, which are carried, are made from."""
    for item in lock.items:
        if any(file.origin == images.MADE and file.sha256 not in digests for file in item.files):
            yield from (file.sha256 for file in item.files if file.media_type in oci.INDEX_TYPES)


def _bases(counted: Counter[Holding]) -> list[Base]:
    found = [Base(holding.name, holding.serial, holding.digest, blobs) for holding, blobs in counted.items()]
    return sorted(found, key=lambda base: (base.name, base.serial, base.digest))

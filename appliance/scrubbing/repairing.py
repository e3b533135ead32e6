"""Repair: what a scrub took out is put back from wherever its bytes are right.

It is written beside, as a loose blob: the place where it lay may be a bad spot of the disk, and what is written nowhere
over anything can be interrupted anywhere. The next collection gives the old place back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from appliance import disk
from appliance.scrubbing import damages
from appliance.scrubbing.damages import Damage, Place
from appliance.scrubbing.passes import examine
from appliance.scrubbing.sources import OtherCrate, Source, crate_files, own_packs
from appliance.store import Store
from archive.digests import Digest
from archive.progress import SILENT, Progress


@dataclass(frozen=True, slots=True)
class Mended:
    """A damaged blob that is whole again, and thanks to whom."""

    sha256: str
    size: int
    source: str


@dataclass(frozen=True, slots=True)
class Repair:
    """What is whole again, and what is not."""

    mended: tuple[Mended, ...]
    left: tuple[Damage, ...]


def repair(store: Store, paths: Sequence[Path] = (), crates: Sequence[str] = (), progress: Progress = SILENT) -> Repair:
    """Mends what is known to be damaged: from where it lies, other packs, crate files at `paths`, other `crates`' URLs.

    Raises `StoreBusy`, `StoreFull`, and of crate files what an import raises.
    """
    with store.lock("repairing"), ExitStack() as stack:
        waiting = {damage.sha256: damage.size for damage in damages.every(store)}
        mended = [one for sha256 in waiting if (one := _as_it_lies(store, sha256))]
        for one in mended:
            waiting.pop(one.sha256)
        with progress.task("repairing", sum(waiting.values())) as task:
            wanted = set(waiting)
            sources: list[Source] = [
                *own_packs(store, wanted, stack),
                *crate_files(store, paths, wanted, stack),
                *(OtherCrate(url, store) for url in crates),
            ]
            for sha256, size in waiting.items():
                source = next((source for source in sources if _fetch(store, source, sha256, size)), None)
                if source:
                    mended.append(Mended(sha256, size, source.name))
                task.advance(size)
    return Repair(tuple(mended), tuple(damages.every(store)))


def _as_it_lies(store: Store, sha256: str) -> Mended | None:
    """The disk may have been away, not broken: then the bytes are right again, and the row comes back."""
    raw = bytes.fromhex(sha256)
    row = store.database.reader.execute(
        "SELECT digest, size, pack, offset FROM damaged WHERE digest = ?", (raw,)
    ).fetchone()
    if row is None:
        return None
    place = Place(*row)
    if (place.pack is None and place.offset) or examine(store, place):
        return None
    with store.database.write() as connection:
        connection.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?, ?, ?, 0)", row)
    return Mended(sha256, place.size, "where it lies")


def _fetch(store: Store, source: Source, sha256: str, size: int) -> bool:
    target = store.blobs.loose_path(sha256)
    beside = target.with_suffix(".part")
    hasher, got = hashlib.sha256(), 0
    with disk.problems(f"repairing sha256:{sha256}"):
        target.parent.mkdir(exist_ok=True)
        try:
            with beside.open("wb") as file:
                for piece in source.pieces(sha256):
                    got += len(piece)
                    if got > size:
                        break
                    hasher.update(piece)
                    file.write(piece)
            if got != size or hasher.hexdigest() != sha256:
                return False
            store.blobs.add_loose(beside, Digest.sha256(sha256))
        finally:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
    return True

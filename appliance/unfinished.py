"""A pack on its way in: a sparse file that fills up, and the journal that says how far it has come.

The order of writes is the point: data, fdatasync, journal; then fsync, rename, and the database last.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from appliance import disk
from appliance.journal import Journal, Pending, Range
from appliance.ranges import Ranges
from appliance.store import Store
from archive.volumes import Volumes

SYNC_EVERY = 64 << 20
"""Bytes between two syncs: what a kill may cost, twice, because one batch is written while the last one is synced."""


@dataclass(slots=True)
class _Batch:
    """Written, and not known to be on disk."""

    verified: Ranges = field(default_factory=Ranges)
    stored: Ranges = field(default_factory=Ranges)
    proven: list[str] = field(default_factory=list)
    size: int = 0


class UnfinishedPack:
    """The pack `<digest>.crate` before the database knows all of it.

    A new one is written as `.crate.part`. One that the database knows already, and that a collection has made holes
    in, is filled in place: nothing refers to its holes.
    """

    def __init__(self, store: Store, pending: Pending) -> None:
        self.final = store.pack_path(pending.digest)
        part = self.final.with_name(self.final.name + ".part")
        journal = store.journal_path(pending.digest)
        row = store.database.reader.execute("SELECT 1 FROM packs WHERE digest = ?", (pending.digest,)).fetchone()
        in_place = row is not None
        self.path = self.final if in_place else part
        if not in_place and self.final.exists() and not part.exists():
            self.final.rename(part)  # stopped between the rename and the database
        if not self.path.exists():
            journal.unlink(missing_ok=True)  # it would speak of bytes that are gone
        self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.ftruncate(self.descriptor, pending.size)
        disk.sync_folder(store.packs)
        self.journal = Journal(journal, pending)
        self._batch = _Batch()
        self._under_way: tuple[Future[None], _Batch] | None = None
        self._syncer = ThreadPoolExecutor(1)
        self._syncs = True

    def write(self, offset: int, data: memoryview, verified: Iterable[Range] = ()) -> None:
        """Writes bytes at their place, some of them `verified`; `data` is not needed afterwards."""
        disk.write_all(self.descriptor, data, offset)
        self._batch.stored.add(offset, offset + len(data))
        self._batch.size += len(data)
        for start, end in verified:
            self.verify(start, end)
        if self._under_way and self._under_way[0].done():
            self._settle()
        if self._batch.size >= SYNC_EVERY:
            self._settle()
            self._begin_sync()

    def verify(self, start: int, end: int) -> None:
        """What was written there is what was signed."""
        self._batch.verified.add(start, end)

    def prove(self, digest: str) -> None:
        """The whole of this blob was hashed and is right."""
        self._batch.proven.append(digest)

    def sync(self) -> None:
        """Everything written so far is on disk, and the journal says so."""
        self._settle()
        self._begin_sync()
        self._settle()

    def _begin_sync(self) -> None:
        batch, self._batch = self._batch, _Batch()
        self._under_way = (self._syncer.submit(os.fdatasync, self.descriptor), batch)

    def _settle(self) -> None:
        if self._under_way:
            (future, batch), self._under_way = self._under_way, None
            self._syncs = False  # a failed sync may have lost any page written so far; the kernel says so only once
            future.result()
            self._syncs = True
            self.journal.add(verified=batch.verified, stored=batch.stored, proven=batch.proven)

    def blocks(self, offset: int, size: int, block: int = 1 << 20) -> Iterator[bytes]:
        """What is written there, for proving it."""
        for start in range(offset, offset + size, block):
            yield os.pread(self.descriptor, min(block, offset + size - start), start)

    def volumes(self) -> Volumes:
        """The pack itself, read as an archive."""
        return Volumes.open([self.path])

    def place(self) -> None:
        """All of it durable, under its final name."""
        os.fsync(self.descriptor)
        if self.path != self.final:
            self.path.rename(self.final)
            self.path = self.final
            disk.sync_folder(self.final.parent)

    def forget(self) -> None:
        """The database knows everything now."""
        self.journal.path.unlink()
        disk.sync_folder(self.final.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None and self._syncs:
                with suppress(OSError):  # the reason why it ended goes first
                    self.sync()
        finally:
            self._syncer.shutdown()
            self.journal.close()
            os.close(self.descriptor)

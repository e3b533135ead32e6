"""Blobs by digest, wherever they lie: inside a pack at an offset, or loose in a file of their own."""

from __future__ import annotations

import io
import os
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from appliance import disk
from appliance.database import Database
from appliance.errors import UnknownBlob
from archive.digests import Digest

_FRESH = 3600  # seconds for which a touch need not be repeated


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a blob's bytes are: `size` bytes at `offset` of `path`. `sha256` in hex."""

    path: Path
    offset: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class OpenExtent:
    """An open blob; `file` has a descriptor of its own and is closed on leaving the context."""

    file: BinaryIO
    offset: int
    size: int
    sha256: str

    def reader(self) -> BinaryIO:
        """The blob alone, as a file from 0 to its end. Closing either closes both."""
        return io.BufferedReader(_Window(self), 1 << 16)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()


class _Window(io.RawIOBase):
    """An extent as a file of its own."""

    def __init__(self, extent: OpenExtent) -> None:
        self._extent = extent
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._extent.size}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        view = view[: max(min(len(view), self._extent.size - self._at), 0)]
        count = os.preadv(self._extent.file.fileno(), [view], self._extent.offset + self._at) if view else 0
        self._at += count
        return count

    def close(self) -> None:
        self._extent.file.close()
        super().close()


class Blobs:
    """The one table of blobs. May be used from any thread."""

    def __init__(self, root: Path, database: Database) -> None:
        self._root = root
        self._loose = root / "loose" / "sha256"
        self._database = database

    def loose_path(self, sha256: str) -> Path:
        return self._loose / sha256[:2] / sha256

    def find(self, digest: Digest) -> Extent | None:
        """Where the blob is, by either algorithm; None when the store does not hold it."""
        where = (
            "blobs.digest = ?"
            if digest.algorithm == "sha256"
            else "blobs.digest = (SELECT digest FROM aliases WHERE alias = ?)"
        )
        key = bytes.fromhex(digest.hex) if digest.algorithm == "sha256" else str(digest)
        row = self._database.reader.execute(
            "SELECT blobs.digest, blobs.size, blobs.offset, packs.digest"  # noqa: S608 - two fixed conditions
            f" FROM blobs LEFT JOIN packs ON packs.id = blobs.pack WHERE {where}",
            (key,),
        ).fetchone()
        if row is None:
            return None
        sha256 = row[0].hex()
        path = self.loose_path(sha256) if row[3] is None else self._root / "packs" / f"{row[3]}.crate"
        return Extent(path, row[2], row[1], sha256)

    def holds(self, sha256: str) -> bool:
        """Whether a blob is here, by its sha256 in hex."""
        row = self._database.reader.execute("SELECT 1 FROM blobs WHERE digest = ?", (bytes.fromhex(sha256),))
        return row.fetchone() is not None

    def open(self, digest: Digest) -> OpenExtent:
        """Opens the blob for reading. Raises `UnknownBlob`."""
        for _ in range(2):  # a collection may move or drop the blob between looking and opening
            extent = self.find(digest)
            if extent is None:
                break
            try:
                return OpenExtent(extent.path.open("rb"), extent.offset, extent.size, extent.sha256)
            except FileNotFoundError:
                continue
        raise UnknownBlob(f"the store does not hold {digest}")

    def read(self, digest: Digest, limit: int) -> bytes:
        """A small blob, whole. Raises `UnknownBlob`; `ValueError` when it is larger than `limit` bytes."""
        with self.open(digest) as extent:
            if extent.size > limit:
                raise ValueError(f"{digest} has {extent.size} bytes, more than {limit}")
            extent.file.seek(extent.offset)
            return extent.file.read(extent.size)

    def touch(self, digest: Digest) -> bool:
        """Keeps a blob through the next collection, because somebody was told that it is here; False when it is not.

        Writes at most once an hour: `touched` only has to stay well within a collection's grace.
        """
        now = int(time.time())
        row = self._database.reader.execute(
            "SELECT digest, touched FROM blobs WHERE digest IN (?, (SELECT digest FROM aliases WHERE alias = ?))",
            (bytes.fromhex(digest.hex), str(digest)),
        ).fetchone()
        if row is None or abs(now - row[1]) < _FRESH:
            return row is not None
        with self._database.write() as connection:
            return connection.execute("UPDATE blobs SET touched = ? WHERE digest = ?", (now, row[0])).rowcount > 0

    def add_loose(self, temporary: Path, digest: Digest, aliases: Iterable[Digest] = ()) -> None:
        """Takes over a finished file whose sha256 is `digest`, computed by the caller; `aliases` are its other digests.

        The file is synced, renamed into place and recorded, in that order. It must lie on the store's file system and
        is gone afterwards, also when the store held the blob already. Blocks on the disk.
        """
        raw = bytes.fromhex(digest.hex)
        now = int(time.time())
        with disk.problems(f"storing {digest}"):
            if self.find(digest) is None:
                disk.sync_file(temporary)
            # The rename happens inside the transaction, because a collection unlinks inside one, too.
            with self._database.write() as connection:
                touched = connection.execute("UPDATE blobs SET touched = ? WHERE digest = ?", (now, raw))
                if touched.rowcount:
                    temporary.unlink()
                else:
                    size = self._place(temporary, self._shelf(digest.hex))
                    connection.execute("INSERT INTO blobs VALUES (?, ?, NULL, 0, ?)", (raw, size, now))
                connection.executemany(
                    "INSERT OR IGNORE INTO aliases VALUES (?, ?)", [(str(alias), raw) for alias in aliases]
                )

    def make_loose(self, connection: sqlite3.Connection, sha256: str, body: bytes) -> None:
        """Stores a small blob that the crate made itself, in the caller's transaction."""
        raw, now = bytes.fromhex(sha256), int(time.time())
        if not connection.execute("UPDATE blobs SET touched = ? WHERE digest = ?", (now, raw)).rowcount:
            target = self._shelf(sha256)
            temporary = target.with_suffix(".part")
            temporary.write_bytes(body)
            disk.sync_file(temporary)
            size = self._place(temporary, target)
            connection.execute("INSERT INTO blobs VALUES (?, ?, NULL, 0, ?)", (raw, size, now))

    def _shelf(self, sha256: str) -> Path:
        """Where a loose blob belongs, in a folder that is there."""
        target = self.loose_path(sha256)
        if not target.parent.exists():
            target.parent.mkdir()
            disk.sync_folder(self._loose)
        return target

    def _place(self, temporary: Path, target: Path) -> int:
        temporary.rename(target)
        disk.sync_folder(target.parent)
        return target.stat().st_size

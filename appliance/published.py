"""What the active generation serves at paths: blobs of its crates, and documents made when it was published."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import OrderedDict
from concurrent.futures import Executor
from dataclasses import dataclass
from email.utils import formatdate

from appliance.database import Database
from appliance.errors import UnknownBlob
from mirror.ecosystem import ORIGIN

_KNOWN = 10_000  # paths whose meaning is kept in memory
_CACHED = 16 << 20  # bytes of documents kept in memory
_BELOW = " AND path > ? || '/' AND path < ? || '0'"  # the folder, twice: 0 follows / in ASCII
BY_DIGEST = "/blobs/sha256/"
"""Before a sha256 on the plain port: a file or chart by its digest (`appliance.artifacts`)."""
SMALL = 1 << 20  # bytes of the largest document that is kept there, and sent in one go


@dataclass(frozen=True, slots=True)
class Served:
    """One variant of a path, from the server's root (`files/tool`); `sha256` in hex.

    `document` is the row of its bytes; None for a blob of the store. `accepts` are the media types that it is asked
    for by, none for the default variant. An `origin_bound` document is completed with the address that a client used.
    """

    path: str
    accepts: tuple[str, ...]
    sha256: str
    size: int
    media_type: str
    origin_bound: bool
    modified: int
    document: int | None

    @property
    def last_modified(self) -> str:
        """As the header spells it."""
        return formatdate(self.modified, usegmt=True)


class PublishedPaths:
    """Answers from memory for as long as nobody commits, so nothing is ever stale. To be used from one thread."""

    _ROWS = (
        "SELECT path, accepts, published_files.digest, size, media_type, origin_bound, modified, documents.id"
        " FROM published_files LEFT JOIN documents ON documents.digest = published_files.digest"
        " WHERE generation = (SELECT id FROM generations WHERE active = 1)"
    )

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, list[Served]] = {}
        self._known_at = -1

    def variants(self, path: str) -> list[Served]:
        """All that is served at a path, the default first."""
        version = self._database.data_version()
        if version != self._known_at or len(self._known) > _KNOWN:
            self._known.clear()
            self._known_at = version
        found = self._known.get(path)
        if found is None:
            found = self._read(" AND path = ? ORDER BY accepts", path)
            if found:
                self._known[path] = found
        return found

    def below(self, folder: str) -> list[Served]:
        """All that is served below `folder/`, in order."""
        return self._read(f"{_BELOW} ORDER BY path", folder, folder)

    def of_blob(self, folder: str, sha256: str) -> list[str]:
        """The paths below `folder/` at which a blob of the crates is served."""
        found = self._read(f"{_BELOW} AND published_files.digest = ?", folder, folder, bytes.fromhex(sha256))
        return [served.path for served in found if served.document is None]

    def _read(self, condition: str, *values: str | bytes) -> list[Served]:
        rows = self._database.reader.execute(self._ROWS + condition, values)
        return [
            Served(path, tuple(filter(None, accepts.split(","))), digest.hex(), size, kind, bool(bound), when, document)
            for path, accepts, digest, size, kind, bound, when, document in rows
        ]


class Documents:
    """The bytes of documents, the recent ones among the small from memory. To be used from the event loop's thread."""

    def __init__(self, database: Database, readers: Executor) -> None:
        self._database = database
        self._readers = readers
        self._kept: OrderedDict[tuple[str, bytes], bytes] = OrderedDict()
        self._size = 0

    async def whole(self, served: Served, origin: bytes) -> bytes:
        """All of it, with `origin` in its place. Raises `UnknownBlob`."""
        key = (served.sha256, origin if served.origin_bound else b"")
        body = self._kept.get(key)
        if body is None:
            body = await self.piece(served, 0, served.size)
            if served.origin_bound:
                body = body.replace(ORIGIN, origin)
            self._keep(key, body)
        else:
            self._kept.move_to_end(key)
        return body

    async def piece(self, served: Served, start: int, length: int) -> bytes:
        """A part of it as it is stored. Raises `UnknownBlob`."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, served, start, length)

    def _read(self, served: Served, start: int, length: int) -> bytes:
        # Opened for each piece: a slow client must not hold a transaction open, which would let the log grow.
        try:
            with self._database.reader.blobopen("documents", "body", served.document or 0, readonly=True) as blob:
                blob.seek(start)
                return blob.read(length)
        except sqlite3.OperationalError as error:
            raise UnknownBlob(f"the store does not hold the document sha256:{served.sha256}") from error

    def _keep(self, key: tuple[str, bytes], body: bytes) -> None:
        if len(body) > SMALL or key in self._kept:
            return
        self._kept[key] = body
        self._size += len(body)
        while self._size > _CACHED:
            self._size -= len(self._kept.popitem(last=False)[1])


def apt_sources(database: Database, origin: str) -> dict[str, str]:
    """The `.sources` files that the active generation offers, by repository, for clients that reach it at `origin`."""
    rows = database.reader.execute(
        "SELECT path, body FROM published_files JOIN documents USING (digest)"
        " WHERE generation = (SELECT id FROM generations WHERE active = 1) AND path GLOB 'apt/*.sources' ORDER BY path"
    )
    return {
        path.removeprefix("apt/").removesuffix(".sources"): body.replace(ORIGIN, origin.encode()).decode()
        for path, body in rows
    }

"""Collection: drops old generations and what nothing needs any more, and gives its space back.

First one transaction forgets; then files are removed and holes punched into packs. What remains to be removed is
recomputed from the database every time, so a collection that was cut short is finished by the next one.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from appliance import abandoned, disk, reach
from appliance.punching import punch
from appliance.store import Store
from archive.layout import BLOCK, TRAILER, Head
from archive.progress import SILENT, Progress
from archive.release import Release

KEEP = 2
GRACE = timedelta(days=1)
"""How long what was pushed may stay without anything that refers to it: longer than the slowest push."""


@dataclass(frozen=True, slots=True)
class Collection:
    """What went; `imports` are unfinished ones. `freed` in bytes of disk."""

    generations: int
    packs: int
    manifests: int
    blobs: int
    imports: int
    freed: int


def collect(
    store: Store,
    *,
    keep: int = KEEP,
    grace: timedelta = GRACE,
    unfinished: bool = False,
    progress: Progress = SILENT,
) -> Collection:
    """Keeps the `keep` most recently active generations, the active one always, and all that people pushed and tagged.

    Imports that were interrupted are kept while they can be gone on with, unless `unfinished` drops them. Safe beside a
    serving daemon and concurrent pushes. Raises `StoreBusy`, `StoreFailed`.
    """
    since = time.time() - grace.total_seconds()
    with store.lock("collecting"), disk.problems("collecting"):
        with store.database.write() as connection:
            waiting = _waiting(connection, since)
            generations = _drop_generations(connection, keep)
            unreached = reach.mark(connection, store.blobs, since)
            connection.executemany(
                "INSERT OR IGNORE INTO reached SELECT digest FROM pack_blobs WHERE pack = ?",
                [(pack,) for pack in waiting],
            )
            blobs = _forget(connection, unreached)
            connection.execute("DELETE FROM documents WHERE digest NOT IN (SELECT digest FROM published_files)")
            loose = {row[0].hex() for row in connection.execute("SELECT digest FROM dropped WHERE pack IS NULL")}
            packs = _drop_packs(connection, waiting)
        imports, leftovers = abandoned.leftovers(store, unfinished=unfinished)
        freed = sum(map(_remove, leftovers))
        freed += _sweep_loose(store, loose, since) + _sweep_packs(store) + _punch_packs(store, progress)
    return Collection(generations, packs, len(unreached), blobs, imports, freed)


def reclaimable(store: Store, *, keep: int = KEEP, grace: timedelta = GRACE) -> int:
    """How many bytes a collection would give back now, unfinished imports aside: it is tried, and taken back.

    Blobs count by their size, which is what punching them out of a pack frees but for the edges of blocks.
    """
    since = time.time() - grace.total_seconds()

    class Undone(Exception):  # noqa: N818 - takes the transaction back
        pass

    freed = 0
    with suppress(Undone), store.database.write() as connection:
        waiting = _waiting(connection, since)
        _drop_generations(connection, keep)
        reach.mark(connection, store.blobs, since)
        kept = ", ".join(map(str, waiting)) or "NULL"
        (freed,) = connection.execute(
            "SELECT coalesce(sum(size), 0) FROM blobs WHERE digest NOT IN (SELECT digest FROM reached)"  # noqa: S608 - our own numbers
            f" AND digest NOT IN (SELECT digest FROM pack_blobs WHERE pack IN ({kept}))"
        ).fetchone()
        raise Undone
    return int(freed)


def _waiting(connection: sqlite3.Connection, since: float) -> list[int]:
    """Packs whose import was finished and whose activation was interrupted, perhaps just now."""
    rows = connection.execute(
        "SELECT id FROM packs WHERE imported_at > ? AND id NOT IN (SELECT pack FROM generation_packs)", (since,)
    )
    return [row[0] for row in rows]


def _drop_generations(connection: sqlite3.Connection, keep: int) -> int:
    return connection.execute(
        "DELETE FROM generations WHERE active = 0 AND id NOT IN"
        " (SELECT id FROM generations ORDER BY active DESC, activated_at DESC LIMIT ?)",
        (max(keep, 1),),
    ).rowcount


def _forget(connection: sqlite3.Connection, manifests: Iterable[reach.Name]) -> int:
    """Deletes the rows of what was not reached; leaves the blobs among them in the temporary table `dropped`."""
    connection.executemany("DELETE FROM manifests WHERE repository = ? AND digest = ?", manifests)
    connection.execute("DELETE FROM repository_blobs WHERE digest NOT IN (SELECT digest FROM reached)")
    connection.execute("DELETE FROM damaged WHERE digest NOT IN (SELECT digest FROM reached)")
    connection.execute("DROP TABLE IF EXISTS temp.dropped")
    connection.execute(
        "CREATE TEMP TABLE dropped AS SELECT digest, pack FROM blobs WHERE digest NOT IN (SELECT digest FROM reached)"
    )
    return connection.execute("DELETE FROM blobs WHERE digest IN (SELECT digest FROM dropped)").rowcount


def _drop_packs(connection: sqlite3.Connection, waiting: list[int]) -> int:
    held = "SELECT pack FROM generation_packs UNION SELECT pack FROM blobs WHERE pack IS NOT NULL"
    rows = connection.execute(f"SELECT id FROM packs WHERE id NOT IN ({held})")  # noqa: S608 - two fixed queries
    unused = [(row[0],) for row in rows if row[0] not in waiting]
    connection.executemany("DELETE FROM packs WHERE id = ?", unused)
    return len(unused)


def _sweep_loose(store: Store, dropped: set[str], since: float) -> int:
    """Removes loose files without a row: those dropped now, and old ones that an interrupted command left."""
    freed = 0
    for folder in (store.root / "loose" / "sha256").iterdir():
        # Inside a transaction, because a push that stores the same blob again renames its file inside one, too.
        with store.database.write() as connection:
            for path in folder.iterdir():
                row = connection.execute("SELECT 1 FROM blobs WHERE digest = ?", (_digest(path),)).fetchone()
                if row is None and (path.name in dropped or path.stat().st_mtime <= since):
                    freed += _remove(path)
    return freed


def _digest(path: Path) -> bytes:
    try:
        return bytes.fromhex(path.name)
    except ValueError:
        return b""


def _sweep_packs(store: Store) -> int:
    """Removes packs that have no row, unless an import has yet to write it."""
    known = {row[0] for row in store.database.reader.execute("SELECT digest FROM packs")}
    orphans = [path for path in store.packs.glob("*.crate") if path.stem not in known]
    return sum(_remove(path) for path in orphans if not store.journal_path(path.stem).exists())


def _remove(path: Path) -> int:
    freed = path.stat().st_blocks * 512
    path.unlink()
    return freed


def _punch_packs(store: Store, progress: Progress) -> int:
    packs = store.database.reader.execute("SELECT id, digest, signed FROM packs").fetchall()
    freed = 0
    with progress.task("giving back space", len(packs), unit="packs") as task:
        for pack, digest, signed in packs:
            freed += _punch(store, pack, digest, signed)
            task.advance(1)
    return freed


def _punch(store: Store, pack: int, digest: str, signed: bytes) -> int:
    """Punches out of one pack what no blob's row lays claim to."""
    path = store.pack_path(digest)
    # An interrupted import may have begun to fill this pack's holes again; it starts over.
    store.journal_path(digest).unlink(missing_ok=True)
    if not path.exists():  # the disk lost it; what lay in it is damaged, or mended elsewhere
        return 0
    block = os.statvfs(path).f_frsize
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        before = os.fstat(descriptor)
        for start, end in _gaps(store.database.reader, pack, signed, before.st_size):
            punch(descriptor, start, end, block)
        os.fsync(descriptor)
        return (before.st_blocks - os.fstat(descriptor).st_blocks) * 512
    finally:
        os.close(descriptor)


def _gaps(connection: sqlite3.Connection, pack: int, signed: bytes, size: int) -> Iterator[tuple[int, int]]:
    """What lies between the blobs that the pack holds; its head, their headers and the end of the archive stay."""
    free = Head.of(len(signed), Release.parse(signed)).end
    for offset, length in connection.execute(
        "SELECT offset, size FROM blobs WHERE pack = ? AND size > 0 ORDER BY offset", (pack,)
    ):
        yield free, offset - BLOCK
        free = max(free, offset + length)
    yield free, size - TRAILER

"""What `status` reports: what is active, what could be rolled back to, what is unfinished, what people pushed."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from appliance import generations, journal
from appliance.generations import Generation
from appliance.store import Store
from archive.release import Release


@dataclass(frozen=True, slots=True)
class ActiveCrate:
    """A crate that is served; `expired` is a warning, for boards have no clock."""

    name: str
    channel: str
    serial: int
    created: str
    expired: bool
    size: int
    signed_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PendingImport:
    """An import to be gone on with: `stored` of `size` bytes are on disk."""

    crate: str
    file: str
    stored: int
    size: int


@dataclass(frozen=True, slots=True)
class Status:
    """Counts are of the active generation: `images` are tags, `items` packages and files by kind.

    `used` and `free` are bytes of disk.
    """

    root: str
    generation: int | None
    crates: tuple[ActiveCrate, ...]
    images: int
    items: Mapping[str, int]
    pushed_tags: int
    generations: tuple[Generation, ...]
    pending: tuple[PendingImport, ...]
    used: int
    free: int


def status(store: Store) -> Status:
    """Reads only, also while another process writes."""
    with store.database.snapshot() as connection:
        generation = store.generation()
        return Status(
            root=str(store.root),
            generation=generation,
            crates=tuple(_crates(connection, generation)),
            images=_count(connection, "SELECT count(*) FROM published_tags WHERE generation = ?", generation),
            items=dict(
                connection.execute("SELECT kind, items FROM published_items WHERE generation = ?", (generation,))
            ),
            pushed_tags=connection.execute("SELECT count(*) FROM tags").fetchone()[0],
            generations=tuple(generations.generations(connection)),
            pending=tuple(_pending(store)),
            used=_used(store),
            free=shutil.disk_usage(store.root).free,
        )


def active_crates(store: Store) -> tuple[ActiveCrate, ...]:
    """What is served, and who signed it."""
    return tuple(_crates(store.database.reader, store.generation()))


def _count(connection: sqlite3.Connection, query: str, generation: int | None) -> int:
    return int(connection.execute(query, (generation,)).fetchone()[0])


def _crates(connection: sqlite3.Connection, generation: int | None) -> list[ActiveCrate]:
    now = datetime.fromtimestamp(time.time(), UTC)
    rows = connection.execute(
        "SELECT signed, size, signatures FROM generation_packs JOIN packs ON packs.id = pack"
        " WHERE generation = ? AND active = 1 ORDER BY name",
        (generation,),
    )
    found = []
    for signed, size, signatures in rows:
        release = Release.parse(signed)
        found.append(
            ActiveCrate(
                name=release.name,
                channel=release.channel,
                serial=release.serial,
                created=release.created.isoformat(),
                expired=release.expires is not None and release.expires < now,
                size=size,
                signed_by=tuple(signature["principal"] for signature in json.loads(signatures)),
            )
        )
    return found


def _pending(store: Store) -> list[PendingImport]:
    found = []
    for pending in journal.pending(store.packs):
        stored = journal.stored(store.journal_path(pending.digest)).total()
        found.append(PendingImport(f"{pending.name} {pending.serial}", pending.stem, stored, pending.size))
    return found


def _used(store: Store) -> int:
    used = 0
    for folder in (store.packs, store.root / "loose", store.uploads):
        for path in folder.rglob("*"):
            with suppress(FileNotFoundError):  # an upload may end while we look
                used += path.stat().st_blocks * 512
    return used

"""Generations: which crates are active, and what they publish. One transaction takes clients from one to the next."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from appliance.errors import NoGeneration
from appliance.publication import PUBLISHERS, Publication, Publisher
from appliance.store import Store
from archive.release import Release


@dataclass(frozen=True, slots=True)
class Generation:
    """What was active from `activated_at` (seconds since 1970, by the crate's clock, never running backwards)."""

    id: int
    activated_at: int
    active: bool
    crates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Activation:
    """What an activation came to; `changed` is False when just that was active already."""

    generation: int
    crates: tuple[str, ...]
    changed: bool


def now(store: Store) -> datetime:
    """The time that trust decisions go by: a board without a clock knows at least the newest crate it has seen."""
    newest = store.database.reader.execute("SELECT max(created) FROM packs").fetchone()[0] or 0
    return datetime.fromtimestamp(max(time.time(), newest), UTC)


def activate(store: Store, packs: Iterable[int], publishers: Iterable[Publisher] = PUBLISHERS) -> Activation:
    """Makes these packs the active ones of their names, beside what is active for other names.

    The caller holds the store's lock and has checked serials and signatures. Moves the floors. Raises `CrateConflict`,
    `BadPublication`; then nothing has changed.
    """
    chosen = list(packs)
    with store.database.write() as connection:
        before = _active_packs(connection)
        names = {_pack_name(connection, pack): pack for pack in chosen}
        after = {**before, **names}
        if after == before:
            generation, changed = _active_id(connection), False
        else:
            generation, changed = _new(connection), True
            _record_packs(connection, generation, after.values())
            publication = Publication(connection, generation, store.blobs)
            for pack in after.values():
                publication.publish(_release(connection, pack), publishers)
        for pack in names.values():
            connection.execute(
                "INSERT OR REPLACE INTO floors SELECT name, serial, digest FROM packs WHERE id = ?", (pack,)
            )
    return Activation(generation, _crates(store.database.reader, generation), changed)


def rollback(store: Store, target: int | None = None) -> Activation:
    """Makes an earlier generation active again; by default the one below the active one.

    Floors stay where they are. Raises `NoGeneration`, `StoreBusy`.
    """
    with store.lock("rolling back"), store.database.write() as connection:
        active = store.generation()
        if active is None:
            raise NoGeneration("nothing was ever activated here", hint="crate-appliance install CRATE comes first")
        if target is None:
            target = connection.execute("SELECT max(id) FROM generations WHERE id < ?", (active,)).fetchone()[0]
        known = [row[0] for row in connection.execute("SELECT id FROM generations ORDER BY id")]
        if target not in known:
            wanted = "an earlier generation" if target is None else f"generation {target}"
            raise NoGeneration(
                f"{wanted} is not there; there are {', '.join(map(str, known))}, and {active} is active",
                hint="crate-appliance status shows them; gc drops old ones, --keep N keeps more",
            )
        if target != active:
            connection.execute("UPDATE generations SET active = 0 WHERE active = 1")
            connection.execute(
                "UPDATE generations SET active = 1, activated_at = ? WHERE id = ?", (_tick(connection), target)
            )
    return Activation(target, _crates(store.database.reader, target), target != active)


def generations(connection: sqlite3.Connection) -> list[Generation]:
    """All of them, the most recently active first."""
    return [
        Generation(row[0], row[1], bool(row[2]), _crates(connection, row[0]))
        for row in connection.execute("SELECT id, activated_at, active FROM generations ORDER BY activated_at DESC")
    ]


def _active_packs(connection: sqlite3.Connection) -> dict[str, int]:
    return dict(
        connection.execute(
            "SELECT packs.name, packs.id FROM generations JOIN generation_packs ON generation = generations.id"
            " JOIN packs ON packs.id = pack WHERE generations.active = 1 AND generation_packs.active = 1"
        )
    )


def _pack_name(connection: sqlite3.Connection, pack: int) -> str:
    return str(connection.execute("SELECT name FROM packs WHERE id = ?", (pack,)).fetchone()[0])


def _release(connection: sqlite3.Connection, pack: int) -> Release:
    return Release.parse(connection.execute("SELECT signed FROM packs WHERE id = ?", (pack,)).fetchone()[0])


def _active_id(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT id FROM generations WHERE active = 1").fetchone()[0])


def _tick(connection: sqlite3.Connection) -> int:
    """The time of an activation; later than all before it, whatever the clock says."""
    latest = connection.execute("SELECT max(activated_at) FROM generations").fetchone()[0] or 0
    return max(int(time.time()), latest + 1)


def _new(connection: sqlite3.Connection) -> int:
    tick = _tick(connection)
    connection.execute("UPDATE generations SET active = 0 WHERE active = 1")
    row = connection.execute(
        "INSERT INTO generations (activated_at, active) VALUES (?, 1) RETURNING id", (tick,)
    ).fetchone()
    return int(row[0])


def _record_packs(connection: sqlite3.Connection, generation: int, active: Iterable[int]) -> None:
    """The active packs, and the others in which blobs of theirs lie."""
    connection.executemany("INSERT INTO generation_packs VALUES (?, ?, 1)", [(generation, pack) for pack in active])
    connection.execute(
        "INSERT OR IGNORE INTO generation_packs SELECT DISTINCT generation, blobs.pack, 0 FROM generation_packs"
        " JOIN pack_blobs USING (pack) JOIN blobs USING (digest)"
        " WHERE generation = ? AND blobs.pack IS NOT NULL",
        (generation,),
    )


def _crates(connection: sqlite3.Connection, generation: int) -> tuple[str, ...]:
    rows = connection.execute(
        "SELECT name, serial FROM generation_packs JOIN packs ON packs.id = pack"
        " WHERE generation = ? AND active = 1 ORDER BY name",
        (generation,),
    )
    return tuple(f"{name} {serial}" for name, serial in rows)

"""Generations: which crates are active, and what they publish. One transaction takes clients from one to the next."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from appliance import contributions
from appliance.errors import NoGeneration
from appliance.publication import Publication
from appliance.publishing import FOLDERS, PUBLISHERS, Publisher, publish
from appliance.store import Store
from archive.release import Release

_PUBLISHED = ("published_tags", "published_manifests", "published_blobs", "published_files", "published_items", "items")


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


def activate(store: Store, packs: Iterable[int], publishers: Mapping[str, Publisher] = PUBLISHERS) -> Activation:
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
            active = store.generation()
            generation, changed = _new(connection, after.values()), True
            _publish(store, connection, generation, active, publishers)
        for pack in names.values():
            connection.execute(
                "INSERT OR REPLACE INTO floors SELECT name, serial, digest FROM packs WHERE id = ?", (pack,)
            )
    return Activation(generation, _crates(store.database.reader, generation), changed)


def rollback(store: Store, target: int | None = None) -> Activation:
    """Makes an earlier generation active again; by default the one below the active one.

    It is published again, with a new date: clients that compare dates (apt does) would keep the newer indexes that
    they have. Floors stay where they are. Raises `NoGeneration`, `StoreBusy`.
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
                "UPDATE generations SET active = 1, activated_at = ?, dated = ? WHERE id = ?",
                (_tick(connection), _date(connection, _packs(connection, target)), target),
            )
            _forget(connection, target)
            _publish(store, connection, target, active, PUBLISHERS)
    return Activation(target, _crates(store.database.reader, target), target != active)


def republish(store: Store, connection: sqlite3.Connection, kind: str = "") -> None:
    """Publishes the active generation again, with what people contributed by now, in the caller's transaction.

    With a `kind`, only what lies below its folder; the rest stays as it is. A store without a generation gets one that
    holds no crate. Raises `CrateConflict`, `BadPublication`.
    """
    generation = ensure(connection)
    folder = f"{FOLDERS[kind]}/" if kind else ""
    below = "generation = ? AND substr(path, 1, ?) = ?"
    where = (generation, len(folder), folder)
    connection.execute("DROP TABLE IF EXISTS temp.before")
    connection.execute(
        f"CREATE TEMP TABLE before AS SELECT path, accepts, digest, modified FROM published_files WHERE {below}",  # noqa: S608 - a fixed condition
        where,
    )
    if kind:
        connection.execute(f"DELETE FROM published_files WHERE {below}", where)  # noqa: S608 - a fixed condition
        for table in ("published_items", "items"):
            connection.execute(f"DELETE FROM {table} WHERE generation = ? AND kind = ?", (generation, kind))  # noqa: S608 - a fixed condition
    else:
        _forget(connection, generation)
    date_again(connection, generation)
    _publish(store, connection, generation, None, PUBLISHERS, kinds={kind} if kind else None)
    # what is as it was is as old as it was: clients go by that
    connection.execute(
        "UPDATE published_files SET modified = before.modified FROM before WHERE generation = ?"
        " AND published_files.path = before.path AND published_files.accepts = before.accepts"
        " AND published_files.digest = before.digest",
        (generation,),
    )
    connection.execute("DROP TABLE temp.before")


def ensure(connection: sqlite3.Connection) -> int:
    """The active generation; where there is none, a new one that holds no crate."""
    active = connection.execute("SELECT id FROM generations WHERE active = 1").fetchone()
    return int(active[0]) if active else _new(connection, ())


def date_again(connection: sqlite3.Connection, generation: int) -> int:
    """Gives a generation a later date, for documents that change; returns it."""
    dated = _date(connection, _packs(connection, generation))
    connection.execute("UPDATE generations SET dated = ? WHERE id = ?", (dated, generation))
    return dated


def releases(connection: sqlite3.Connection, generation: int) -> list[Release]:
    """Those of its active crates, by their names."""
    signed = "SELECT signed FROM packs WHERE id = ?"
    return [Release.parse(connection.execute(signed, (pack,)).fetchone()[0]) for pack in _packs(connection, generation)]


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


def _packs(connection: sqlite3.Connection, generation: int) -> list[int]:
    """The active packs of a generation, by the names of their crates."""
    rows = connection.execute(
        "SELECT pack FROM generation_packs JOIN packs ON packs.id = pack"
        " WHERE generation = ? AND active = 1 ORDER BY name",
        (generation,),
    )
    return [row[0] for row in rows]


def _publish(
    store: Store,
    connection: sqlite3.Connection,
    generation: int,
    before: int | None,
    publishers: Mapping[str, Publisher],
    *,
    kinds: Collection[str] | None = None,
) -> None:
    """`before` is the generation that clients knew until now; `kinds` leaves out all others."""
    (dated,) = connection.execute("SELECT dated FROM generations WHERE id = ?", (generation,)).fetchone()
    into = Publication(connection, store, generation, dated=dated, before=before)
    publish(
        releases(connection, generation),
        store.blobs,
        into,
        publishers,
        contributed=contributions.carried(connection),
        kinds=kinds,
    )


def _forget(connection: sqlite3.Connection, generation: int) -> None:
    """What a generation publishes, which is about to be published again."""
    for table in _PUBLISHED:
        connection.execute(f"DELETE FROM {table} WHERE generation = ?", (generation,))  # noqa: S608 - our own tables


def _active_id(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT id FROM generations WHERE active = 1").fetchone()[0])


def _tick(connection: sqlite3.Connection) -> int:
    """The time of an activation; later than all before it, whatever the clock says."""
    latest = connection.execute("SELECT max(activated_at) FROM generations").fetchone()[0] or 0
    return max(int(time.time()), latest + 1)


def _date(connection: sqlite3.Connection, packs: Iterable[int]) -> int:
    """What documents are dated: by the newest content, never by the clock, and later than all that clients have."""
    created = "SELECT created FROM packs WHERE id = ?"
    newest = max((connection.execute(created, (pack,)).fetchone()[0] for pack in packs), default=0)
    latest = connection.execute("SELECT max(dated) FROM generations").fetchone()[0]
    return int(newest if latest is None else max(newest, latest + 1))


def _new(connection: sqlite3.Connection, packs: Collection[int]) -> int:
    """A generation of these active packs, and of the others in which blobs of theirs lie."""
    values = (_tick(connection), _date(connection, packs))
    connection.execute("UPDATE generations SET active = 0 WHERE active = 1")
    (generation,) = connection.execute(
        "INSERT INTO generations (activated_at, dated, active) VALUES (?, ?, 1) RETURNING id", values
    ).fetchone()
    connection.executemany("INSERT INTO generation_packs VALUES (?, ?, 1)", [(generation, pack) for pack in packs])
    connection.execute(
        "INSERT OR IGNORE INTO generation_packs SELECT DISTINCT generation, blobs.pack, 0 FROM generation_packs"
        " JOIN pack_blobs USING (pack) JOIN blobs USING (digest)"
        " WHERE generation = ? AND blobs.pack IS NOT NULL",
        (generation,),
    )
    return int(generation)


def _crates(connection: sqlite3.Connection, generation: int) -> tuple[str, ...]:
    rows = connection.execute(
        "SELECT name, serial FROM generation_packs JOIN packs ON packs.id = pack"
        " WHERE generation = ? AND active = 1 ORDER BY name",
        (generation,),
    )
    return tuple(f"{name} {serial}" for name, serial in rows)

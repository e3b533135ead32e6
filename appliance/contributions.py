"""What people publish here as packages, charts and files: catalogue items of their own, beside those of the crates.

They are published with every generation, outlive each, and are never mixed up with what came signed: an item whose
kind, name and version a crate holds is refused, and one that a later crate brings is the crate's from then on.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from appliance.errors import HeldByCrate, UnknownContribution
from archive.catalogue import Item


@dataclass(frozen=True, slots=True)
class Contribution:
    """An item, who published it, and when (seconds since 1970). `hidden` while a crate brings the same one."""

    item: Item
    holder: str
    added: int
    hidden: bool

    @property
    def moment(self) -> datetime:
        return datetime.fromtimestamp(self.added, UTC)


def add(connection: sqlite3.Connection, item: Item, holder: str) -> None:
    """Records an item whose blobs the store holds, in the caller's transaction; one of the same key is replaced.

    Raises `HeldByCrate` when a crate that is active brings this name and version.
    """
    crate = bringer(connection, item.kind, item.name, item.version)
    if crate:
        raise HeldByCrate(
            f"{item.kind} {item.name} {item.version} came with the crate {crate} and changes with the next one only",
            hint="publish it under another version",
        )
    connection.execute("DELETE FROM contributions WHERE (kind, name, version, platform) = (?, ?, ?, ?)", item.key)
    connection.execute(
        "INSERT INTO contributions VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*item.key, json.dumps(item.to_json(), sort_keys=True), holder, int(time.time())),
    )
    connection.executemany(
        "INSERT OR IGNORE INTO contribution_blobs VALUES (?, ?, ?, ?, ?)",
        [(*item.key, bytes.fromhex(file.sha256)) for file in item.files],
    )


def remove(connection: sqlite3.Connection, kind: str, name: str, version: str) -> list[Item]:
    """Forgets what people published under a name and version, for all platforms; returns it.

    Raises `UnknownContribution`.
    """
    removed = [each.item for each in find(connection, kind, name, version)]
    connection.execute("DELETE FROM contributions WHERE (kind, name, version) = (?, ?, ?)", (kind, name, version))
    if not removed:
        raise UnknownContribution(
            f"nobody published {kind} {name} {version} here",
            hint="crate-appliance contributions list shows what is there",
        )
    return removed


def bringer(connection: sqlite3.Connection, kind: str, name: str, version: str) -> str:
    """The active crate that brings this name and version, or of a file any; empty when none does."""
    row = connection.execute(
        "SELECT brought_by FROM items WHERE generation = (SELECT id FROM generations WHERE active = 1)"
        " AND kind = ? AND name = ? AND (version = ? OR kind = 'file') AND contributed = 0"
        " UNION ALL SELECT brought_by FROM items WHERE generation = (SELECT id FROM generations WHERE active = 1)"
        " AND ? = 'file' AND kind = 'file' AND path = 'files/' || ? AND contributed = 0 LIMIT 1",
        (kind, name, version, kind, name),
    ).fetchone()
    return row[0] if row else ""


def find(connection: sqlite3.Connection, kind: str, name: str, version: str) -> list[Contribution]:
    """What people published under a name and version, a platform each."""
    return _read(connection, "WHERE (kind, name, version) = (?, ?, ?)", (kind, name, version))


def held(connection: sqlite3.Connection, key: tuple[str, str, str, str]) -> Item | None:
    """The item of this kind, name, version and platform."""
    row = connection.execute(
        "SELECT item FROM contributions WHERE (kind, name, version, platform) = (?, ?, ?, ?)", key
    ).fetchone()
    return Item.from_json(json.loads(row[0])) if row else None


def every(connection: sqlite3.Connection) -> list[Contribution]:
    """All of them, in the order of their keys."""
    return _read(connection, "", ())


def carried(connection: sqlite3.Connection) -> Iterator[tuple[str, Item]]:
    """Holder and item, in the order of the items' keys, for publication."""
    for contribution in every(connection):
        yield contribution.holder, contribution.item


def _read(connection: sqlite3.Connection, where: str, values: Sequence[str]) -> list[Contribution]:
    rows = connection.execute(
        f"SELECT item, holder, added, kind, name, version FROM contributions {where}"  # noqa: S608 - fixed conditions
        " ORDER BY kind, name, version, platform",
        values,
    ).fetchall()
    return [
        Contribution(Item.from_json(json.loads(item)), holder, added, bool(bringer(connection, *key)))
        for item, holder, added, *key in rows
    ]

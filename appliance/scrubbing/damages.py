"""Blobs that are known to be damaged: taken out of what the store holds, so that nobody is given them.

To a client they are lost, as if they had never come: it gets a 404 and never wrong bytes. To an import they are
missing, so installing the same crate again fills them in. Whatever brings such a blob back, a stick, a push or a
repair, the database takes it off this list in the same transaction (the trigger `mended`).
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass

from appliance.blobs import Blobs
from appliance.store import Store
from archive import catalogue
from archive.digests import Digest
from archive.errors import Problem
from archive.release import Release

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Place:
    """Where a blob lies: in the pack of this row at an offset, or loose (None)."""

    raw: bytes
    size: int
    pack: int | None
    offset: int


@dataclass(frozen=True, slots=True)
class Damage:
    """A damaged blob. `needed_by` are items and images, `brought_by` the crates (name and serial) that hold it."""

    sha256: str
    size: int
    reason: str
    needed_by: tuple[str, ...]
    brought_by: tuple[str, ...]

    def told(self) -> str:
        more = f" and {len(self.needed_by) - _NAMED} more" if len(self.needed_by) > _NAMED else ""
        whose = f", needed by {', '.join(self.needed_by[:_NAMED])}{more}" if self.needed_by else ""
        return f"sha256:{self.sha256} is damaged{whose}"

    def remedy(self) -> str:
        if self.brought_by:
            return f"crate-appliance doctor --repair PATH, with the stick that brought {' or '.join(self.brought_by)}"
        if self.needed_by:
            return "push or publish it again; or crate-appliance doctor --repair URL of a crate that has it"
        return "nothing needs it any more: crate-appliance gc"


def condemn(store: Store, place: Place, reason: str) -> bool:
    """Takes a blob out of what is held; False when it does not lie there any more."""
    where = (place.raw, place.size, place.pack, place.offset)
    with store.database.write() as connection:
        held = "SELECT 1 FROM blobs WHERE digest = ? AND size = ? AND pack IS ? AND offset = ?"
        if connection.execute(held, where).fetchone() is None:
            return False
        connection.execute("INSERT INTO damaged VALUES (?, ?, ?, ?, ?, ?)", (*where, int(time.time()), reason))
        connection.execute("INSERT INTO damaged_aliases SELECT alias, digest FROM aliases WHERE digest = ?", where[:1])
        connection.execute("DELETE FROM blobs WHERE digest = ?", where[:1])
    return True


def every(store: Store) -> list[Damage]:
    """All that is damaged now, with who needs it."""
    reader = store.database.reader
    rows = reader.execute("SELECT digest, size, reason FROM damaged ORDER BY found, digest").fetchall()
    if not rows:
        return []
    needed = _needed(reader, store.blobs, {row[0] for row in rows})
    return [
        Damage(raw.hex(), size, reason, tuple(sorted(needed[raw])), tuple(_bringers(reader, raw)))
        for raw, size, reason in rows
    ]


def _bringers(reader: sqlite3.Connection, raw: bytes) -> list[str]:
    rows = reader.execute(
        "SELECT name, serial FROM pack_blobs JOIN packs ON packs.id = pack WHERE pack_blobs.digest = ?"
        " ORDER BY name, serial DESC",
        (raw,),
    )
    return [f"{name} {serial}" for name, serial in rows]


def _needed(reader: sqlite3.Connection, blobs: Blobs, wanted: set[bytes]) -> dict[bytes, set[str]]:
    needed: dict[bytes, set[str]] = {raw: set() for raw in wanted}
    for raw, names in needed.items():
        names |= {
            f"{kind} {name} {version}".rstrip()
            for kind, name, version in reader.execute(
                "SELECT DISTINCT kind, name, version FROM contribution_blobs WHERE digest = ?", (raw,)
            )
        }
        names |= {
            f"the pushed {row[0]}"
            for row in reader.execute("SELECT repository FROM repository_blobs WHERE digest = ?", (raw,))
        }
        names |= {
            f"the pushed {row[0]}"
            for row in reader.execute(
                "SELECT repository FROM manifests WHERE digest = ? OR digest IN"
                " (SELECT alias FROM damaged_aliases WHERE digest = ?)",
                (f"sha256:{raw.hex()}", raw),
            )
        }
    for signed in _packs_of(reader, wanted):
        for name, raw in _items(blobs, signed, wanted):
            needed[raw].add(name)
    return needed


def _packs_of(reader: sqlite3.Connection, wanted: set[bytes]) -> list[bytes]:
    """crate.json of the packs that bring any of them, the latest of each name first."""
    found: dict[int, bytes] = {}
    for raw in wanted:
        found |= dict(
            reader.execute(
                "SELECT packs.id, signed FROM pack_blobs JOIN packs ON packs.id = pack WHERE pack_blobs.digest = ?",
                (raw,),
            )
        )
    return list(found.values())


def _items(blobs: Blobs, signed: bytes, wanted: set[bytes]) -> list[tuple[str, bytes]]:
    """Nothing when the catalogue itself is damaged: then nobody knows."""
    found = []
    try:
        with blobs.open(Digest.sha256(Release.parse(signed).catalogue.sha256)) as extent:
            for item in catalogue.read(extent.reader()):
                name = f"{item.kind} {item.name}{':' if item.kind == 'image' else ' '}{item.version}".rstrip(": ")
                found += [(name, raw) for file in item.files if (raw := bytes.fromhex(file.sha256)) in wanted]
    except (Problem, OSError, ValueError):
        return []
    return found

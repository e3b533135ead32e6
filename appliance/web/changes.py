"""What differs between two generations: what came, what went, and what has other versions."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.access import Access, Caller
from appliance.database import Database
from appliance.errors import NoGeneration
from appliance.items import may_know

# Versions of each name in both generations, one of which may lack it.
_DIFFERING = (
    "SELECT kind, name, max(path), group_concat(DISTINCT CASE WHEN generation = :before THEN version END),"
    " group_concat(DISTINCT CASE WHEN generation = :after THEN version END)"
    " FROM items WHERE generation IN (:before, :after) AND path <> '' GROUP BY kind, name"
)


@dataclass(frozen=True, slots=True)
class Change:
    """A name whose versions are not the same; without `before` it came, without `after` it went."""

    kind: str
    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """From one generation to another, by kind and name; `total` counts those that are not in `changes`, too."""

    generation: int
    since: int
    total: int
    changes: tuple[Change, ...]


def changes(database: Database, access: Access, caller: Caller, since: int, generation: int, *, limit: int) -> Changes:
    """What `caller` may know of. Raises `NoGeneration`. Not for the event loop's thread."""
    with database.snapshot() as connection:
        known = {row[0] for row in connection.execute("SELECT id FROM generations")}
        for asked in (since, generation):
            if asked not in known:
                raise NoGeneration(f"there is no generation {asked}", hint="those that are here are listed")
        rows = connection.execute(_DIFFERING, {"before": since, "after": generation}).fetchall()
    found = []
    for kind, name, path, before, after in rows:
        change = Change(kind, name, _versions(before), _versions(after))
        if change.before != change.after and may_know(access, caller, kind, name, path):
            found.append(change)
    return Changes(generation, since, len(found), tuple(found[:limit]))


def _versions(joined: str | None) -> tuple[str, ...]:
    return tuple(sorted((joined or "").split(","))) if joined else ()

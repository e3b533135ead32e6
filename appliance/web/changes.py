"""What differs between two generations: what came, what went, and what has other versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.access import Access, Caller
from appliance.database import Database
from appliance.errors import NoGeneration
from appliance.items import may_know

_OF = "SELECT kind, name, version FROM items WHERE generation = {} AND path <> ''"
_BEFORE, _AFTER = _OF.format(":before"), _OF.format(":after")
_DIFFERING = (
    f"SELECT kind, name FROM (SELECT * FROM ({_BEFORE} EXCEPT {_AFTER}) UNION ALL SELECT * FROM ({_AFTER} EXCEPT"  # noqa: S608 - fixed queries
    f" {_BEFORE})) GROUP BY kind, name"
)
_VERSIONS = (
    "SELECT generation, version, path FROM items WHERE generation IN (?, ?) AND kind = ? AND name = ? AND path <> ''"
    " ORDER BY version"
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
        found, total = list[Change](), 0
        for kind, name in connection.execute(_DIFFERING, {"before": since, "after": generation}):
            if len(found) == limit and not access.private:
                total += 1
                continue
            rows = connection.execute(_VERSIONS, (since, generation, kind, name)).fetchall()
            if may_know(access, caller, kind, name, rows[0][2]):
                total += 1
                if len(found) < limit:
                    found.append(Change(kind, name, _versions(rows, since), _versions(rows, generation)))
    return Changes(generation, since, total, tuple(found))


def _versions(rows: Sequence[tuple[int, str, str]], generation: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys(version for of, version, _ in rows if of == generation))

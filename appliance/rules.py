"""The access rules of a store as `crate.db` has them: which names are private, and who has which rights."""

from __future__ import annotations

from collections.abc import Iterable
from sqlite3 import Connection

from appliance.access import Access, Rights, check_patterns
from appliance.database import Database
from appliance.errors import BadPattern


class Rules:
    """Answers from memory for as long as nobody commits. To be used from one thread."""

    def __init__(self, database: Database, *, open_pulls: bool = True) -> None:
        self._database = database
        self._open_pulls = open_pulls
        self._current = Access(open_pulls)
        self._read_at = -1

    def access(self) -> Access:
        """What holds now; a change by another process counts from the next request on."""
        version = self._database.data_version()
        if version != self._read_at:
            self._current = Access(self._open_pulls, private_names(self._database))
            self._read_at = version
        return self._current


def private_names(database: Database) -> tuple[str, ...]:
    """The patterns of what only some may read."""
    return tuple(row[0] for row in database.reader.execute("SELECT pattern FROM private_names ORDER BY pattern"))


def close_name(database: Database, pattern: str) -> None:
    """From now on only those with rights read what `pattern` covers. Raises `BadPattern`."""
    check_patterns([pattern])
    with database.write() as connection:
        connection.execute("INSERT OR IGNORE INTO private_names VALUES (?)", (pattern,))


def open_name(database: Database, pattern: str) -> None:
    """Takes a pattern back. Raises `BadPattern` when it is not there."""
    with database.write() as connection:
        if not connection.execute("DELETE FROM private_names WHERE pattern = ?", (pattern,)).rowcount:
            raise BadPattern(f"{pattern[:80]!r} is not private", hint="crate-appliance access list shows what is")


def rights_of(connection: Connection, holder: str) -> Rights:
    """`holder` is `user:<name>` or `token:<id>`."""
    found: dict[str, list[str]] = {"publish": [], "read": []}
    rows = connection.execute("SELECT action, pattern FROM rights WHERE holder = ? ORDER BY pattern", (holder,))
    for action, pattern in rows:
        found[action].append(pattern)
    return Rights(tuple(found["publish"]), tuple(found["read"]))


def set_rights(connection: Connection, holder: str, rights: Rights) -> None:
    """In the caller's transaction. Raises `BadPattern`."""
    drop_rights(connection, holder)
    patterns: Iterable[tuple[str, tuple[str, ...]]] = (("publish", rights.publish), ("read", rights.read))
    connection.executemany(
        "INSERT INTO rights (holder, action, pattern) VALUES (?, ?, ?)",
        [(holder, action, pattern) for action, named in patterns for pattern in check_patterns(named)],
    )


def drop_rights(connection: Connection, holder: str) -> None:
    connection.execute("DELETE FROM rights WHERE holder = ?", (holder,))

"""Requests that were not met: counted in memory, written down in batches, kept within a bound.

A client that asks for a million names costs neither the disk nor anybody else's requests: what one address may bring
between two writes is limited, and when the table is full, whoever brought most gives up the least of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from appliance.database import Database
from appliance.misses import Miss
from archive.errors import Problem
from archive.requests import MOST, Unmet

FLUSH = 2.0
"""Seconds between two writes: what a crash may lose."""
_PENDING = 4_000  # names in memory between two writes
_PENDING_EACH = 500  # of them one address may bring; an `npm ci` asks for that many at once
_ASKERS = 8  # addresses kept of those who asked for one thing
_ADDRESS = 64  # characters of one

_missing = logging.getLogger("crate.missing")

# Each address's own requests in order of worth; those far down in anybody's list go first.
_EVICT = (
    "DELETE FROM requests WHERE (kind, name) IN (SELECT kind, name FROM (SELECT kind, name, row_number()"
    " OVER (PARTITION BY brought_by ORDER BY count DESC, last DESC, name) AS place FROM requests)"
    " ORDER BY place DESC LIMIT ?)"
)
_UPSERT = (
    "INSERT INTO requests VALUES (:kind, :name, :count, :now, :now, :asker, :asked_by) ON CONFLICT (kind, name)"
    " DO UPDATE SET count = count + excluded.count, first = min(first, excluded.first), last = excluded.last,"
    " asked_by = excluded.asked_by"
)


@dataclass(slots=True)
class _Seen:
    """Since the last write: how often, and by whom, the latest last."""

    count: int
    askers: dict[str, None]


class Requests:
    """The requests of one store. Recording and asking may happen in any thread and any process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._pending: dict[Miss, _Seen] = {}
        self._brought: Counter[str] = Counter()
        self._dropped = 0

    def note(self, miss: Miss | None, client: str | None) -> None:
        """Remembers a miss until the next write; noise (None) and what is beyond the limits is forgotten."""
        if miss is None:
            return
        address = (client or "unknown").partition("%")[0][:_ADDRESS]
        with self._lock:
            seen = self._pending.get(miss)
            if seen is None:
                if len(self._pending) >= _PENDING or self._brought[address] >= _PENDING_EACH:
                    self._dropped += 1
                    return
                self._brought[address] += 1
                seen = self._pending[miss] = _Seen(0, {})
            seen.count += 1
            if len(seen.askers) < _ASKERS or address in seen.askers:
                seen.askers.pop(address, None)
                seen.askers[address] = None

    def record(self, kind: str, name: str, client: str | None) -> None:
        """As `note`, for a kind and name in the spelling of `archive.requests`."""
        self.note(Miss(kind, name), client)

    def flush(self) -> None:
        """Writes down what was noted, in one transaction; while the database is busy or full it waits in memory."""
        with self._lock:
            pending, self._pending = self._pending, {}
            dropped, self._dropped = self._dropped, 0
            self._brought.clear()
        if dropped:
            _missing.warning("%d requests for other names were not written down: too many at once", dropped)
        if not pending:
            return
        try:
            fresh = self._write(pending)
        except (sqlite3.Error, Problem) as error:
            _missing.warning("requests wait to be written down: %s", error)
            self._take_back(pending)
            return
        for miss in fresh:
            asker = next(reversed(pending[miss].askers))
            _missing.info("%s %r (asked by %s)", miss.kind, miss.name, asker)

    def _take_back(self, pending: Mapping[Miss, _Seen]) -> None:
        with self._lock:
            for miss, seen in pending.items():
                if miss in self._pending:
                    self._pending[miss].count += seen.count
                elif len(self._pending) < _PENDING:
                    self._pending[miss] = seen

    def _write(self, pending: Mapping[Miss, _Seen]) -> list[Miss]:
        """Returns those that were not known before."""
        fresh = []
        with self._database.write() as connection:
            now = _now(connection)
            for miss, seen in pending.items():
                row = connection.execute(
                    "SELECT asked_by FROM requests WHERE kind = ? AND name = ?", (miss.kind, miss.name)
                ).fetchone()
                if row is None:
                    fresh.append(miss)
                latest = dict.fromkeys([*reversed(seen.askers), *(row[0].split() if row else ())])
                values = {
                    "kind": miss.kind,
                    "name": miss.name,
                    "count": seen.count,
                    "now": now,
                    "asker": next(iter(seen.askers)),
                    "asked_by": " ".join([*latest][:_ASKERS]),
                }
                connection.execute(_UPSERT, values)
            (held,) = connection.execute("SELECT count(*) FROM requests").fetchone()
            if held > MOST:
                connection.execute(_EVICT, (held - MOST,))
        return fresh

    def all(self) -> list[Unmet]:
        """What is written down, the latest first."""
        rows = self._database.reader.execute(
            "SELECT kind, name, count, first, last, asked_by FROM requests ORDER BY last DESC, count DESC, kind, name"
        )
        return [
            Unmet(kind, name, count, first, last, tuple(askers.split()))
            for kind, name, count, first, last, askers in rows
        ]

    def snapshot(self) -> Mapping[tuple[str, str], int]:
        """How often each has been asked for until now; for `since`."""
        return {request.key: request.count for request in self.all()}

    def since(self, before: Mapping[tuple[str, str], int]) -> list[Unmet]:
        """What was asked for after a snapshot was taken, whatever the clock did meanwhile."""
        return [request for request in self.all() if request.count > before.get(request.key, 0)]

    def clear(self, only: Iterable[Unmet] | None = None) -> int:
        """Forgets all, or `only` these; returns how many there were."""
        with self._database.write() as connection:
            if only is None:
                return connection.execute("DELETE FROM requests").rowcount
            keys = [request.key for request in only]
            return connection.executemany("DELETE FROM requests WHERE kind = ? AND name = ?", keys).rowcount

    async def keep_writing(self, gather: Callable[[], None]) -> None:
        """For as long as the daemon serves; what is left is written when it is cancelled.

        `gather` notes what others wrote down, each time before.
        """
        try:
            while True:
                await asyncio.sleep(FLUSH)
                await asyncio.to_thread(gather)
                if self._pending or self._dropped:
                    await asyncio.to_thread(self.flush)
        finally:
            with contextlib.suppress(sqlite3.Error, Problem):
                self.flush()


def _now(connection: sqlite3.Connection) -> int:
    """The clock, or where a board has none the newest crate that it has seen."""
    newest = connection.execute("SELECT max(created) FROM packs").fetchone()[0] or 0
    return max(int(time.time()), newest)

"""`crate.db`: one SQLite file in WAL mode, written through one connection a process, read through one a thread.

Writers take `BEGIN IMMEDIATE` and every commit is on disk before it returns (`synchronous=FULL`). Readers never wait
for writers; their connections refuse to write.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import NoStore, StoreBusy, StoreFailed, StoreFull
from appliance.schema import MIGRATIONS

_BUSY = 30.0  # seconds that a writer waits for another process's transaction


class Database:
    """May be used from any thread. `close` ends every connection."""

    def __init__(self, path: Path) -> None:
        """Opens or makes the file and brings its schema up to date. Raises `NoStore` when a newer program made it."""
        self.path = path
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._opening = threading.Lock()
        self._writing = threading.Lock()
        self._writer = self._connect()
        try:
            self._use_wal()
            self._migrate()
        except BaseException:
            self.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        # Connections are closed from the thread that closes the database, so SQLite's own thread check is off;
        # readers are thread-local and the writer is behind a lock.
        connection = sqlite3.connect(self.path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        with self._opening:
            self._opened.append(connection)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _use_wal(self) -> None:
        # SQLite does not wait where two processes meet a new file at once, whatever its timeout
        deadline = time.monotonic() + _BUSY
        while self._writer.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            try:
                self._writer.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _migrate(self) -> None:
        if self._version() == len(MIGRATIONS):
            return
        with self.write() as connection:
            version = self._version()
            if version > len(MIGRATIONS):
                raise NoStore(
                    f"{self.path} was written by a newer crate-appliance (schema {version}, "
                    f"this one knows {len(MIGRATIONS)})",
                    hint="install that version again",
                )
            for script in MIGRATIONS[version:]:
                for statement in script.split(";\n"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _version(self) -> int:
        return int(self._writer.execute("PRAGMA user_version").fetchone()[0])

    @property
    def reader(self) -> sqlite3.Connection:
        """The calling thread's connection for reading; each statement sees what was committed when it began."""
        connection: sqlite3.Connection | None = getattr(self._local, "reader", None)
        if connection is None:
            connection = self._connect()
            connection.execute("PRAGMA query_only = ON")
            self._local.reader = connection
        return connection

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Several statements that see one state of the database. Not to be nested."""
        connection = self.reader
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.execute("COMMIT")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: committed and on disk on leaving, undone when an exception leaves. Not to be nested.

        Raises `StoreBusy`, `StoreFull`, `StoreFailed`.
        """
        with self._turn(), _told():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def _turn(self) -> Iterator[None]:
        # while another process has the database, those who wait here do not add up their waits
        if not self._writing.acquire(timeout=_BUSY):
            raise _busy()
        try:
            yield
        finally:
            self._writing.release()

    def data_version(self) -> int:
        """Changes whenever anybody commits; to be compared with values from the same thread only."""
        return int(self.reader.execute("PRAGMA data_version").fetchone()[0])

    def close(self) -> None:
        with self._opening:
            for connection in self._opened:
                connection.close()
            self._opened.clear()


def _busy() -> StoreBusy:
    return StoreBusy("another program writes to the store's database", hint="it is over in a moment: try again")


@contextmanager
def _told() -> Iterator[None]:
    """What SQLite says of the machine, not of a statement, in words for the user (sqlite.org/rescode.html)."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise _busy() from error
        if code == sqlite3.SQLITE_FULL:
            raise StoreFull(
                "the disk of the store is full (writing to its database)",
                hint="free space, for instance with crate-appliance gc, and run the same command again",
            ) from error
        if code in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise StoreFailed(
                f"the store's database cannot be written to ({error})", hint="crate-appliance doctor looks into it"
            ) from error
        raise

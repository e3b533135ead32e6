"""The store: one folder that holds everything the crate serves.

crate.db            what is where, and what is published (see `appliance.schema`)
packs/              <sha256 of crate.json>.crate: imported archives, sparse where blobs are held elsewhere
loose/sha256/ab/    blobs that people pushed, or that the crate made itself
uploads/            pushes under way
trust/              who may sign (see `appliance.keyring`)
lock                held by the one writer of packs and generations
daemon.lock         held by the daemon
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from appliance import locks
from appliance.blobs import Blobs
from appliance.database import Database
from appliance.errors import NoStore, StoreBusy

DEFAULT_ROOT = Path("/var/lib/crate")


class Store:
    """Open it once a process; closing ends the database connections."""

    def __init__(self, root: Path, database: Database) -> None:
        self.root = root
        self.database = database
        self.blobs = Blobs(root, database)

    @classmethod
    def open(cls, root: Path, *, create: bool = True) -> Self:
        """Opens the store at `root`, making it when asked to. Raises `NoStore`."""
        if not create and not (root / "crate.db").exists():
            raise NoStore(f"there is no store at {root}", hint="crate-appliance install CRATE makes one")
        try:
            for folder in ("packs", "loose/sha256", "uploads", "trust"):
                (root / folder).mkdir(parents=True, exist_ok=True)
        except PermissionError as error:
            raise NoStore(
                f"the store at {root} may not be written by this user", hint="use sudo, or --root DIR for another place"
            ) from error
        return cls(root, Database(root / "crate.db"))

    @property
    def packs(self) -> Path:
        return self.root / "packs"

    @property
    def uploads(self) -> Path:
        return self.root / "uploads"

    def pack_path(self, digest: str) -> Path:
        """Where the pack lies whose crate.json has this sha256."""
        return self.packs / f"{digest}.crate"

    def journal_path(self, digest: str) -> Path:
        """What is known of an import of that pack that has not come to its end (see `appliance.journal`)."""
        return self.packs / f"{digest}.crate.journal"

    def generation(self) -> int | None:
        """The active generation's id; None before the first activation."""
        row = self.database.reader.execute("SELECT id FROM generations WHERE active = 1").fetchone()
        return None if row is None else int(row[0])

    @contextmanager
    def lock(self, doing: str) -> Iterator[None]:
        """One writer of packs and generations at a time, among all processes. Raises `StoreBusy` saying who."""

        def busy(holder: str) -> StoreBusy:
            return StoreBusy(
                f"the store at {self.root} is in use: {holder}", hint="wait until it is done, then try again"
            )

        with locks.hold(self.root / "lock", doing, busy):
            yield

    @property
    def daemon_lock(self) -> Path:
        """Held by the daemon that serves this store, for as long as it does."""
        return self.root / "daemon.lock"

    def served(self) -> bool:
        """Whether a daemon serves this store now."""
        return locks.held(self.daemon_lock)

    def close(self) -> None:
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

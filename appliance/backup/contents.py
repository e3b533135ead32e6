"""What belongs into a backup: of the database what no stick brings back, of the files those that are this crate's own.

Every table and every file of a store is either named here or taken; a test holds that none is forgotten.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from appliance.database import Database

KEPT = (
    "floors",
    "users",
    "tokens",
    "rights",
    "private_names",
    "requests",
    "shipped",
    "manifests",
    "tags",
    "repository_blobs",
    "contributions",
    "contribution_blobs",
)
"""Tables that are taken whole."""
PARTLY = ("blobs", "aliases", "generations")
"""Of these what the kept ones need."""
DERIVED = (
    "packs",
    "pack_blobs",
    "generation_packs",
    "published_tags",
    "published_manifests",
    "published_blobs",
    "published_files",
    "published_items",
    "documents",
    "items",
    "damaged",
    "damaged_aliases",
)
"""What installing the same sticks makes again."""

NOT_TAKEN = ("packs", "loose", "uploads", "logs")
"""Folders of blobs, of which those that are needed are taken one by one, and of logs."""
PASSING = (
    "crate.db",
    "crate.db-wal",
    "crate.db-shm",
    "lock",
    "daemon.lock",
    "listening.json",
    "scrub.json",
    "site/lock",
    "site/log",
    "site/names.log",
)
"""Files that mean nothing on another board, and the database, which is taken in a copy."""

_NEEDED = (
    "SELECT digest FROM repository_blobs UNION SELECT digest FROM contribution_blobs"
    " UNION SELECT unhex_sha256(digest) FROM manifests"
)


@dataclass(frozen=True, slots=True)
class Selected:
    """The blobs that people brought: sha256 in hex and size of those to be taken, and how many the store has lost."""

    blobs: tuple[tuple[str, int], ...]
    lost: int


def copy_database(database: Database, target: Path) -> Selected:
    """Writes what is kept into a new database, as of one moment; blobs lie loose there. Raises `sqlite3.Error`."""
    Database(target).close()
    with closing(sqlite3.connect(target, isolation_level=None)) as connection:
        connection.create_function("unhex_sha256", 1, _raw, deterministic=True)
        connection.execute("ATTACH ? AS old", (str(database.path),))
        connection.execute("BEGIN")
        for table in KEPT:
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM old.{table}")  # noqa: S608 - our own tables
        connection.execute(
            f"INSERT INTO main.blobs SELECT digest, size, NULL, 0, ? FROM old.blobs WHERE digest IN ({_NEEDED})",  # noqa: S608 - fixed
            (int(time.time()),),
        )
        connection.execute(
            "INSERT INTO main.aliases SELECT * FROM old.aliases WHERE digest IN (SELECT digest FROM main.blobs)"
        )
        # what is published next must be dated later than all that clients have
        connection.execute(
            "INSERT INTO main.generations SELECT id, (SELECT max(activated_at) FROM old.generations),"
            " (SELECT max(dated) FROM old.generations), 1 FROM old.generations WHERE active = 1"
        )
        connection.execute("COMMIT")
        blobs = connection.execute("SELECT lower(hex(digest)), size FROM main.blobs ORDER BY digest").fetchall()
        (lost,) = connection.execute(
            f"SELECT count(*) FROM (SELECT digest FROM ({_NEEDED}) EXCEPT SELECT digest FROM main.blobs)"  # noqa: S608 - fixed
        ).fetchone()
        connection.execute("DETACH old")
    return Selected(tuple(blobs), lost)


def own_files(root: Path) -> Iterator[str]:
    """The paths, below `root`, of the files that are taken as they are."""
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        skipped = name.partition("/")[0] in NOT_TAKEN or name in PASSING or path.name.endswith(".part")
        if not skipped and not name.startswith(".") and path.is_file() and not path.is_symlink():
            yield name


def _raw(digest: str) -> bytes:
    return bytes.fromhex(digest.removeprefix("sha256:"))

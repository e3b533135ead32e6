"""What people push, in the tables outside of generations: every change is one transaction, on disk when it returns."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from sqlite3 import Connection

from appliance.database import Database
from appliance.manifest import Manifest
from archive.digests import Digest


class Pushed:
    """May be used from any thread; every method blocks on the disk."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put_manifest(
        self, repository: str, digest: Digest, size: int, manifest: Manifest, tags: Sequence[str]
    ) -> list[Digest]:
        """Records a manifest whose bytes the store holds under `digest` (sha256), and points `tags` at it.

        When the repository lacks a blob that the manifest needs nothing is recorded; the return value names those.
        Checked in the same transaction, so that no collection comes in between. Children of an index may be missing.
        """
        with self._database.write() as connection:
            needed = set(manifest.blobs) - set(manifest.foreign)
            missing = sorted(blob for blob in needed if not _holds(connection, repository, blob))
            if missing:
                return missing
            connection.execute(
                "INSERT OR REPLACE INTO manifests"
                " (repository, digest, media_type, size, subject, artifact_type, annotations)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    repository,
                    str(digest),
                    manifest.media_type,
                    size,
                    str(manifest.subject or ""),
                    manifest.artifact_type,
                    json.dumps(dict(manifest.annotations)),
                ),
            )
            connection.executemany(
                "INSERT OR REPLACE INTO tags (repository, tag, digest, updated) VALUES (?, ?, ?, ?)",
                [(repository, tag, str(digest), int(time.time())) for tag in tags],
            )
            return []

    def link_blob(self, repository: str, digest: Digest) -> bool:
        """Makes a blob of the store visible in the repository; False when the store does not hold it (any more)."""
        with self._database.write() as connection:
            raw = _raw(connection, digest)
            if raw is None:
                return False
            connection.execute("UPDATE blobs SET touched = ? WHERE digest = ?", (int(time.time()), raw))
            connection.execute(
                "INSERT OR IGNORE INTO repository_blobs (repository, digest) VALUES (?, ?)", (repository, raw)
            )
            return True

    def delete_tag(self, repository: str, tag: str) -> bool:
        """Whether there was one."""
        with self._database.write() as connection:
            found = connection.execute("DELETE FROM tags WHERE repository = ? AND tag = ?", (repository, tag))
            return found.rowcount > 0

    def delete_manifest(self, repository: str, digest: Digest) -> bool:
        """Takes the tags that point at it along. Whether there was one."""
        with self._database.write() as connection:
            raw = _raw(connection, digest)
            name = f"sha256:{raw.hex()}" if raw else str(digest)
            found = connection.execute("DELETE FROM manifests WHERE repository = ? AND digest = ?", (repository, name))
            connection.execute("DELETE FROM tags WHERE repository = ? AND digest = ?", (repository, name))
            return found.rowcount > 0

    def delete_blob(self, repository: str, digest: Digest) -> bool:
        """Whether there was one."""
        with self._database.write() as connection:
            found = connection.execute(
                "DELETE FROM repository_blobs WHERE repository = ? AND digest = ?",
                (repository, _raw(connection, digest)),
            )
            return found.rowcount > 0


def _raw(connection: Connection, digest: Digest) -> bytes | None:
    """The key of a blob that the store holds; None when it does not."""
    statement, key = (
        ("SELECT digest FROM blobs WHERE digest = ?", bytes.fromhex(digest.hex))
        if digest.algorithm == "sha256"
        else ("SELECT digest FROM aliases WHERE alias = ?", str(digest))
    )
    row = connection.execute(statement, (key,)).fetchone()
    return None if row is None else bytes(row[0])


def _holds(connection: Connection, repository: str, digest: Digest) -> bool:
    raw = _raw(connection, digest)
    statement = "SELECT 1 FROM held_blobs WHERE repository = ? AND digest = ? LIMIT 1"
    return raw is not None and connection.execute(statement, (repository, raw)).fetchone() is not None

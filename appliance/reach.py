"""What a collection must keep: all that can be asked for, however far down an index or up a chain of referrers."""

from __future__ import annotations

import sqlite3
from collections import defaultdict

from appliance.blobs import Blobs
from appliance.errors import UnknownBlob
from appliance.manifest import LIMIT, Manifest
from archive.digests import Digest
from archive.errors import InvalidValue

_TABLES = (
    "CREATE TEMP TABLE IF NOT EXISTS reached (digest BLOB PRIMARY KEY) WITHOUT ROWID",
    "CREATE TEMP TABLE IF NOT EXISTS reached_manifests (name TEXT PRIMARY KEY) WITHOUT ROWID",
    "DELETE FROM reached",
    "DELETE FROM reached_manifests",
)
# What the kept generations need: every blob of their active packs, and what the crate made itself and publishes.
_PUBLISHED = (
    "INSERT OR IGNORE INTO reached"
    " SELECT digest FROM generation_packs JOIN pack_blobs USING (pack) WHERE active = 1"
    " UNION SELECT digest FROM published_blobs"
    " UNION SELECT digest FROM published_files"
)
_RECENT = "INSERT OR IGNORE INTO reached SELECT digest FROM blobs WHERE touched >= ?"
_ATTACHED = (
    "SELECT manifests.repository, manifests.digest FROM manifests JOIN published_manifests AS held"
    " ON held.repository = manifests.repository AND held.digest = manifests.subject WHERE manifests.subject <> ''"
)


def mark(connection: sqlite3.Connection, blobs: Blobs, since: int) -> None:
    """Fills the temporary tables `reached` (digests of blobs) and `reached_manifests` (repository@digest).

    To be called inside the writing transaction, after the generations that go are gone. Blobs touched at or after
    `since` (seconds since 1970) are reached whether or not anything refers to them yet: a push may be under way.
    """
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute(_PUBLISHED)
    connection.execute(_RECENT, (since,))
    _Walk(connection, blobs).run(since)


class _Walk:
    """Follows pushed manifests: down to children and blobs, up to referrers."""

    def __init__(self, connection: sqlite3.Connection, blobs: Blobs) -> None:
        self._connection = connection
        self._blobs = blobs
        self._referrers: dict[tuple[str, str], list[str]] = defaultdict(list)
        for repository, subject, digest in connection.execute(
            "SELECT repository, subject, digest FROM manifests WHERE subject <> ''"
        ):
            self._referrers[repository, subject].append(digest)

    def run(self, since: int) -> None:
        waiting: list[tuple[str, str]] = self._connection.execute("SELECT repository, digest FROM tags").fetchall()
        waiting += self._connection.execute(_ATTACHED).fetchall()
        pushed = self._connection.execute("SELECT repository, digest FROM manifests").fetchall()
        waiting += [name for name in pushed if self._touched(name[1]) >= since]
        while waiting:
            repository, digest = waiting.pop()
            added = self._connection.execute(
                "INSERT OR IGNORE INTO reached_manifests VALUES (?)", (f"{repository}@{digest}",)
            )
            if added.rowcount:
                self._reach(digest)
                waiting += [(repository, referrer) for referrer in self._referrers[repository, digest]]
                waiting += [(repository, str(child)) for child in self._descend(digest)]

    def _descend(self, digest: str) -> tuple[Digest, ...]:
        """Reaches a manifest's blobs; returns its children."""
        try:
            manifest = Manifest.parse(self._blobs.read(Digest.parse(digest), LIMIT))
        except (UnknownBlob, InvalidValue):
            return ()  # a child that nobody pushed, or something that is no manifest: nothing to follow
        for blob in manifest.blobs:
            self._reach(str(blob))
        return manifest.children

    def _reach(self, digest: str) -> None:
        raw = self._raw(digest)
        if raw is not None:
            self._connection.execute("INSERT OR IGNORE INTO reached VALUES (?)", (raw,))

    def _raw(self, digest: str) -> bytes | None:
        """The sha256 that a digest of either algorithm stands for."""
        parsed = Digest.parse(digest)
        if parsed.algorithm == "sha256":
            return bytes.fromhex(parsed.hex)
        row = self._connection.execute("SELECT digest FROM aliases WHERE alias = ?", (digest,)).fetchone()
        return None if row is None else row[0]

    def _touched(self, digest: str) -> int:
        row = self._connection.execute("SELECT touched FROM blobs WHERE digest = ?", (self._raw(digest),)).fetchone()
        return 0 if row is None else int(row[0])

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
    "DELETE FROM reached",
)
Name = tuple[str, str]
"""Repository and digest of a manifest."""

# What the kept generations need: every blob of their active packs, what the crate made itself and publishes,
# and what people contributed.
_PUBLISHED = (
    "INSERT OR IGNORE INTO reached"
    " SELECT digest FROM generation_packs JOIN pack_blobs USING (pack) WHERE active = 1"
    " UNION SELECT digest FROM published_blobs"
    " UNION SELECT digest FROM published_files"
    " UNION SELECT digest FROM contribution_blobs"
)
# Nobody can tell what a damaged manifest needs, so until it is mended all of its repository stays.
_UNREADABLE = (
    "SELECT repository FROM manifests JOIN damaged ON manifests.digest = 'sha256:' || lower(hex(damaged.digest))"
    " UNION SELECT repository FROM manifests JOIN damaged_aliases ON alias = manifests.digest"
)
_BESIDE_UNREADABLE = (
    f"INSERT OR IGNORE INTO reached SELECT digest FROM repository_blobs WHERE repository IN ({_UNREADABLE})"  # noqa: S608 - fixed
)
_RECENT = "INSERT OR IGNORE INTO reached SELECT digest FROM blobs WHERE touched > ?"
_ATTACHED = (
    "SELECT manifests.repository, manifests.digest FROM manifests JOIN published_manifests AS held"
    " ON held.repository = manifests.repository AND held.digest = manifests.subject WHERE manifests.subject <> ''"
)


def mark(connection: sqlite3.Connection, blobs: Blobs, since: float) -> list[Name]:
    """Fills the temporary table `reached` with the blobs that stay; returns the pushed manifests that do not.

    To be called inside the writing transaction, after the generations that go are gone. Blobs touched after `since`
    (seconds since 1970) stay whether or not anything refers to them yet: a push may be under way.
    """
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute(_PUBLISHED)
    connection.execute(_RECENT, (since,))
    connection.execute(_BESIDE_UNREADABLE)
    return _Walk(connection, blobs).run(since)


class _Walk:
    """Follows pushed manifests: down to children and blobs, up to referrers.

    A manifest may be referred to by its sha512, too; here each goes by its sha256.
    """

    def __init__(self, connection: sqlite3.Connection, blobs: Blobs) -> None:
        self._connection = connection
        self._blobs = blobs
        self._seen: set[Name] = set()
        self._referrers: dict[Name, list[Name]] = defaultdict(list)

    def run(self, since: float) -> list[Name]:
        pushed: list[Name] = []
        waiting: list[Name] = [*self._names("SELECT repository, digest FROM tags"), *self._names(_ATTACHED)]
        waiting += self._names(
            f"SELECT repository, digest FROM manifests WHERE repository IN ({_UNREADABLE})"  # noqa: S608 - fixed
        )
        for repository, digest, subject in self._connection.execute(
            "SELECT repository, digest, subject FROM manifests"
        ):
            name = (repository, self._sha256(digest))
            pushed.append((repository, digest))
            if subject:
                self._referrers[repository, self._sha256(subject)].append(name)
            if self._touched(name[1]) > since:
                waiting.append(name)
        while waiting:
            name = waiting.pop()
            if name not in self._seen:
                self._seen.add(name)
                waiting += self._referrers[name]
                waiting += [(name[0], child) for child in self._descend(name[1])]
        return [name for name in pushed if (name[0], self._sha256(name[1])) not in self._seen]

    def _names(self, query: str) -> list[Name]:
        return [(repository, self._sha256(digest)) for repository, digest in self._connection.execute(query)]

    def _descend(self, digest: str) -> list[str]:
        """Reaches a manifest and its blobs; returns its children."""
        self._reach(digest)
        try:
            manifest = Manifest.parse(self._blobs.read(Digest.parse(digest), LIMIT))
        except (UnknownBlob, InvalidValue):
            return []  # a child that nobody pushed, or something that is no manifest: nothing to follow
        for blob in manifest.blobs:
            self._reach(self._sha256(str(blob)))
        return [self._sha256(str(child)) for child in manifest.children]

    def _reach(self, digest: str) -> None:
        raw = _raw(digest)
        if raw is not None:
            self._connection.execute("INSERT OR IGNORE INTO reached VALUES (?)", (raw,))

    def _sha256(self, digest: str) -> str:
        """The name by sha256, when the store knows it."""
        row = self._connection.execute("SELECT digest FROM aliases WHERE alias = ?", (digest,)).fetchone()
        return digest if row is None else str(Digest.sha256(row[0].hex()))

    def _touched(self, digest: str) -> int:
        row = self._connection.execute("SELECT touched FROM blobs WHERE digest = ?", (_raw(digest),)).fetchone()
        return 0 if row is None else int(row[0])


def _raw(digest: str) -> bytes | None:
    parsed = Digest.parse(digest)
    return bytes.fromhex(parsed.hex) if parsed.algorithm == "sha256" else None

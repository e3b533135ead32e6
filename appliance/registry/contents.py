"""What the registry holds: the active generation's repositories and the pushed ones, read as one.

Every question is one statement on the views of `appliance.schema`, so an activation by another process is seen by the
next request and nothing is ever stale.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from appliance.database import Database
from archive.digests import Digest
from archive.references import is_host


@dataclass(frozen=True, slots=True)
class HeldManifest:
    """A manifest that a repository holds, by the digest it is known under."""

    digest: Digest
    media_type: str
    size: int


class Contents:
    """May be used from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _first(self, statement: str, *values: object) -> Any:
        return self._database.reader.execute(statement, values).fetchone()

    def tagged(self, repository: str, tag: str) -> Digest | None:
        """What the tag names; a crate's word goes before a pushed one."""
        row = self._first(
            "SELECT digest FROM held_tags WHERE repository = ? AND tag = ? ORDER BY pushed LIMIT 1", repository, tag
        )
        return row and Digest.parse(row[0])

    def manifest(self, repository: str, digest: Digest) -> HeldManifest | None:
        row = self._first(
            "SELECT media_type, size FROM held_manifests WHERE repository = ? AND digest = ? LIMIT 1",
            repository,
            str(digest),
        )
        if row:
            return HeldManifest(digest, *row)
        other = self.sha256_of(digest) if digest.algorithm != "sha256" else None
        found = self.manifest(repository, other) if other else None
        return found and HeldManifest(digest, found.media_type, found.size)

    def sha256_of(self, digest: Digest) -> Digest | None:
        """The store's own name for a blob: itself, or what an alias of it refers to."""
        if digest.algorithm == "sha256":
            return digest
        row = self._first("SELECT digest FROM aliases WHERE alias = ?", str(digest))
        return row and Digest.sha256(row[0].hex())

    def holds_blob(self, repository: str, digest: Digest) -> bool:
        sha256 = self.sha256_of(digest)
        return sha256 is not None and self._holds_raw(repository, bytes.fromhex(sha256.hex))

    def _holds_raw(self, repository: str, raw: bytes) -> bool:
        row = self._first("SELECT 1 FROM held_blobs WHERE repository = ? AND digest = ? LIMIT 1", repository, raw)
        return row is not None

    def holders_of(self, digest: Digest) -> list[str]:
        """The repositories that hold a blob."""
        sha256 = self.sha256_of(digest)
        if sha256 is None:
            return []
        rows = self._database.reader.execute(
            "SELECT DISTINCT repository FROM held_blobs WHERE digest = ?", (bytes.fromhex(sha256.hex),)
        )
        return [row[0] for row in rows]

    def holds(self, repository: str) -> bool:
        """Whether a manifest lies in the repository."""
        return self._first("SELECT 1 FROM held_manifests WHERE repository = ? LIMIT 1", repository) is not None

    def from_crate(self, repository: str) -> bool:
        """Whether the active generation publishes the repository; then nobody may push there."""
        statement = "SELECT 1 FROM held_manifests WHERE repository = ? AND pushed = 0 LIMIT 1"
        return self._first(statement, repository) is not None

    def tags(self, repository: str, after: str, limit: int) -> list[str]:
        """In ASCII order; `limit` -1 for all."""
        rows = self._database.reader.execute(
            "SELECT DISTINCT tag FROM held_tags WHERE repository = ? AND tag > ? ORDER BY tag LIMIT ?",
            (repository, after, limit),
        )
        return [row[0] for row in rows]

    def repositories(self, after: str) -> list[str]:
        """All that hold a manifest, in ASCII order."""
        rows = self._database.reader.execute(
            "SELECT DISTINCT repository FROM held_manifests WHERE repository > ? ORDER BY repository", (after,)
        )
        return [row[0] for row in rows]

    def hosts(self) -> list[str]:
        """The upstream hosts that the active generation stands in for, as clients write them."""
        rows = self._database.reader.execute("SELECT DISTINCT repository FROM held_manifests WHERE pushed = 0")
        first = {row[0].partition("/")[0].replace("_", ":") for row in rows}
        return sorted(filter(is_host, first))  # what else there is (charts/…) is the crate's own

    def referrers(self, repository: str, subject: Digest) -> list[dict[str, Any]]:
        """Descriptors of the manifests that name `subject` (distribution-spec, "Listing Referrers")."""
        rows = self._database.reader.execute(
            "SELECT DISTINCT digest, media_type, size, artifact_type, annotations FROM held_manifests"
            " WHERE repository = ? AND subject = ? AND subject <> '' ORDER BY digest",
            (repository, str(subject)),
        )
        return [
            {
                "mediaType": media_type,
                "digest": digest,
                "size": size,
                **({"artifactType": artifact_type} if artifact_type else {}),
                **({"annotations": json.loads(annotations)} if annotations != "{}" else {}),
            }
            for digest, media_type, size, artifact_type, annotations in rows
        ]

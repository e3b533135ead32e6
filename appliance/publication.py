"""What a generation publishes, and how it gets there: each ecosystem's publisher writes into one `Publication`.

All of it happens inside the transaction that activates the generation, so that clients see the old crate or the new
one, and nothing between.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Protocol

from appliance import images
from appliance.blobs import Blobs, OpenExtent
from appliance.errors import BadPublication, CrateConflict
from appliance.manifest import Manifest
from archive import catalogue
from archive.catalogue import Item
from archive.digests import Digest
from archive.names import check_file_name
from archive.references import is_repository, is_tag
from archive.release import Release
from mirror.files import publish as files


class Publisher(Protocol):
    """An ecosystem's way onto the crate, for the items of one `kind`."""

    kind: str

    def publish(self, items: Iterable[Item], into: Publication) -> None:
        """Writes what the items publish. Raises `Problem`."""
        ...


PUBLISHERS: tuple[Publisher, ...] = (images, files)


class Publication:
    """Tags, manifests, blobs and files of one generation, from one crate after another.

    Everything that is published must be held by the store. Raises `BadPublication` where it is not, and
    `CrateConflict` where two crates disagree.
    """

    def __init__(self, connection: sqlite3.Connection, generation: int, blobs: Blobs) -> None:
        self._connection = connection
        self._generation = generation
        self._blobs = blobs
        self._crate = ""
        self._owners: dict[tuple[str, str], tuple[str, str]] = {}

    def publish(self, release: Release, publishers: Iterable[Publisher] = PUBLISHERS) -> None:
        """Everything in the catalogue of an imported crate."""
        by_kind = {publisher.kind: publisher for publisher in publishers}
        self._crate = f"{release.name} {release.serial}"
        with self._blobs.open(Digest.sha256(release.catalogue.sha256)) as extent:
            for kind, items in groupby(catalogue.read(_lines(extent)), key=lambda item: item.kind):
                if kind not in by_kind:
                    raise BadPublication(
                        f"{self._crate} carries items of the kind {kind!r}, which this crate-appliance cannot serve",
                        hint="update BuzzCrate on the crate first",
                    )
                by_kind[kind].publish(items, self)

    def read(self, sha256: str, limit: int) -> bytes:
        """A small blob of the store. Raises `UnknownBlob`, `BadPublication`."""
        try:
            return self._blobs.read(Digest.sha256(sha256), limit)
        except ValueError as error:
            raise BadPublication(f"{self._crate}: {error}") from error

    def add_file(self, path: str, sha256: str, size: int, media_type: str) -> None:
        check_file_name(path)
        self._claim("the path", f"/{path}", sha256)
        self._insert(
            "INSERT OR IGNORE INTO published_files VALUES (?, ?, ?, ?, ?)",
            (path, self._held(sha256, size), size, media_type),
        )

    def add_tag(self, repository: str, tag: str, digest: Digest) -> None:
        """Lets `repository:tag` name a manifest that `add_manifest` has published."""
        if not is_repository(repository) or not is_tag(tag):
            raise BadPublication(f"{self._crate}: {repository}:{tag} cannot be the name of an image")
        self._claim("the image", f"{repository}:{tag}", str(digest))
        self._insert("INSERT OR IGNORE INTO published_tags VALUES (?, ?, ?, ?)", (repository, tag, str(digest)))

    def add_manifest(self, repository: str, digest: Digest, size: int, manifest: Manifest) -> None:
        """Publishes a manifest under one of its digests, and as a referrer of its subject."""
        self._insert(
            "INSERT OR IGNORE INTO published_manifests VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                repository,
                str(digest),
                manifest.media_type,
                size,
                str(manifest.subject or ""),
                manifest.artifact_type,
                json.dumps(dict(manifest.annotations), sort_keys=True),
            ),
        )

    def add_blob(self, repository: str, sha256: str, size: int, aliases: Iterable[Digest] = ()) -> None:
        """Lets `repository` serve a blob, by its sha256 and its other digests."""
        raw = self._held(sha256, size)
        self._insert("INSERT OR IGNORE INTO published_blobs VALUES (?, ?, ?)", (repository, raw))
        self._connection.executemany(
            "INSERT OR IGNORE INTO aliases VALUES (?, ?)", [(str(alias), raw) for alias in aliases]
        )

    def _insert(self, statement: str, values: tuple[object, ...]) -> None:
        self._connection.execute(statement, (self._generation, *values))

    def _held(self, sha256: str, size: int) -> bytes:
        raw = bytes.fromhex(sha256)
        row = self._connection.execute("SELECT size FROM blobs WHERE digest = ?", (raw,)).fetchone()
        if row != (size,):
            found = "is not in it" if row is None else f"has {row[0]} bytes there"
            raise BadPublication(f"{self._crate}: the catalogue lists sha256:{sha256} with {size} bytes, which {found}")
        return raw

    def _claim(self, what: str, name: str, digest: str) -> None:
        owner, held = self._owners.setdefault((what, name), (self._crate, digest))
        if held != digest:
            raise CrateConflict(
                f"the crates {owner} and {self._crate} disagree about {what} {name}: {held} and {digest}",
                hint="build one of them without it, or install a release of both that agrees",
            )


def _lines(extent: OpenExtent) -> Iterator[bytes]:
    extent.file.seek(extent.offset)
    left = extent.size
    while left > 0:
        line = extent.file.readline(left)
        if not line:
            return
        left -= len(line)
        yield line

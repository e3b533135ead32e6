"""What a generation publishes, row by row.

All of it is written inside the transaction that activates the generation, so that clients see the old crate or the new
one, and nothing between. What cannot be a row (a key, a blob) is written by `finish`, when nothing can be refused any
more.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cached_property
from typing import BinaryIO

from appliance import items
from appliance.errors import BadPublication, CrateConflict
from appliance.manifest import Manifest
from appliance.repository_key import KeptKey
from appliance.store import Store
from archive.catalogue import Item
from archive.digests import Digest
from archive.names import check_file_name
from archive.references import is_repository, is_tag
from mirror.ecosystem import Published, RepositorySigner


class Publication:
    """Tags, manifests, blobs and paths of one generation; also the `PublishContext` of what is published into it.

    Raises `CrateConflict` where two crates disagree, `BadPublication` where a crate's own word cannot be.
    """

    def __init__(
        self, connection: sqlite3.Connection, store: Store, generation: int, *, dated: int, before: int | None
    ) -> None:
        """`dated` (seconds since 1970) is the date of its documents; it takes over from the generation `before`."""
        self._connection = connection
        self._blobs = store.blobs
        self._generation = generation
        self._dated = dated
        self._before = before
        self._key = KeptKey(store.root / "trust")
        self._made: dict[str, bytes] = {}

    @property
    def newest(self) -> datetime:
        return datetime.fromtimestamp(self._dated, UTC)

    @cached_property
    def signer(self) -> RepositorySigner:
        return self._key.key().signer()

    def open(self, sha256: str) -> BinaryIO:
        """A blob of the store, to be closed by the caller. Raises `UnknownBlob`."""
        return self._blobs.open(Digest.sha256(sha256)).reader()

    def read(self, sha256: str, limit: int) -> bytes:
        """A small blob of the store. Raises `UnknownBlob`, `BadPublication`."""
        try:
            return self._made.get(sha256) or self._blobs.read(Digest.sha256(sha256), limit)
        except ValueError as error:
            raise BadPublication(str(error)) from error

    def require(self, crate: str, sha256: str, size: int) -> None:
        """Raises `BadPublication` unless the store holds just this blob, which the catalogue of `crate` names."""
        # what is damaged is lost for clients until it is mended, and no reason to publish nothing at all
        row = self._connection.execute(
            "SELECT size FROM blobs WHERE digest = ?1 UNION SELECT size FROM damaged WHERE digest = ?1",
            (bytes.fromhex(sha256),),
        ).fetchone()
        if row != (size,):
            found = "is not in it" if row is None else f"has {row[0]} bytes there"
            raise BadPublication(f"{crate}: the catalogue lists sha256:{sha256} with {size} bytes, which {found}")

    def serve(self, published: Published) -> None:
        """Serves a document or a blob at a path. `CrateConflict` when the path has another content already."""
        check_file_name(published.path.removesuffix("/"))
        sha256, size = (published.sha256, published.size) if published.sha256 else self._keep(published.body)
        raw, key = bytes.fromhex(sha256), (published.path, ",".join(published.accepts))
        added = self._connection.execute(
            "INSERT OR IGNORE INTO published_files SELECT ?, ?, ?, ?, ?, ?, ?, coalesce(max(modified), ?)"
            " FROM published_files WHERE generation = ? AND path = ? AND accepts = ? AND digest = ?",
            (
                *(self._generation, *key, raw, size, published.media_type, published.origin_bound, self._dated),
                *(self._before, *key, raw),
            ),
        )
        if not added.rowcount:
            held = self._first("SELECT hex(digest) FROM published_files WHERE path = ? AND accepts = ?", *key)
            self._agree(f"the path /{published.path}", f"sha256:{held.lower()}", f"sha256:{sha256}")

    def _keep(self, body: bytes) -> tuple[str, int]:
        digest = hashlib.sha256(body)
        self._connection.execute(
            "INSERT OR IGNORE INTO documents (digest, body) VALUES (?, ?)", (digest.digest(), body)
        )
        return digest.hexdigest(), len(body)

    def make_blob(self, body: bytes) -> str:
        """A small blob that no crate brought; returns its sha256."""
        sha256 = hashlib.sha256(body).hexdigest()
        self._made[sha256] = body
        return sha256

    def add_tag(self, repository: str, tag: str, digest: Digest) -> None:
        """Lets `repository:tag` name a manifest that `add_manifest` has published."""
        if not is_repository(repository) or not is_tag(tag):
            raise BadPublication(f"{repository}:{tag} cannot be the name of an image")
        if not self._insert("published_tags", repository, tag, str(digest)):
            held = self._first("SELECT digest FROM published_tags WHERE repository = ? AND tag = ?", repository, tag)
            self._agree(f"the image {repository}:{tag}", held, str(digest))

    def add_manifest(self, repository: str, digest: Digest, size: int, manifest: Manifest) -> None:
        """Publishes a manifest under one of its digests, and as a referrer of its subject."""
        self._insert(
            "published_manifests",
            *(repository, str(digest), manifest.media_type, size, str(manifest.subject or ""), manifest.artifact_type),
            json.dumps(dict(manifest.annotations), sort_keys=True),
        )

    def add_blob(self, repository: str, sha256: str, aliases: Iterable[Digest] = ()) -> None:
        """Lets `repository` serve a blob, by its sha256 and its other digests."""
        raw = bytes.fromhex(sha256)
        self._insert("published_blobs", repository, raw)
        self._connection.executemany(
            "INSERT OR IGNORE INTO aliases VALUES (?, ?)", [(str(alias), raw) for alias in aliases]
        )

    def list_item(self, item: Item, bringer: str, *, contributed: bool) -> None:
        """Lists an item among what the generation publishes, once whoever brings it."""
        size = sum(file.size for file in item.files)
        served = (items.path_of(item), items.platforms_of(item))
        self._insert("items", *item.key, item.origin, size, bringer, contributed, *served)

    def count(self, kind: str, items: int) -> None:
        """So many different items of a kind were published."""
        self._insert("published_items", kind, items)

    def finish(self) -> None:
        """Writes what is no row; the last step before the transaction is committed."""
        self._key.keep()
        for sha256, body in self._made.items():
            self._blobs.make_loose(self._connection, sha256, body)

    def disagree(self, what: str, one: str, other: str, hint: str = "") -> CrateConflict | None:
        """The conflict, when `one` and `other` (sha256) came with two crates; None when one crate brought both."""
        pairs = [(a, b) for a in self._bringers(one) for b in self._bringers(other) if a != b]
        if not pairs:
            return None
        first, second = pairs[0]
        return CrateConflict(
            f"the crates {first} and {second} disagree: {what}",
            hint=hint or "build one of them without it, or install a release of both that agrees",
        )

    def _agree(self, what: str, held: str, wanted: str) -> None:
        if held != wanted:
            told = f"{what} is {held} and {wanted}"
            conflict = self.disagree(told, self._sha256(held), self._sha256(wanted))
            raise conflict or BadPublication(f"{told} at once", hint="build the crate again")

    def _sha256(self, digest: str) -> str:
        """The name by which a crate's index has it, in hex."""
        parsed = Digest.parse(digest)
        row = self._connection.execute("SELECT digest FROM aliases WHERE alias = ?", (digest,)).fetchone()
        return row[0].hex() if row else parsed.hex

    def _bringers(self, sha256: str) -> list[str]:
        rows = self._connection.execute(
            "SELECT name, serial FROM generation_packs JOIN pack_blobs USING (pack) JOIN packs ON packs.id = pack"
            " WHERE generation = ? AND active = 1 AND pack_blobs.digest = ? ORDER BY name",
            (self._generation, bytes.fromhex(sha256)),
        )
        return [f"{name} {serial}" for name, serial in rows]

    def _insert(self, table: str, *values: object) -> bool:
        """Whether the row is new."""
        marks = ", ".join("?" * (len(values) + 1))
        statement = f"INSERT OR IGNORE INTO {table} VALUES ({marks})"  # noqa: S608 - our own tables
        return self._connection.execute(statement, (self._generation, *values)).rowcount == 1

    def _first(self, query: str, *values: object) -> str:
        row = self._connection.execute(f"{query} AND generation = ?", (*values, self._generation)).fetchone()
        return str(row[0])

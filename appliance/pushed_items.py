"""What people pushed to the registry, as catalogue items: one for each tag, with all that hangs on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from appliance.errors import IncompleteImage, UnknownBlob
from appliance.manifest import LIMIT, Manifest
from appliance.registry.contents import Contents
from appliance.store import Store
from archive.catalogue import IMAGE, File, Item
from archive.digests import Digest

_CONFIGS = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")


def pushed_items(store: Store) -> Iterator[Item]:
    """In the order of repositories and tags; where a crate brings a tag by now, its word counts and not the pushed one.

    Raises `IncompleteImage`.
    """
    rows = store.database.reader.execute(
        "SELECT repository, tag, digest FROM tags WHERE NOT EXISTS (SELECT 1 FROM held_tags WHERE pushed = 0"
        " AND held_tags.repository = tags.repository AND held_tags.tag = tags.tag) ORDER BY repository, tag"
    ).fetchall()
    for repository, tag, digest in rows:
        yield _Walk(store, repository, tag).item(Digest.parse(digest))


@dataclass
class _Walk:
    """From a tag down to children and blobs, and up to referrers."""

    store: Store
    repository: str
    tag: str
    files: dict[str, File] = field(default_factory=dict)
    platforms: set[str] = field(default_factory=set)
    referrers: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.contents = Contents(self.store.database)

    def item(self, root: Digest) -> Item:
        media_type, size = self._manifest(root, "the tag")
        publish = {
            "repository": self.repository,
            "tags": [self.tag],
            "root": {"digest": str(self._sha256(root)), "size": size, "mediaType": media_type},
            "platforms": sorted(self.platforms),
            "referrers": sorted(self.referrers),
        }
        return Item(
            kind=IMAGE,
            name=self.repository,
            version=self.tag,
            files=tuple(self.files[sha256] for sha256 in sorted(self.files)),
            publish={key: value for key, value in publish.items() if value},
        )

    def _manifest(self, digest: Digest, named_by: str) -> tuple[str, int]:
        """Takes it in with all that it needs; returns its media type and size in bytes."""
        held = self.contents.manifest(self.repository, digest)
        if held is None:
            raise self._incomplete(f"the manifest {digest}, which {named_by} names")
        sha256 = self._sha256(digest)
        if sha256.hex in self.files:
            return held.media_type, held.size
        body = self._read(sha256, named_by)
        manifest = Manifest.parse(body, held.media_type)
        self._keep(sha256, held.size, held.media_type)
        for blob in dict.fromkeys(manifest.blobs):
            found = self.store.blobs.find(blob) if self.contents.holds_blob(self.repository, blob) else None
            if found is not None:
                self._keep(Digest.sha256(found.sha256), found.size)
            elif blob not in manifest.foreign:
                raise self._incomplete(f"the blob {blob}, which {digest} names")
        for child in manifest.children:
            self._manifest(child, str(digest))
        self.platforms |= set(self._platforms(json.loads(body)))
        for referrer in self.contents.referrers(self.repository, digest):
            self.referrers.append(referrer["digest"])
            self._manifest(Digest.parse(referrer["digest"]), "a list of referrers")
        return held.media_type, held.size

    def _platforms(self, document: dict[str, Any]) -> Iterator[str]:
        """Those of an index by its own word, that of a single image by its config's."""
        told = [child.get("platform") for child in document.get("manifests") or ()]
        config = document.get("config") or {}
        if config.get("mediaType") in _CONFIGS:
            told.append(json.loads(self._read(Digest.parse(config["digest"]), "its manifest")))
        for one in told:
            words = [one.get(key) for key in ("os", "architecture", "variant")] if isinstance(one, dict) else []
            if all(isinstance(word, str) and word != "unknown" for word in words[:2]) and words:
                yield "/".join(word for word in words if isinstance(word, str) and word)

    def _read(self, digest: Digest, named_by: str) -> bytes:
        try:
            return self.store.blobs.read(digest, LIMIT)
        except UnknownBlob as error:
            raise self._incomplete(f"the blob {digest}, which {named_by} names") from error
        except ValueError as error:
            raise self._incomplete(f"{digest} in a readable size") from error

    def _keep(self, sha256: Digest, size: int, media_type: str = "") -> None:
        rows = self.store.database.reader.execute(
            "SELECT alias FROM aliases WHERE digest = ? ORDER BY alias", (bytes.fromhex(sha256.hex),)
        )
        aliases = tuple(row[0] for row in rows)
        self.files.setdefault(sha256.hex, File(sha256.hex, size, media_type=media_type, aliases=aliases))

    def _sha256(self, digest: Digest) -> Digest:
        return self.contents.sha256_of(digest) or digest

    def _incomplete(self, what: str) -> IncompleteImage:
        return IncompleteImage(
            f"the image {self.repository}:{self.tag} lacks {what}",
            hint="push it whole, or leave it out: --only names what to export",
        )

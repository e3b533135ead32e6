"""Crates for tests: small signed archives, written by the real writer from items that a test makes up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from archive import catalogue
from archive.catalogue import File, Item
from archive.keys import PublicKey
from archive.release import BootFile
from archive.signing import Signer, generate, load_signer
from archive.writer import BlobSource, Draft, write_crate
from tests.support.images import MANIFEST_TYPES, MadeImage

CREATED = datetime(2026, 11, 1, tzinfo=UTC)
CHUNK = 64 * 1024
"""The smallest chunk that the format allows, so that small blobs have several."""


@dataclass(frozen=True)
class Key:
    """A signing key pair; `public` is the `.pub` file."""

    private: Path
    public: Path

    def signer(self) -> Signer:
        return load_signer(self.private, None)

    @property
    def fingerprint(self) -> str:
        return PublicKey.from_line(self.public.read_text()).fingerprint


def make_key(folder: Path, name: str = "release") -> Key:
    folder.mkdir(parents=True, exist_ok=True)
    generate(folder / name, "", name)
    return Key(folder / name, folder / f"{name}.pub")


@dataclass
class CrateMaker:
    """Collects items and their blobs, and writes them as a crate, as often as a test wants.

    Blobs live in `folder`; `absent` digests are left for the store to hold, `unchecked` ones are signed for without
    looking.
    """

    folder: Path
    name: str = "site"
    serial: int = 1
    items: list[Item] = field(default_factory=list)
    absent: set[str] = field(default_factory=set)
    chunk: int = CHUNK
    created: datetime = CREATED
    expires: datetime | None = None
    blobs: dict[str, Path] = field(default_factory=dict)
    unchecked: set[str] = field(default_factory=set)
    lock: bytes = b""
    boot: list[BootFile] = field(default_factory=list)

    def blob(self, data: bytes) -> str:
        """Adds a blob; returns its sha256."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / sha256
        path.write_bytes(data)
        self.blobs[sha256] = path
        return sha256

    def file(self, path: str, data: bytes, *, absent: bool = False) -> str:
        """A `[[files]]` item, served at /files/`path`."""
        sha256 = self.blob(data)
        self.items.append(Item("file", path, "1", files=(File(sha256, len(data), path),)))
        if absent:
            self.absent.add(sha256)
        return sha256

    def wheel(self, name: str, data: bytes, *, platform: str = "", python: str = "") -> None:
        """A boot file; it goes before every blob that is added in another way."""
        self.boot.append(BootFile(name, len(data), self.blob(data), platform, python))

    def resolved(self, items: Iterable[Item], folder: Path) -> None:
        """What an ecosystem resolved, its blobs lying in `folder` by their sha256."""
        for item in items:
            self.items.append(item)
            self.blobs.update({file.sha256: folder / file.sha256 for file in item.files})

    def image(self, made: MadeImage, tags: Sequence[str] = ()) -> None:
        """An image out of a layout, with its referrers."""
        name, _, tag = made.reference.rpartition(":")
        files = []
        for path in sorted((made.folder / "blobs" / made.layout.algorithm).iterdir()):
            data = path.read_bytes()
            sha256 = self.blob(data)
            aliases = (f"sha512:{path.name}",) if made.layout.algorithm == "sha512" else ()
            files.append(File(sha256, len(data), media_type=_media_type(data), aliases=aliases))
        self.items.append(
            Item(
                "image",
                name,
                tag,
                origin=f"docker://{made.reference}",
                files=tuple(files),
                publish={"repository": name, "tags": [tag, *tags], "root": _root(made.root)},
            )
        )

    def write(self, out: Path, keys: Iterable[Key], part_size: int | None = None) -> tuple[Path, ...]:
        """Writes the crate; returns its files."""
        out.parent.mkdir(parents=True, exist_ok=True)
        leading = dict.fromkeys(file.sha256 for file in self.boot)
        used = {file.sha256 for item in self.items for file in item.files} - leading.keys()
        sources = [self._source(sha256) for sha256 in (*leading, *(one for one in self.blobs if one in used))]
        draft = Draft(
            name=self.name,
            channel="stable",
            serial=self.serial,
            created=self.created,
            expires=self.expires,
            writer="tests",
            catalogue=catalogue.write(self.items),
            recipe=f"# the recipe of {self.name} {self.serial}\n".encode(),
            lock=self.lock or f"# the lock of {self.name} {self.serial}\n".encode(),
            boot=tuple(self.boot),
            chunk=self.chunk,
        )
        oci_index = json.dumps({"schemaVersion": 2, "manifests": []}).encode()
        return write_crate(draft, sources, oci_index, [key.signer() for key in keys], out, part_size=part_size).paths

    def _source(self, sha256: str) -> BlobSource:
        path, size = self.blobs[sha256], self.blobs[sha256].stat().st_size
        if sha256 in self.absent:
            return BlobSource(sha256, size, None, absent=True)
        return BlobSource(sha256, size, path, proven=sha256 in self.unchecked)


def _media_type(data: bytes) -> str:
    try:
        document = json.loads(data)
    except ValueError:
        return ""
    media_type = document.get("mediaType", "") if isinstance(document, Mapping) else ""
    return media_type if media_type in MANIFEST_TYPES else ""


def _root(descriptor: Mapping[str, Any]) -> dict[str, Any]:
    return {key: descriptor[key] for key in ("digest", "size", "mediaType")}

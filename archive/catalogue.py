"""The catalogue: what is in a crate, item by item, and what each ecosystem needs to publish it.

A blob of JSON Lines: a header line, then one item a line, sorted by (kind, name, version, platform). The lock holds
the same items, so the catalogue of a crate is a function of its lock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from archive import documents
from archive.errors import InvalidValue

VERSION = 1
IMAGE = "image"
BOOT = "boot"
"""The kind of what sets up the appliance itself; crate.json lists its files as `boot`."""
PROFILE = "profile"
"""The kind of what a cluster is given: files below `profiles/NAME/`, read by whoever deploys, served to nobody."""
_HEX = re.compile(r"[0-9a-f]{64}")
_HEADER = documents.canonical({"catalogue": VERSION})


@dataclass(frozen=True, slots=True)
class File:
    """One blob of an item.

    `path` is its published name (empty for an image's blobs, which go by digest), `origin` where it comes from when
    that is not the item's own origin, `aliases` other digests that refer to it (`sha512:…`).
    """

    sha256: str
    size: int
    path: str = ""
    media_type: str = ""
    origin: str = ""
    aliases: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        full = {
            "sha256": self.sha256,
            "size": self.size,
            "path": self.path,
            "mediaType": self.media_type,
            "origin": self.origin,
            "aliases": list(self.aliases),
        }
        return {key: value for key, value in full.items() if value not in ("", [])}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> File:
        sha256, size = value["sha256"], value["size"]
        if not isinstance(sha256, str) or not _HEX.fullmatch(sha256) or type(size) is not int or size < 0:
            raise TypeError("a file has no proper sha256 and size")
        aliases = value.get("aliases", [])
        if not isinstance(aliases, list) or not all(isinstance(alias, str) for alias in aliases):
            raise TypeError("`aliases` is not a list of digests")
        path, media_type, origin = (_text(value, key) for key in ("path", "mediaType", "origin"))
        return cls(sha256, size, path, media_type, origin, tuple(aliases))


@dataclass(frozen=True, slots=True)
class Item:
    """One thing a recipe asked for, or that something asked for needs.

    `kind` is the ecosystem (`image`, `file`, later `apt`, `pypi` …), `platform` empty where one item serves several,
    `origin` a URL without user info or query, `evidence` how upstream's word for it was checked, `publish` what its
    ecosystem needs on the crate.
    """

    kind: str
    name: str
    version: str = ""
    platform: str = ""
    origin: str = ""
    files: tuple[File, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    publish: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str, str]:
        return (self.kind, self.name, self.version, self.platform)

    def to_json(self) -> dict[str, Any]:
        full = {
            "kind": self.kind,
            "name": self.name,
            "version": self.version,
            "platform": self.platform,
            "origin": self.origin,
            "files": [file.to_json() for file in self.files],
            "evidence": dict(self.evidence),
            "publish": dict(self.publish),
        }
        return {key: value for key, value in full.items() if value not in ("", [], {})}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Item:
        words = {key: _text(value, key) for key in ("kind", "name", "version", "platform", "origin")}
        if not words["kind"] or not words["name"]:
            raise TypeError("an item has no kind and name")
        return cls(
            **words,
            files=tuple(File.from_json(file) for file in value.get("files", ())),
            evidence=_table(value, "evidence"),
            publish=_table(value, "publish"),
        )


def _text(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key, "")
    if not isinstance(found, str):
        raise TypeError(f"`{key}` is not text")
    return found


def _table(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key, {})
    if not isinstance(found, dict):
        raise TypeError(f"`{key}` is not an object")
    return found


def write(items: Iterable[Item]) -> bytes:
    lines = [_HEADER, *(documents.canonical(item.to_json()) for item in sorted(items, key=lambda item: item.key))]
    return b"\n".join(lines) + b"\n"


def read(lines: Iterable[bytes], mark: bytes = b"") -> Iterator[Item]:
    """The items, one at a time; only those whose line holds `mark`, which is much faster for a few out of many.

    Raises `InvalidValue` for another version or a line that is no item.
    """
    for number, line in enumerate(lines, start=1):
        if number == 1:
            if line.rstrip(b"\n") != _HEADER:
                raise InvalidValue("the catalogue is of a version that this program does not know")
            continue
        if mark not in line:
            continue
        try:
            yield Item.from_json(documents.parse(line, f"line {number} of the catalogue"))
        except (KeyError, TypeError, AttributeError) as error:
            raise InvalidValue(f"line {number} of the catalogue is no item: {error}") from error

"""npm's own locks: package-lock.json and npm-shrinkwrap.json, of version 2 or 3 (the `packages` map)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from archive import documents
from mirror.errors import BadIndex
from mirror.npm.graph import Edge, Graph, Need, Package
from mirror.npm.names import check_name, check_version

LIMIT = 128 << 20
"""Bytes; the largest locks of monorepos are of some twenty."""

_REMOTE = re.compile(r"https?://")


def read(text: bytes, what: str, wishes: Mapping[str, str] | None = None) -> Graph:
    """The lock called `what`. `wishes` maps what the recipe says to a direct dependency of the lock's root.

    Without it, the lock itself is the wish, with everything that its root and workspaces ask for, development included.
    Raises `BadIndex`.
    """
    document = documents.parse(text, what)
    try:
        if document.get("lockfileVersion") not in (2, 3):
            raise BadIndex(
                f"{what} is a lock of version {document.get('lockfileVersion')!r}, and 2 and 3 are read",
                hint="`npm install --package-lock-only` with npm 7 or later writes it anew",
            )
        entries: dict[str, dict[str, Any]] = document["packages"]
        packages = {
            key: _package(key, entry, entries) for key, entry in entries.items() if key and not entry.get("link")
        }
        own = [
            edge for key, entry in entries.items() if "node_modules/" not in key for edge in _edges(key, entry, entries)
        ]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadIndex(f"{what} is not a package lock: {type(error).__name__} {error}") from error
    if wishes is None:
        return Graph(packages, {what: tuple(own)})
    return Graph(packages, {wish: tuple(edge for edge in own if edge.name == name) for wish, name in wishes.items()})


def _package(key: str, entry: Mapping[str, Any], entries: Mapping[str, Any]) -> Package:
    project = "node_modules/" not in key
    resolved = _text(entry.get("resolved", ""))
    name = _text(entry.get("name") or key.rpartition("node_modules/")[2])
    inside = project or bool(entry.get("inBundle") or entry.get("bundled")) or resolved.startswith("file:")
    if not inside:
        check_name(name)
        check_version(_text(entry["version"]), name)
    return Package(
        name=name or "the project",
        version=_text(entry.get("version", "")),
        edges=tuple(_edges(key, entry, entries)),
        url=resolved,
        integrity=_text(entry.get("integrity", "")),
        os=words(entry.get("os")),
        cpu=words(entry.get("cpu")),
        libc=words(entry.get("libc")),
        inside=inside,
        unserved="" if inside else unserved(name, resolved),
    )


def unserved(name: str, url: str) -> str:
    """Why a package at this address cannot be served by a registry; empty when it can."""
    if not url or (_REMOTE.match(url) and f"/{name}/-/" in unquote(urlsplit(url).path)):
        return ""
    return f"it comes from {url[:200]}, which is no registry; publish it to one, or bundle it"


def words(value: object) -> tuple[str, ...]:
    """`os`, `cpu` and `libc` are a word or a list of words."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(_text(word) for word in _listed(value))


def _edges(key: str, entry: Mapping[str, Any], entries: Mapping[str, Any]) -> Iterator[Edge]:
    """What the package at `key` asks for, each resolved as Node.js does: the nearest folder upwards that has it."""
    optional = entry.get("optionalDependencies", {})
    needs = {name: (wanted, Need.PEER) for name, wanted in entry.get("peerDependencies", {}).items()}
    needs |= {name: (wanted, Need.FULL) for name, wanted in entry.get("dependencies", {}).items()}
    if "node_modules/" not in key:
        needs |= {name: (wanted, Need.FULL) for name, wanted in entry.get("devDependencies", {}).items()}
    needs |= {name: (wanted, Need.OPTIONAL) for name, wanted in optional.items()}
    for name, (wanted, need) in needs.items():
        yield Edge(_text(name), _text(wanted), need, _nearest(key, name, entries))


def _nearest(key: str, name: str, entries: Mapping[str, Any]) -> str:
    folder = key
    while True:
        place = f"{folder}/node_modules/{name}".removeprefix("/")
        if place in entries:
            found = entries[place]
            return _text(found["resolved"]) if found.get("link") else place
        if not folder:
            return ""
        folder = folder.rpartition("node_modules/")[0].rstrip("/")


def _listed(value: object) -> Iterable[object]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{str(value)[:80]!r} is no text")
    return value

"""pnpm-lock.yaml, of version 6 (pnpm 8) and 9 (pnpm 9 and later)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mirror import yaml_documents
from mirror.errors import BadIndex
from mirror.npm.graph import Edge, Graph, Need, Package
from mirror.npm.names import check_name, check_version
from mirror.npm.package_lock import unserved, words

_OWN = {"dependencies": Need.FULL, "devDependencies": Need.FULL, "optionalDependencies": Need.OPTIONAL}
_ITS = {"dependencies": Need.FULL, "optionalDependencies": Need.OPTIONAL}
_BESIDE = ("link:", "file:", "workspace:")


def read(text: bytes, what: str) -> Graph:
    """The lock called `what`; the lock itself is the wish, with every importer of its workspace. Raises `BadIndex`."""
    document = yaml_documents.parse(text, what)
    try:
        version = str(document.get("lockfileVersion"))
        if version.partition(".")[0] not in {"6", "9"}:
            raise BadIndex(
                f"{what} is a lock of version {version}, and 6 and 9 are read", hint="lock with a newer pnpm"
            )
        described: Mapping[str, Any] = document.get("packages") or {}
        # Version 9 keeps what a package is apart from what it was installed with, once per set of peers.
        installed: Mapping[str, Any] = document.get("snapshots", {}) if version.startswith("9") else described
        packages = {key: _package(key, entry or {}, described, installed) for key, entry in (installed or {}).items()}
        importers = document.get("importers") or {".": document}
        own = [edge for importer in importers.values() for edge in _edges(importer, _OWN, installed or {})]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadIndex(f"{what} is not a lock of pnpm: {type(error).__name__} {error}") from error
    return Graph(packages, {what: tuple(own)})


def _package(key: str, entry: Mapping[str, Any], described: Mapping[str, Any], installed: Mapping[str, Any]) -> Package:
    plain = key.partition("(")[0]
    about = described.get(plain, entry)
    name, _, version = plain.removeprefix("/").rpartition("@")
    resolution = about["resolution"]
    address = str(resolution.get("tarball", ""))
    inside = plain.partition("@file:")[1] != "" or "directory" in resolution
    trouble = f"it comes from {resolution['repo']}, which is no registry" if "repo" in resolution else ""
    if not inside and not trouble:
        trouble = unserved(about.get("name", name), address)
    if not inside and not trouble:
        check_version(version, check_name(name))
    return Package(
        name=name,
        version=version,
        edges=tuple(_edges(entry, _ITS, installed)),
        url=address,
        integrity=str(resolution.get("integrity", "")),
        os=words(about.get("os")),
        cpu=words(about.get("cpu")),
        libc=words(about.get("libc")),
        inside=inside,
        unserved=trouble,
    )


def _edges(entry: Mapping[str, Any], kinds: Mapping[str, Need], installed: Mapping[str, Any]) -> Iterator[Edge]:
    for kind, need in kinds.items():
        for name, found in (entry.get(kind) or {}).items():
            version = str(found["version"] if isinstance(found, Mapping) else found)
            if not version.startswith(_BESIDE):
                yield Edge(name, version.partition("(")[0], need, _key(name, version, installed))


def _key(name: str, version: str, installed: Mapping[str, Any]) -> str:
    """An alias is written as the key of what it stands for."""
    for key in (f"{name}@{version}", f"/{name}@{version}", version):
        if key in installed:
            return key
    return ""

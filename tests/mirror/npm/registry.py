"""Made-up packages of Node.js, a registry that serves them, and locks that name them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests.mirror.loopback import NOT_FOUND, Answer, serving


@dataclass(frozen=True)
class Made:
    """One release. `dist` overrides what the registry says of its tarball, where a test makes it lie."""

    name: str
    version: str
    manifest: Mapping[str, Any]
    tarball: bytes
    dist: Mapping[str, Any] = field(default_factory=dict)

    @property
    def integrity(self) -> str:
        return "sha512-" + base64.b64encode(hashlib.sha512(self.tarball).digest()).decode()

    @property
    def sha1(self) -> str:
        return hashlib.sha1(self.tarball, usedforsecurity=False).hexdigest()

    @property
    def path(self) -> str:
        return f"{self.name}/-/{self.name.rpartition('/')[2]}-{self.version}.tgz"


def package(name: str, version: str, *, dist: Mapping[str, Any] | None = None, **manifest: Any) -> Made:
    """A release whose package.json holds `manifest` (dependencies, os, cpu …)."""
    described = {"name": name, "version": version, **manifest}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        text = json.dumps(described).encode()
        member = tarfile.TarInfo("package/package.json")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    return Made(name, version, described, gzip.compress(buffer.getvalue(), mtime=0), dist or {})


@dataclass
class Registry:
    url: str
    asked: list[str] = field(default_factory=list)


@contextmanager
def registry(*made: Made, latest: Mapping[str, str] | None = None) -> Iterator[Registry]:
    """`latest` says which version that tag names; the last one made otherwise."""
    found = Registry("")

    def handle(target: str, headers: Mapping[str, str]) -> Answer:
        found.asked.append(target)
        path = unquote(target.lstrip("/"))
        if "/-/" in path:
            return next((Answer(each.tarball) for each in made if each.path == path), NOT_FOUND)
        mine = [each for each in made if each.name == path]
        if not mine:
            return NOT_FOUND
        versions = {
            each.version: {
                **each.manifest,
                "_id": f"{each.name}@{each.version}",
                "readme": "long",
                "dist": {
                    "integrity": each.integrity,
                    "shasum": each.sha1,
                    "tarball": f"http://{headers['host']}/{each.path}",
                    **each.dist,
                },
            }
            for each in mine
        }
        tags = {"latest": (latest or {}).get(path, mine[-1].version)}
        return Answer(
            json.dumps({"name": path, "dist-tags": tags, "versions": versions}).encode(),
            "application/vnd.npm.install-v1+json",
        )

    with serving(handle) as url:
        found.url = url
        yield found


def package_lock(
    root: Mapping[str, Any], entries: Mapping[str, Made | Mapping[str, Any]], *, version: int = 3
) -> bytes:
    """A package-lock.json: `entries` by their path below node_modules, as npm writes them, without `resolved`."""
    kept = ("version", "dependencies", "optionalDependencies", "peerDependencies", "os", "cpu", "libc")
    packages: dict[str, Any] = {"": {"name": "app", "version": "1.0.0", **root}}
    for path, entry in entries.items():
        if isinstance(entry, Made):
            told = {key: entry.manifest[key] for key in kept if key in entry.manifest}
            packages[f"node_modules/{path}"] = {**told, "integrity": entry.integrity}
        else:
            packages[path] = entry
    document = {"name": "app", "version": "1.0.0", "lockfileVersion": version, "requires": True, "packages": packages}
    return json.dumps(document).encode()


def flat(root: Mapping[str, Any], made: Sequence[Made], **options: Any) -> bytes:
    return package_lock(root, {each.name: each for each in made}, **options)

"""Image references: the grammar of the distribution project, with docker.io's short forms written out.

A repository keeps its upstream host (`docker.io/library/nginx`) everywhere in BuzzCrate. Inside a registry path a
host's port cannot keep its colon, so `harbor.example.org:8443/x` is served as `harbor.example.org_8443/x`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from archive.digests import Digest
from archive.errors import InvalidValue

REPOSITORY_LENGTH = 255
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}(?::[0-9]{{1,5}})?")
_DOCKER_HUB = {"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}


def is_repository(text: str) -> bool:
    """Whether `text` is a `<name>` of the distribution specification ("Pulling manifests")."""
    return len(text) <= REPOSITORY_LENGTH and _REPOSITORY.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    return _TAG.fullmatch(text) is not None


def canonical_host(host: str) -> str:
    """Docker Hub answers to several names; they are one registry."""
    return "docker.io" if host in _DOCKER_HUB else host


def is_host(text: str) -> bool:
    """Whether the first part of a reference is a registry's host, and not a part of a repository's name."""
    return text == "localhost" or "." in text or ":" in text


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """Where an image is: `host` (with a port, perhaps), `repository`, and a tag or a digest or both."""

    host: str
    repository: str
    tag: str = ""
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Normalises as docker does: `busybox` is `docker.io/library/busybox:latest`. Raises `InvalidValue`."""
        hint = "write it like docker.io/library/busybox:1.36 or ghcr.io/team/app@sha256:…"
        rest, at, digest_text = text.partition("@")
        digest = Digest.parse(digest_text) if at else None
        first, slash, remainder = rest.partition("/")
        if slash and is_host(first):
            host, path = canonical_host(first), remainder
        else:
            host, path = "docker.io", rest
        path, colon, tag = path.partition(":")
        if host == "docker.io" and "/" not in path:
            path = f"library/{path}"
        if not _HOST.fullmatch(host) or not is_repository(path) or (colon and not is_tag(tag)):
            raise InvalidValue(f"{text[:300]!r} is not an image reference", hint=hint)
        if not tag and digest is None:
            tag = "latest"
        return cls(host, path, tag, digest)

    @property
    def name(self) -> str:
        """Host and repository, as people write them."""
        return f"{self.host}/{self.repository}"

    @property
    def path(self) -> str:
        """The repository's name inside the crate's registry."""
        return f"{self.host.replace(':', '_')}/{self.repository}".lower()

    def at(self, digest: Digest) -> Reference:
        return replace(self, tag="", digest=digest)

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

"""How an ecosystem reaches its upstream: the bundler passes in its client, with retries, limits and cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Document:
    """A small upstream document, whole: `url` is where it was found after redirects."""

    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A blob that now lies in the cache, its sha256 computed while it came in."""

    sha256: str
    size: int
    path: Path


class Transport(Protocol):
    """What `resolve` may ask of the connected side. URLs are upstream's own; the upstream table is applied inside.

    `oci://host/v2/…` is an address of a registry's API: as `https:`, with the registry's own authentication.
    """

    async def read(self, url: str, *, limit: int, headers: Mapping[str, str] | None = None) -> Document:
        """The document at `url`, of at most `limit` bytes. Raises `Problem`."""
        ...

    async def size(self, url: str) -> int | None:
        """What upstream says the size is, in bytes, or None when it does not say."""
        ...

    async def fetch(self, url: str, *, sha256: str = "", sha512: str = "", size: int | None = None) -> Fetched:
        """Brings the blob into the cache, checked against what is given (lower-case hex, bytes). Raises `Problem`.

        What is there already by a digest that is given does not come over the wire again.
        """
        ...

    async def adopt(self, path: Path) -> Fetched:
        """Takes a local file into the cache."""
        ...

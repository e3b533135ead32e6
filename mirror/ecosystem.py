"""The seam between an ecosystem and the rest: what `resolve` and `publish` are given, and what they give back.

`resolve` runs on the connected side and makes catalogue items. `publish` runs on the crate, over the items of every
active pack, and says what is served at which address. Neither knows who calls it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from archive.catalogue import Item
from archive.platforms import Platform
from archive.progress import Progress
from mirror.transport import Transport

ORIGIN = b"http://crate.invalid"
"""Stands in an origin-bound document wherever the crate's own base URL belongs, which only a request knows."""


@dataclass(frozen=True, slots=True)
class ResolveContext:
    """`base` is the recipe's folder: relative paths of a section start there."""

    transport: Transport
    platforms: tuple[Platform, ...]
    base: Path
    progress: Progress


@dataclass(frozen=True, slots=True)
class Asked:
    """One wish of the recipe, what it pulled in beyond itself, and what all of that weighs in bytes."""

    what: str
    pulled_in: tuple[str, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Resolution:
    """`why` maps an item's name to the chain that brought it in, wish first; `notes` are lines for the user."""

    items: tuple[Item, ...]
    asked: tuple[Asked, ...] = ()
    why: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """One address that the crate serves: a generated document in `body`, or a blob of the crate by `sha256`.

    `path` is below the crate's root, without a leading slash ("apt/main/dists/bookworm/InRelease"). `accepts` are the
    media types for which this variant of the path is served; the variant with none is the default. An `origin_bound`
    body holds `ORIGIN` wherever the crate's own base URL belongs.
    """

    path: str
    media_type: str
    body: bytes = b""
    sha256: str = ""
    size: int = 0
    accepts: tuple[str, ...] = ()
    origin_bound: bool = False


class RepositorySigner(Protocol):
    """The OpenPGP key that a crate signs its repositories with. Signatures are dated when the signer was made."""

    def public_key(self) -> bytes:
        """Armored."""
        ...

    def clearsign(self, text: bytes) -> bytes:
        """`text` and its signature in one document (RFC 9580, section 7)."""
        ...

    def detach(self, data: bytes) -> bytes:
        """An armored signature that stands beside `data`."""
        ...


class PublishContext(Protocol):
    """What `publish` may ask of the crate."""

    @property
    def newest(self) -> datetime:
        """The date of the newest content, in UTC: what `Date:` fields say. Never the clock, which boards lack."""
        ...

    @property
    def signer(self) -> RepositorySigner: ...

    def open(self, sha256: str) -> BinaryIO:
        """A blob of the crate."""
        ...

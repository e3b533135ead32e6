"""crate.json: the signed document that everything else in a crate hangs from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from archive import documents
from archive.errors import MalformedRelease, OverLimit, UnknownField, UnknownVersion
from archive.limits import LIMITS
from archive.names import check_distinct, check_file_name

VERSION = 1
NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
"""Crate and channel names: they become file names and keys of the policy."""
LARGEST_SERIAL = (1 << 53) - 1
"""The last integer that every JSON reader keeps exactly."""
_HEX = re.compile(r"[0-9a-f]{64}")
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_TEXT_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Pin:
    """Size in bytes and sha256 (hex) of a document that crate.json vouches for."""

    size: int
    sha256: str

    def to_json(self) -> dict[str, Any]:
        return {"size": self.size, "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class BootFile:
    """A blob that sets up the appliance itself: a wheel.

    `platform` (`linux/arm64`) and `python` (`3.11`) say where it fits, several with commas between; empty: anywhere.
    """

    file: str
    size: int
    sha256: str
    platform: str = ""
    python: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "size": self.size,
            "sha256": self.sha256,
            "platform": self.platform,
            "python": self.python,
        }


@dataclass(frozen=True, slots=True)
class Release:
    """One release of a crate. `serial` rises with every release of a `name`; times are UTC, whole seconds.

    `index`, `oci_layout` and `oci_index` pin members of the archive, `catalogue`, `recipe` and `lock` pin blobs.
    """

    name: str
    channel: str
    serial: int
    created: datetime
    expires: datetime | None
    index: Pin
    oci_layout: Pin
    oci_index: Pin
    catalogue: Pin
    recipe: Pin
    lock: Pin
    boot: tuple[BootFile, ...]
    writer: str
    chunk: int = LIMITS.chunk
    v: int = VERSION

    def leading(self) -> tuple[Pin, ...]:
        """The blobs that lead the index, each once: catalogue, lock, recipe, boot files."""
        pins = [self.catalogue, self.lock, self.recipe, *(Pin(file.size, file.sha256) for file in self.boot)]
        return tuple(dict.fromkeys(pins))

    def to_bytes(self) -> bytes:
        return documents.canonical(
            {
                "v": self.v,
                "name": self.name,
                "channel": self.channel,
                "serial": self.serial,
                "created": time_text(self.created),
                "expires": time_text(self.expires) if self.expires else None,
                "chunk": self.chunk,
                "index": self.index.to_json(),
                "oci-layout": self.oci_layout.to_json(),
                "index.json": self.oci_index.to_json(),
                "catalogue": self.catalogue.to_json(),
                "recipe": self.recipe.to_json(),
                "lock": self.lock.to_json(),
                "boot": [file.to_json() for file in self.boot],
                "writer": self.writer,
            }
        )

    @classmethod
    def parse(cls, signed: bytes) -> Release:
        """Reads crate.json and checks all of it; nothing is trusted by that.

        Raises `OverLimit`, `InvalidValue` (not JSON, a duplicate key, an unsafe file name), `UnknownVersion`,
        `UnknownField`, `MalformedRelease`.
        """
        if len(signed) > LIMITS.signed:
            raise OverLimit(f"crate.json has {len(signed)} bytes; {LIMITS.signed} are allowed")
        document = documents.parse(signed, "crate.json")
        if not isinstance(document, dict) or type(document.get("v")) is not int:
            raise MalformedRelease("crate.json is not an object with a version in `v`")
        if document["v"] != VERSION:
            raise UnknownVersion(
                f"this crate has format version {document['v']}; this program reads version {VERSION}",
                hint="use a newer release of BuzzCrate to read it",
            )
        fields = _Fields(document, "crate.json")
        release = cls(
            name=fields.name("name"),
            channel=fields.name("channel"),
            serial=fields.integer("serial", 1, LARGEST_SERIAL),
            created=fields.time("created"),
            expires=fields.time_or_null("expires"),
            index=fields.pin("index", LIMITS.index),
            oci_layout=fields.pin("oci-layout", LIMITS.oci_layout),
            oci_index=fields.pin("index.json", LIMITS.oci_index),
            catalogue=fields.pin("catalogue", LIMITS.catalogue),
            recipe=fields.pin("recipe", LIMITS.recipe),
            lock=fields.pin("lock", LIMITS.lock),
            boot=fields.boot("boot"),
            writer=fields.text("writer"),
            chunk=fields.integer("chunk", LIMITS.smallest_chunk, LIMITS.chunk),
            v=fields.integer("v", VERSION, VERSION),
        )
        fields.finish()
        if release.chunk & (release.chunk - 1):
            raise MalformedRelease(f"crate.json: `chunk` is {release.chunk}, which is not a power of two")
        if release.to_bytes() != signed:
            raise MalformedRelease("crate.json is not spelled as sorted, compact JSON")
        return release


def time_text(moment: datetime) -> str:
    """RFC 3339 in UTC with whole seconds."""
    return moment.astimezone(UTC).strftime(_TIME)


class _Fields:
    """Takes known fields out of a JSON object, one by one; what is left over is unknown."""

    def __init__(self, document: Mapping[str, Any], where: str) -> None:
        self._left = dict(document)
        self._where = where

    def _take(self, key: str, fits: Callable[[Any], bool], wanted: str) -> Any:
        if key not in self._left:
            raise MalformedRelease(f"{self._where} has no `{key}`")
        value = self._left.pop(key)
        if not fits(value):
            raise MalformedRelease(f"{self._where}: `{key}` is not {wanted}")
        return value

    def integer(self, key: str, least: int, most: int) -> int:
        wanted = f"an integer from {least} to {most}"
        return int(self._take(key, lambda value: type(value) is int and least <= value <= most, wanted))

    def name(self, key: str) -> str:
        wanted = "a name of lower-case letters, digits and . _ - (64 at most)"
        return str(self._take(key, lambda value: isinstance(value, str) and NAME.fullmatch(value) is not None, wanted))

    def text(self, key: str) -> str:
        def fits(value: Any) -> bool:
            return isinstance(value, str) and len(value) <= _TEXT_LENGTH and value.isprintable()

        return str(self._take(key, fits, f"printable text of at most {_TEXT_LENGTH} characters"))

    def sha256(self, key: str) -> str:
        wanted = "64 lower-case hex digits"
        return str(self._take(key, lambda value: isinstance(value, str) and _HEX.fullmatch(value) is not None, wanted))

    def time(self, key: str) -> datetime:
        text = self.text(key)
        try:
            return datetime.strptime(text, _TIME).replace(tzinfo=UTC)
        except ValueError as error:
            raise MalformedRelease(f"{self._where}: `{key}` is not a time like 2026-11-23T09:00:00Z") from error

    def time_or_null(self, key: str) -> datetime | None:
        if key in self._left and self._left[key] is None:
            del self._left[key]
            return None
        return self.time(key)

    def pin(self, key: str, limit: int) -> Pin:
        inner = _Fields(self._take(key, lambda value: isinstance(value, dict), "an object"), f"{self._where}: `{key}`")
        size = inner.integer("size", 0, LARGEST_SERIAL)
        pin = Pin(size, inner.sha256("sha256"))
        inner.finish()
        if size > limit:
            raise OverLimit(f"{self._where}: `{key}` has {size} bytes; {limit} are allowed")
        return pin

    def boot(self, key: str) -> tuple[BootFile, ...]:
        values = self._take(key, lambda value: isinstance(value, list), "a list")
        if len(values) > LIMITS.boot_files:
            raise OverLimit(f"{self._where}: `{key}` lists {len(values)} files; {LIMITS.boot_files} are allowed")
        files = tuple(self._boot_file(value, f"{self._where}: `{key}`[{n}]") for n, value in enumerate(values))
        check_distinct(file.file for file in files)
        return files

    @staticmethod
    def _boot_file(value: Any, where: str) -> BootFile:
        if not isinstance(value, dict):
            raise MalformedRelease(f"{where} is not an object")
        fields = _Fields(value, where)
        file = BootFile(
            file=check_file_name(fields.text("file")),
            size=fields.integer("size", 0, LIMITS.blob),
            sha256=fields.sha256("sha256"),
            platform=fields.text("platform"),
            python=fields.text("python"),
        )
        fields.finish()
        return file

    def finish(self) -> None:
        """Raises `UnknownField` when something was not taken."""
        if self._left:
            raise UnknownField(
                f"{self._where} has an unknown field `{min(self._left)}`",
                hint="a newer release of BuzzCrate wrote this crate; use that to read it",
            )

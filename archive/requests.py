"""What a crate was asked for and did not have, and what it holds: one small signed file that travels back.

Lines of text from the first byte to the last, so that it survives mail and can be read: a header, the requests, the
inventory in base64, and an armored SSH signature of all that stands before it (docs/requests.md has every byte).

Blobs are named by the first 16 bytes of their sha256: a 60 GB crate's inventory is half as large that way, and a stick
that leaves out a blob by mistake is refused on import, so nothing but completeness depends on them.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from archive import documents, sshsig
from archive.errors import InvalidValue, MalformedRequests, MalformedSlot, Unsigned, WrongNamespace, WrongSignature
from archive.keys import PublicKey
from archive.limits import MIB
from archive.platforms import Platform
from archive.release import LARGEST_SERIAL, NAME
from archive.signing import KeyFile
from archive.sshsig import Signature

NAMESPACE = "buzzcrate-requests@v1"
VERSION = 1
KINDS = ("image", "chart", "apt", "suite", "pypi", "npm", "file", "path", "dns")
"""`suite` is a suite or architecture that an apt repository lacks, `dns` a host name, `path` what is none of these."""
PREFIX = 16
"""How many bytes of a sha256 name a blob in the inventory."""
LARGEST = 32 * MIB
"""Of the whole file: 790,000 blobs, as many as an index can name, take 17 MiB."""
LONGEST_NAME = 512
MOST = 10_000
"""Requests in one file."""
_BEGIN = b"-----BEGIN SSH SIGNATURE-----\n"
_WIDTH = 64  # characters of base64 on a line: three blobs
_HEX = re.compile(r"[0-9a-f]{64}")
_PRINTABLE = re.compile(rf"[^\x00-\x1f\x7f]{{1,{LONGEST_NAME}}}")
_HINT = "have it exported and copied again: crate-appliance requests export FILE"


@dataclass(frozen=True, slots=True)
class Unmet:
    """Something that was asked for `count` times and is not there.

    `first` and `last` are seconds since 1970 by the crate's clock, `asked_by` the addresses of some who asked, the
    latest first.
    """

    kind: str
    name: str
    count: int
    first: int
    last: int
    asked_by: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        return (self.kind, self.name)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "name": self.name,
            "count": self.count,
            "first": self.first,
            "last": self.last,
            "asked_by": list(self.asked_by),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Unmet:
        """Raises `KeyError`, `TypeError` or `ValueError`."""
        found = cls(**{**value, "asked_by": tuple(value["asked_by"])})
        numbers = (found.count, found.first, found.last)
        if found.kind not in KINDS or not all(type(it) is int and 0 <= it <= LARGEST_SERIAL for it in numbers):
            raise ValueError("no such request")
        if not all(_PRINTABLE.fullmatch(text) for text in (found.name, *found.asked_by)):
            raise ValueError("text that cannot be shown")
        return found


@dataclass(frozen=True, slots=True)
class Holding:
    """Blobs that the store holds because of one crate; `digest` is the sha256 of its crate.json.

    `name` is empty for what no crate brought: what people pushed, and what the store made itself. `blobs` are prefixes
    of sha256 digests, sorted and joined.
    """

    name: str
    serial: int
    digest: str
    active: bool
    blobs: bytes

    @property
    def count(self) -> int:
        return len(self.blobs) // PREFIX

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "serial": self.serial,
            "digest": self.digest,
            "active": self.active,
            "blobs": self.count,
        }


@dataclass(frozen=True, slots=True)
class Export:
    """The file's content. Each blob is in one holding only.

    `box` is what the machine calls itself, `made` when (seconds since 1970, by its clock), `platforms` what its active
    crates are for.
    """

    box: str
    made: int
    platforms: tuple[Platform, ...]
    holdings: tuple[Holding, ...]
    requests: tuple[Unmet, ...]

    def to_bytes(self) -> bytes:
        """What is signed."""
        header = {
            "requests": VERSION,
            "box": self.box,
            "made": self.made,
            "platforms": [str(platform) for platform in self.platforms],
            "holdings": [holding.to_json() for holding in self.holdings],
            "unmet": len(self.requests),
        }
        lines = [documents.canonical(header), *(documents.canonical(it.to_json()) for it in self.requests)]
        encoded = base64.b64encode(b"".join(holding.blobs for holding in self.holdings))
        lines += [encoded[start : start + _WIDTH] for start in range(0, len(encoded), _WIDTH)]
        return b"\n".join(lines) + b"\n"

    def holders(self) -> dict[bytes, Holding]:
        """For every blob's prefix why the store holds it."""
        return {
            holding.blobs[at : at + PREFIX]: holding
            for holding in self.holdings
            for at in range(0, len(holding.blobs), PREFIX)
        }

    @classmethod
    def parse(cls, signed: bytes, where: str) -> Export:
        """What `to_bytes` wrote; the signature is not looked at. Raises `MalformedRequests`."""
        try:
            return _parse(signed.split(b"\n"))
        except InvalidValue as error:
            raise MalformedRequests(f"{where} cannot be read: {error.what}", hint=_HINT) from error
        except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
            raise MalformedRequests(f"{where} is no file of requests: {error}", hint=_HINT) from error


def join(digests: Iterable[bytes]) -> bytes:
    """The `blobs` of a holding, from whole sha256 digests."""
    return b"".join(sorted(digest[:PREFIX] for digest in digests))


def prefix(sha256: str) -> bytes:
    """How the inventory calls a blob, from its sha256 in hex."""
    return bytes.fromhex(sha256)[:PREFIX]


def sign(export: Export, key: KeyFile) -> bytes:
    """The whole file."""
    signed = export.to_bytes()
    return signed + key.sign(signed, NAMESPACE)


@dataclass(frozen=True, slots=True)
class Signed:
    """A file whose signature fits; whether its key is one to believe is for the caller to say."""

    export: Export
    key: PublicKey


def read(data: bytes, where: str) -> Signed:
    """Parses a file and compares its signature; `where` names it in messages.

    Raises `MalformedRequests`, `Unsigned`, `WrongNamespace`, `WrongSignature`.
    """
    if len(data) > LARGEST:
        raise MalformedRequests(f"{where} has {len(data)} bytes, and no file of requests has more than {LARGEST}")
    if not data.startswith(b"{"):
        raise MalformedRequests(f"{where} is no file of requests", hint=_HINT)
    signed, begin, rest = data.partition(_BEGIN)
    if not begin:
        raise Unsigned(f"{where} is not signed, or ends too early", hint=_HINT)
    try:
        signature = sshsig.parse_armored(begin + rest)
    except MalformedSlot as error:
        raise MalformedRequests(f"{where}: the signature at its end cannot be read", hint=_HINT) from error
    _check(signature, signed, where)
    return Signed(Export.parse(signed, where), signature.key)


def _check(signature: Signature, signed: bytes, where: str) -> None:
    if signature.namespace != NAMESPACE:
        raise WrongNamespace(f"{where} is signed for {signature.namespace[:80]!r}, not for {NAMESPACE!r}")
    if not sshsig.verify(signature, signed, NAMESPACE):
        raise WrongSignature(f"{where} is not what was signed: it was changed or damaged", hint=_HINT)


def _parse(lines: list[bytes]) -> Export:
    header = documents.parse(lines[0], "its first line")
    if header["requests"] != VERSION:
        raise ValueError(f"it is of version {header['requests']!r}")
    if lines.pop() != b"":
        raise ValueError("its last line has no end")
    count = header["unmet"]
    if type(count) is not int or not 0 <= count <= min(MOST, len(lines) - 1):
        raise ValueError("it has fewer lines than it says")
    requests = tuple(Unmet.from_json(documents.parse(line, "a request")) for line in lines[1 : count + 1])
    try:
        blobs = base64.b64decode(b"".join(lines[count + 1 :]), validate=True)
    except binascii.Error as error:
        raise ValueError("its inventory is not base64") from error
    holdings = tuple(_holdings(header["holdings"], blobs))
    if not _PRINTABLE.fullmatch(header["box"]) or type(header["made"]) is not int:
        raise ValueError("a name that cannot be shown, or a time that is none")
    platforms = tuple(Platform.parse(text) for text in header["platforms"])
    export = Export(header["box"], header["made"], platforms, holdings, requests)
    if export.to_bytes() != b"\n".join(lines) + b"\n":
        raise ValueError("it is not spelled as the format spells it")
    return export


def _holdings(listed: list[Mapping[str, Any]], blobs: bytes) -> Iterator[Holding]:
    at = 0
    for one in listed:
        name, serial, digest, active = one["name"], one["serial"], one["digest"], one["active"]
        size = one["blobs"] * PREFIX
        by_nobody = (name, serial, digest, active) == ("", 0, "", False)
        if not by_nobody and not (NAME.fullmatch(name) and type(serial) is int and _HEX.fullmatch(digest)):
            raise ValueError("a crate without name, serial and digest")
        if type(active) is not bool or size < 0 or at + size > len(blobs):
            raise ValueError("its inventory is shorter than it says")
        yield Holding(name, serial, digest, active, blobs[at : at + size])
        at += size
    if at != len(blobs):
        raise ValueError("its inventory is longer than it says")

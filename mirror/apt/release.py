"""A suite's Release file: what it pins, and until when upstream vouches for it (Debian's RepositoryFormat)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from mirror.apt import stanza
from mirror.errors import BadIndex, Expired

_PIN = re.compile(r"([0-9a-f]{64})[ \t]+([0-9]{1,15})[ \t]+(\S{1,500})")
_PATH = re.compile(r"[A-Za-z0-9._+~@:=-]+(?:/[A-Za-z0-9._+~@:=-]+)*")


@dataclass(frozen=True, slots=True)
class Pin:
    """What a signed index says of a file: size in bytes, and sha256 in hex."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Release:
    """The fields that decide something. `pins` maps paths below the suite; paths that leave it are not taken in."""

    suite: str
    codename: str
    date: datetime | None
    valid_until: datetime | None
    architectures: tuple[str, ...]
    components: tuple[str, ...]
    by_hash: bool
    all_apart: bool
    priority: int
    pins: Mapping[str, Pin]

    @classmethod
    def parse(cls, data: bytes, where: str) -> Release:
        """Raises `BadIndex`, naming `where`, for what is no Release file or pins nothing by SHA256."""
        fields = stanza.parse(stanza.decode(data, where), where)
        pins = {}
        for line in fields.get("sha256", "").splitlines():
            if not line.strip():
                continue
            match = _PIN.fullmatch(line.strip())
            if not match:
                raise BadIndex(f"{where}: {line.strip()[:120]!r} pins no file")
            if _PATH.fullmatch(match[3]) and ".." not in match[3].split("/"):
                pins[match[3]] = Pin(match[1], int(match[2]))
        if not pins:
            raise BadIndex(f"{where} pins nothing by SHA256", hint="MD5 and SHA1 are not believed")
        architectures = tuple(fields.get("architectures", "").split())
        return cls(
            suite=fields.get("suite", ""),
            codename=fields.get("codename", ""),
            date=_date(fields.get("date", ""), where),
            valid_until=_date(fields.get("valid-until", ""), where),
            architectures=architectures,
            components=tuple(fields.get("components", "").split()),
            by_hash=fields.get("acquire-by-hash", "").lower() == "yes",
            all_apart="all" in architectures and fields.get("no-support-for-architecture-all", "") != "Packages",
            priority=_priority(*(fields.get(name) == "yes" for name in ("notautomatic", "butautomaticupgrades"))),
            pins=pins,
        )

    def check_valid(self, now: datetime, where: str) -> None:
        """Raises `Expired` when `now` is past Valid-Until."""
        if self.valid_until and now > self.valid_until:
            raise Expired(
                f"{where} was valid until {self.valid_until:%Y-%m-%d %H:%M} UTC",
                hint="the mirror no longer follows its archive, or somebody replays an old index; "
                "for a snapshot, set `check-valid-until = false`",
            )

    def packages_path(self, component: str, architecture: str) -> str | None:
        """The best index there is for them, by how it is packed, or None."""
        folder = f"{component}/binary-{architecture}/" if component else ""
        return next((path for end in PACKINGS if (path := f"{folder}Packages{end}") in self.pins), None)


PACKINGS = (".zst", ".xz", ".gz", "")
"""How an index may be packed, best first."""


def _priority(not_automatic: bool, but_upgrades: bool) -> int:
    return (100 if but_upgrades else 1) if not_automatic else 500


def _date(text: str, where: str) -> datetime | None:
    if not text:
        return None
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except (TypeError, ValueError) as error:
        raise BadIndex(f"{where}: {text[:60]!r} is not a date") from error

"""A Packages index, held as the bytes it came in: names and provisions are known, a stanza is parsed when asked for.

Debian's main has 62,666 stanzas in 50 MB; to parse them all takes seconds, to find where they begin a third of one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property

from archive.errors import InvalidValue
from mirror.apt import stanza
from mirror.apt.relations import Group, Relation, parse_relations
from mirror.apt.versions import check_version
from mirror.errors import BadIndex

_HEADS = re.compile(rb"^(Package|Provides):[ \t]*([^\n]*(?:\n[ \t][^\n]*)*)\n?", re.MULTILINE)
_PROVIDED = re.compile(rb"(?:^|,)\s*([^\s,(:]+)")
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*", re.IGNORECASE)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PRIORITIES = {"required": 1, "important": 2, "standard": 3, "optional": 4, "extra": 5}
NAME_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an index comes from. `priority` is apt's pin: 500, 100 or 1 (apt_preferences(5)); lower `order` was listed
    first.
    """

    url: str
    suite: str
    component: str
    codename: str = ""
    priority: int = 500
    order: int = 0
    evidence: str = ""


@dataclass(frozen=True, eq=False)
class Package:
    """One version of one package, as its stanza has it. Two are equal when they are the same object."""

    name: str
    version: str
    architecture: str
    origin: Origin
    text: str
    fields: dict[str, str] = field(repr=False)
    position: int = 0

    @classmethod
    def parse(cls, text: str, origin: Origin, position: int = 0) -> Package:
        """Raises `BadIndex` for a stanza that breaks its grammar or lacks what every package has."""
        where = f"{origin.url} {origin.suite}/{origin.component}"
        fields = stanza.parse(text, where)
        name, version = fields.get("package", ""), fields.get("version", "")
        if not _NAME.fullmatch(name) or len(name) > NAME_LENGTH:
            raise BadIndex(f"{where}: {name[:80]!r} is not a name of a package")
        try:
            check_version(version)
        except InvalidValue as error:
            raise BadIndex(f"{where}: {name}: {error}") from error
        return cls(name, version, fields.get("architecture", ""), origin, text, fields, position)

    @property
    def multi_arch(self) -> str:
        return self.fields.get("multi-arch", "no").lower()

    @property
    def essential(self) -> bool:
        return self.fields.get("essential", "").lower() == "yes"

    @property
    def important(self) -> bool:
        """What apt calls Important: removal is refused (`Protected:` in newer archives)."""
        return "yes" in {self.fields.get("important", "").lower(), self.fields.get("protected", "").lower()}

    @property
    def priority(self) -> int:
        """1 (required) to 5 (extra), and 0 where none is stated, as apt has it."""
        stated = self.fields.get("priority", "").lower()
        return _PRIORITIES.get(stated, 5) if stated else 0

    @property
    def source(self) -> tuple[str, str]:
        """Name and version of the source package that this was built from."""
        name, _, version = self.fields.get("source", self.name).partition(" ")
        return name, version.strip("() ") or self.version

    @property
    def sha256(self) -> str:
        digest = self.fields.get("sha256", "")
        if not _SHA256.fullmatch(digest):
            raise BadIndex(f"{self.origin.url} {self.origin.suite}: {self.name} has no SHA256")
        return digest

    @property
    def size(self) -> int:
        size = self.fields.get("size", "")
        if not (size.isascii() and size.isdigit() and len(size) <= 12):
            raise BadIndex(f"{self.origin.url} {self.origin.suite}: {self.name} has no usable Size")
        return int(size)

    @property
    def filename(self) -> str:
        """Upstream's path below the repository, checked: it is joined to a URL. Raises `BadIndex`."""
        path = self.fields.get("filename", "")
        words = path.removeprefix("./").split("/")
        hostile = any(word in {"", ".", ".."} or ("%" in word and "/" in word) for word in words)
        if hostile or len(path) > 1024 or not re.fullmatch(r"[A-Za-z0-9._+~@:=,/%-]+", path) or "%2f" in path.lower():
            raise BadIndex(f"{self.origin.url} {self.origin.suite}: {self.name} has the file name {path[:120]!r}")
        return path.removeprefix("./")

    @cached_property
    def depends(self) -> tuple[Group, ...]:
        """What must be there: Pre-Depends, then Depends, as apt takes them."""
        return self.relations("pre-depends") + self.relations("depends")

    @cached_property
    def recommends(self) -> tuple[Group, ...]:
        return self.relations("recommends")

    @cached_property
    def excludes(self) -> tuple[Relation, ...]:
        """What may not be there beside it: Conflicts and Breaks."""
        return tuple(group[0] for group in self.relations("conflicts") + self.relations("breaks"))

    @cached_property
    def provides(self) -> tuple[tuple[str, str], ...]:
        """(name, version or empty) of what it stands in for."""
        return tuple((group[0].name, group[0].version) for group in self.relations("provides"))

    def relations(self, name: str) -> tuple[Group, ...]:
        text = self.fields.get(name, "")
        try:
            return parse_relations(text) if text else ()
        except (BadIndex, InvalidValue) as error:
            where = f"{self.origin.url} {self.origin.suite}"
            raise BadIndex(f"{where}: {self.name} {self.version}, {name.capitalize()}: {error}") from error

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class PackagesIndex:
    """The packages of one suite, component and architecture."""

    def __init__(self, data: bytes | bytearray, origin: Origin) -> None:
        self.origin = origin
        self._data = data
        self._parsed: dict[int, Package] = {}
        self._names: dict[str, int | list[int]] = {}
        self._providers: dict[str, list[int]] = {}
        for match in _HEADS.finditer(data):
            if match[1] == b"Package":
                self._add(self._names, match[2], match.start())
            else:
                for provided in _PROVIDED.findall(match[2]):
                    self._providers.setdefault(provided.decode("latin-1"), []).append(match.start())

    @staticmethod
    def _add(names: dict[str, int | list[int]], raw: bytes, position: int) -> None:
        name = raw.strip().decode("latin-1")
        known = names.setdefault(name, position)
        if known is not position:
            names[name] = [known, position] if isinstance(known, int) else [*known, position]

    def __len__(self) -> int:
        return len(self._names)

    def names(self) -> list[str]:
        return list(self._names)

    def named(self, name: str) -> list[Package]:
        """Every version of `name` in this index."""
        known = self._names.get(name, [])
        return [self._at(position) for position in ([known] if isinstance(known, int) else known)]

    def provided_by(self, name: str) -> list[Package]:
        """Every package whose `Provides:` holds `name`."""
        return [self._at(position) for position in self._providers.get(name, ())]

    def essential(self) -> list[Package]:
        return [self._at(match.start()) for match in re.finditer(rb"^Essential:[ \t]*yes", self._data, re.MULTILINE)]

    def mention(self, name: str) -> tuple[int, int, int] | None:
        """Where apt first meets `name` in this index: (position of the stanza, rank of the field in it, position).

        apt numbers packages as it meets them, be it as a stanza or in somebody's relations, and breaks ties between
        providers by that number.
        """
        pattern = re.compile(
            rb"^(Package|Pre-Depends|Depends|Conflicts|Breaks|Recommends|Suggests|Replaces|Enhances|Provides):"
            rb"(?:[^\n]*[ ,|])?" + re.escape(name.encode()) + rb"(?=[ ,|(:\n])",
            re.MULTILINE,
        )
        own = self._names.get(name, len(self._data))
        match = self._search(name.encode(), pattern, (own if isinstance(own, int) else own[0]) + NAME_LENGTH)
        return (self._start(match.start()), _FIELD_ORDER[match[1]], match.end()) if match else None

    def _search(self, name: bytes, pattern: re.Pattern[bytes], end: int) -> re.Match[bytes] | None:
        # bytes.find is thirty times as fast as the pattern, which is then tried on the one line.
        position = self._data.find(name, 0, end)
        while position >= 0:
            line = self._data.rfind(b"\n", 0, position) + 1
            match = pattern.match(self._data, line)
            if match:
                return match
            position = self._data.find(name, position + 1, end)
        return None

    def _start(self, position: int) -> int:
        gap = self._data.rfind(b"\n\n", 0, position + 1)
        return gap + 2 if gap >= 0 else 0

    def _at(self, position: int) -> Package:
        start = self._start(position)
        known = self._parsed.get(start)
        if known is None:
            end = self._data.find(b"\n\n", start)
            raw = bytes(self._data[start : end if end >= 0 else len(self._data)]).strip(b"\n")
            where = f"{self.origin.url} {self.origin.suite}/{self.origin.component}"
            known = self._parsed[start] = Package.parse(stanza.decode(raw, where), self.origin, start)
        return known


# The order in which apt reads the fields of a stanza.
_FIELD_ORDER = {
    name: rank
    for rank, name in enumerate(
        [
            b"Package",
            b"Pre-Depends",
            b"Depends",
            b"Conflicts",
            b"Breaks",
            b"Recommends",
            b"Suggests",
            b"Replaces",
            b"Enhances",
            b"Provides",
        ]
    )
}

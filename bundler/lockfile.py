"""The lock, `bundle.lock`: everything that a crate will hold, pinned, so that one lock is one archive.

JSON with sorted keys, laid out for a diff: what nests no deeper than a list stands on one line, unless it is long, so
that a file, a package's chain or an image's root that changes is one changed line.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from archive import documents
from archive.catalogue import Item
from archive.digests import Digest
from archive.errors import InvalidValue
from archive.limits import LIMITS
from archive.names import check_file_name
from archive.platforms import Platform
from archive.release import time_text
from bundler.errors import LockInvalid
from bundler.wishes import Wish
from mirror.ecosystem import Asked

VERSION = 1
_LINE = 400  # characters; a longer list of words takes a line for each
_HINT = "crate-bundle lock writes it anew"


@dataclass(frozen=True, slots=True)
class Request:
    """One section of the recipe, and what it came to.

    `fingerprint` changes when what is asked changes, so that an update of something else can leave it alone. `items`
    are the names that `keyed` gives items. What resolving said is kept, so that nobody has to resolve again to read
    it: `asked` is each wish with what it pulled in, `why` the chains that brought things in (wish first, the thing
    itself last), `notes` what else there was to say.
    """

    section: str
    name: str
    fingerprint: str
    items: tuple[str, ...] = ()
    asked: tuple[Asked, ...] = ()
    why: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.section, self.name, self.fingerprint)

    def to_json(self) -> dict[str, Any]:
        full = {
            "section": self.section,
            "name": self.name,
            "fingerprint": self.fingerprint,
            "items": list(self.items),
            "asked": [{"what": it.what, "pulled_in": list(it.pulled_in), "size": it.size} for it in self.asked],
            "why": [list(chain) for chain in self.why],
            "notes": list(self.notes),
        }
        return {key: value for key, value in full.items() if value or key == "items"}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(
            value["section"],
            value["name"],
            value["fingerprint"],
            tuple(value["items"]),
            tuple(Asked(it["what"], tuple(it["pulled_in"]), it["size"]) for it in value.get("asked", ())),
            tuple(tuple(chain) for chain in value.get("why", ())),
            tuple(value.get("notes", ())),
        )


@dataclass(frozen=True, slots=True)
class Base:
    """A crate that brought `blobs` of what a difference leaves out; `digest` is the sha256 of its crate.json.

    Without a name, they were pushed where the difference was made for, and no crate brings them.
    """

    name: str
    serial: int
    digest: str
    blobs: int

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "serial": self.serial, "digest": self.digest, "blobs": self.blobs}


@dataclass(frozen=True, slots=True)
class Lock:
    """What `build` packs. `recipe` is the sha256 of the recipe that it belongs to; times are UTC, whole seconds.

    `requests` and `items` are in order: by key, and equal keys by content. `wishes` are what people on site asked for.
    `base` stands in the copy that travels in a difference, and in no other.
    """

    name: str
    channel: str
    serial: int
    created: datetime
    expires: datetime | None
    writer: str
    recipe: str
    platforms: tuple[Platform, ...]
    requests: tuple[Request, ...]
    items: tuple[Item, ...]
    wishes: tuple[Wish, ...] = ()
    base: tuple[Base, ...] = ()

    def to_bytes(self) -> bytes:
        value: dict[str, Any] = {
            "lock": VERSION,
            "name": self.name,
            "channel": self.channel,
            "serial": self.serial,
            "created": time_text(self.created),
            "expires": time_text(self.expires) if self.expires else None,
            "writer": self.writer,
            "recipe": self.recipe,
            "platforms": [str(platform) for platform in self.platforms],
            "requests": [request.to_json() for request in sorted(self.requests, key=lambda request: request.key)],
            "items": [item.to_json() for item in sorted(self.items, key=lambda item: item.key)],
        }
        if self.wishes:
            value["wishes"] = [wish.to_json() for wish in self.wishes]
        if self.base:
            value["base"] = [base.to_json() for base in self.base]
        return ("".join(_laid_out(value, "")) + "\n").encode()

    @classmethod
    def parse(cls, data: bytes, where: str) -> Self:
        """Raises `LockInvalid`."""
        try:
            value = documents.parse(data, where)
            if value["lock"] != VERSION:
                raise LockInvalid(f"{where} is of version {value['lock']}", hint=_HINT)
            requests = tuple(Request.from_json(it) for it in value["requests"])
            items = tuple(_checked(Item.from_json(item)) for item in value["items"])
            held = keyed(items)
            if absent := next((key for it in requests for key in it.items if key not in held), None):
                raise LockInvalid(f"{where} asks for {absent!r} and does not hold it", hint=_HINT)
            return cls(
                name=value["name"],
                channel=value["channel"],
                serial=value["serial"],
                created=_time(value["created"]),
                expires=_time(value["expires"]) if value["expires"] else None,
                writer=value["writer"],
                recipe=value["recipe"],
                platforms=tuple(Platform.parse(text) for text in value["platforms"]),
                requests=requests,
                items=items,
                wishes=tuple(Wish.from_json(it) for it in value.get("wishes", ())),
                base=tuple(Base(**it) for it in value.get("base", ())),
            )
        except InvalidValue as error:
            raise LockInvalid(f"{where} cannot be read: {error.what}", hint=_HINT) from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LockInvalid(f"{where} is no lock: {error}", hint=_HINT) from error

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """The lock at `path`, or None when there is none. Raises `LockInvalid`."""
        try:
            return cls.parse(path.read_bytes(), str(path))
        except FileNotFoundError:
            return None

    def same_content(self, other: Lock) -> bool:
        """Whether a crate of `other` would hold the same, whatever its serial, time and writer."""
        return all(getattr(self, name) == getattr(other, name) for name in ("recipe", "items", "requests", "wishes"))


def path_for(recipe: Path) -> Path:
    """`bundle.lock` beside `bundle.toml`."""
    return recipe.with_suffix(".lock")


def ordered(items: Iterable[Item]) -> tuple[Item, ...]:
    """As a lock holds them: each once, by key and, where two sections want different files of one release, content."""
    distinct = {(item.key, documents.canonical(item.to_json())): item for item in items}
    return tuple(item for _, item in sorted(distinct.items(), key=lambda member: member[0]))


def keyed(items: Iterable[Item]) -> dict[str, Item]:
    """Each item by the name that requests use: its key, and the sha256 of its content where others share the key."""
    alike: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        alike[" ".join(item.key)].append(item)
    found: dict[str, Item] = {}
    for key, several in alike.items():
        for item in several:
            content = hashlib.sha256(documents.canonical(item.to_json())).hexdigest()
            found[key if len(several) == 1 else f"{key} {content[:16]}"] = item
    return found


def sizes(items: Iterable[Item]) -> dict[str, int]:
    """Every blob of `items` once: sha256 to size in bytes."""
    return {file.sha256: file.size for item in items for file in item.files}


def _checked(item: Item) -> Item:
    """A lock comes from a repository and may have been edited: digests become paths, so they must be digests."""
    for file in item.files:
        Digest.parse(f"sha256:{file.sha256}")
        for alias in file.aliases:
            Digest.parse(alias)
        if file.path:
            check_file_name(file.path)
        if type(file.size) is not int or not 0 <= file.size <= LIMITS.blob:
            raise InvalidValue(f"{file.size!r} is not the size of a blob")
    return item


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def _laid_out(value: Any, indent: str) -> Iterator[str]:
    """One line for what nests no deeper than a list, else a line a member."""
    if _flat(value):
        yield json.dumps(value, sort_keys=True, ensure_ascii=False)
        return
    inner = indent + " "
    if isinstance(value, Mapping):
        members = [(f"{json.dumps(key)}: ", value[key]) for key in sorted(value)]
        begin, end = "{", "}"
    else:
        members = [("", member) for member in value]
        begin, end = "[", "]"
    yield begin
    for number, (label, member) in enumerate(members):
        yield ("," if number else "") + f"\n{inner}{label}"
        yield from _laid_out(member, inner)
    yield f"\n{indent}{end}"


def _flat(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(not isinstance(member, Mapping) and _flat(member) for member in value.values())
    if isinstance(value, list):
        return not any(isinstance(member, Mapping | list) for member in value) and len(str(value)) < _LINE
    return True

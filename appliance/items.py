"""What the crate holds, item by item: where each is served, and how to find it among tens of thousands.

The rows are written when a generation is published (`Publication.list_item`); what people push to the registry is read
beside them. A search looks for every word of it anywhere in a name or version.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from appliance.access import Access, Caller, covered
from appliance.database import Database
from archive.catalogue import Item

PAGE = 50
"""Items on one page of a search."""
LONGEST = 200
"""Characters of a search that are looked at."""
KINDS = ("image", "chart", "apt", "pypi", "npm", "file")
_WORDS = 8

# Where the files of a kind are served; an image's path is its repository.
_PATHS = {
    "apt": "apt/{path}",
    "pypi": "pypi/files/{name}/{path}",
    "npm": "npm/{path}",
    "chart": "helm/charts/{path}",
    "file": "files/{path}",
}
# Further names that a pattern of what is private may mean them by.
_NAMES: Mapping[str, Sequence[str]] = {
    "apt": ("apt/{repository}",),
    "pypi": ("pypi/{name}", "pypi/simple/{name}", "pypi/simple/{name}/"),
    "npm": ("npm/{name}",),
    "chart": ("charts/{name}",),
}
_HELD = (
    "SELECT kind, name, version, platform, platforms, origin, size, brought_by, contributed, path FROM items"
    " WHERE generation = (SELECT id FROM generations WHERE active = 1) AND path <> ''"
    " AND kind = :kind AND name = :name AND (version = :version OR :version IS NULL)"
    " UNION ALL SELECT 'image', repository, tag, '', '', '', 0, '', 1, repository FROM tags"
    " WHERE :kind = 'image' AND repository = :name AND (tag = :version OR :version IS NULL)"
)
_DETAILS = (
    "SELECT kind, name, version, group_concat(DISTINCT platform), max(platforms), sum(size), max(origin),"  # noqa: S608 - two fixed queries
    f" max(brought_by), max(contributed), min(path) FROM ({_HELD}) GROUP BY kind, name, version ORDER BY version"
)
_KEYS = (
    "SELECT kind, name, version, min(path) FROM items WHERE generation = ? AND path <> '' GROUP BY kind, name, version"
)

# For a kind a sign that nobody types, so that a search does not find it.
_SIGNS = {kind: chr(0xE000 + place) for place, kind in enumerate(KINDS)}
_KIND_OF = {sign: kind for kind, sign in _SIGNS.items()}

Key = tuple[str, str, str]
"""Kind, name and version."""


@dataclass(frozen=True, slots=True)
class Held:
    """One version of a name; `size` is that of all its platforms, in bytes, 0 where it is not known.

    `platforms` is empty for what is the same everywhere, `path` where it is served (of several platforms, one's), for
    an image its repository. `brought_by` is a crate's name and serial, or whoever published it here if `contributed`.
    """

    kind: str
    name: str
    version: str
    platforms: tuple[str, ...]
    size: int
    origin: str
    brought_by: str
    contributed: bool
    path: str


@dataclass(frozen=True, slots=True)
class Found:
    """A page of what a search found; `counts` is by kind, whichever kind was asked for. Pages count from 1."""

    items: tuple[Held, ...]
    counts: Mapping[str, int]
    total: int
    page: int
    pages: int


def path_of(item: Item) -> str:
    """Where the item is served; empty for what is only carried."""
    if item.kind == "image":
        repository = item.publish.get("repository", "")
        return repository if isinstance(repository, str) else ""
    form = _PATHS.get(item.kind)
    return form.format(name=item.name, path=item.files[0].path) if form and item.files else ""


def platforms_of(item: Item) -> str:
    """Those of an image, by spaces; of everything else each platform is an item of its own."""
    named = item.publish.get("platforms", ()) if item.kind == "image" else ()
    return " ".join(map(str, named)) if isinstance(named, list) else ""


def names_of(kind: str, name: str, path: str) -> tuple[str, ...]:
    """What somebody must be allowed to read in order to be told of an item."""
    repository = path.split("/")[1] if kind == "apt" and "/" in path else ""
    return (path, *(form.format(name=name, repository=repository) for form in _NAMES.get(kind, ())))


class Items:
    """What the active generation of a store holds, searched in memory. May be used from any thread.

    What is kept is a line an item, for as long as nothing else is published; details come from the database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._known: _Known | None = None

    def search(
        self, access: Access, caller: Caller, text: str = "", *, kind: str = "", page: int = 1, size: int = PAGE
    ) -> Found:
        """What `caller` may know of; all of it when there are no words in `text`. Not for the event loop's thread."""
        if not access.may_list(caller):
            return Found((), {}, 0, 1, 1)
        words = text[:LONGEST].lower().split()[:_WORDS]
        matching = [*self._matching(access, caller, words)]
        counts = Counter(key[0] for key in matching)
        chosen = [key for key in matching if key[0] == kind] if kind else matching
        if words:
            chosen.sort(key=lambda key: _rank(key[1].lower(), words[0]))
        pages = max(1, -(-len(chosen) // size))
        page = min(max(page, 1), pages)
        shown = chosen[(page - 1) * size : page * size]
        found = (held for key in shown for held in self._details(*key))
        return Found(tuple(found), {each: counts[each] for each in KINDS if counts[each]}, len(chosen), page, pages)

    def versions(self, access: Access, caller: Caller, kind: str, name: str) -> tuple[Held, ...]:
        """Every version of one name; none when there is none that `caller` may know of."""
        found = self._details(kind, name, None)
        return tuple(held for held in found if may_know(access, caller, held.kind, held.name, held.path))

    def _matching(self, access: Access, caller: Caller, words: Sequence[str]) -> Iterator[Key]:
        known = self._current(access.private)
        places: Iterable[int] = range(len(known.lines))
        for word in words:
            places = [place for place in places if word in known.lines[place].lower()]
        for place in places:
            name, version, sign = known.lines[place].split("\t")
            kind = _KIND_OF[sign]
            path = known.closed.get(place)
            if path is None or may_know(access, caller, kind, name, path):
                yield kind, name, version
        # what people push comes and goes without a generation, and is little
        pushed = self._database.reader.execute("SELECT repository, tag FROM tags ORDER BY repository, tag")
        for repository, tag in pushed:
            line = f"{repository}\t{tag}".lower()
            if all(word in line for word in words) and access.may_read(caller, repository):
                yield ("image", repository, tag)

    def _current(self, private: tuple[str, ...]) -> _Known:
        reader = self._database.reader
        row = reader.execute("SELECT id, dated FROM generations WHERE active = 1").fetchone()
        stamp = (row, private)  # every publication has a date of its own
        with self._lock:
            if self._known is None or self._known.stamp != stamp:
                self._known = None
                self._known = _Known.of(stamp, reader.execute(_KEYS, row[:1] if row else (None,)))
            return self._known

    def _details(self, kind: str, name: str, version: str | None) -> list[Held]:
        rows = self._database.reader.execute(_DETAILS, {"kind": kind, "name": name, "version": version})
        return [_held(row) for row in rows]


@dataclass(frozen=True, slots=True)
class _Known:
    """Keys in order, and the paths of those that are private to some.

    Each key is a line of name, version and a sign for its kind: tuples would take thrice the memory.
    """

    stamp: object
    lines: Sequence[str]
    closed: Mapping[int, str]

    @classmethod
    def of(cls, stamp: tuple[object, tuple[str, ...]], rows: Iterable[tuple[str, str, str, str]]) -> _Known:
        private, lines, closed = stamp[1], list[str](), dict[int, str]()
        for kind, name, version, path in rows:
            if kind not in _SIGNS:
                continue
            if private and any(covered(each, private) for each in names_of(kind, name, path)):
                closed[len(lines)] = path
            lines.append("\t".join((name.replace("\t", " "), version.replace("\t", " "), _SIGNS[kind])))
        return cls(stamp, lines, closed)


def may_know(access: Access, caller: Caller, kind: str, name: str, path: str) -> bool:
    return all(access.may_read(caller, each) for each in names_of(kind, name, path))


def _rank(name: str, word: str) -> int:
    """What is called just so comes first, if only by its last part (docker.io/library/nginx); then what begins so."""
    last = name.rpartition("/")[2]
    return (name != word) + (last != word) + (not last.startswith(word)) + (word not in last)


def _held(row: Sequence[object]) -> Held:
    kind, name, version, platform, platforms, size, origin, brought_by, contributed, path = row
    named = {*str(platform or "").split(","), *str(platforms or "").split()} - {""}
    return Held(
        kind=str(kind),
        name=str(name),
        version=str(version),
        platforms=tuple(sorted(named)),
        size=int(str(size or 0)),
        origin=str(origin),
        brought_by=str(brought_by),
        contributed=bool(contributed),
        path=str(path),
    )

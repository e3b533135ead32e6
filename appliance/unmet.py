"""Which of the requests written down are still not met: a crate that came since may have brought what was missing."""

from __future__ import annotations

from collections.abc import Iterable

from appliance import misses
from appliance.registry.contents import Contents
from appliance.requests import Requests
from appliance.store import Store
from archive.errors import InvalidValue
from archive.references import Reference
from archive.requests import Unmet


def unmet(store: Store) -> list[Unmet]:
    """The latest first."""
    return [request for request, is_met in judged(store) if not is_met]


def judged(store: Store) -> list[tuple[Unmet, bool]]:
    """Every request written down, and whether what it asks for is served by now."""
    requests = Requests(store.database).all()
    contents = Contents(store.database)
    served = _served(store) if requests else set()
    return [(it, _holds(contents, it.name) if it.kind == "image" else it.key in served) for it in requests]


def _served(store: Store) -> set[tuple[str, str]]:
    """What the paths of the active generation would be, had they been asked for in vain."""
    found: set[tuple[str, str]] = set()
    for (path,) in store.database.reader.execute(
        "SELECT path FROM published_files WHERE generation = (SELECT id FROM generations WHERE active = 1)"
    ):
        found.add(("path", path))
        miss = misses.of_path(path)
        if miss is not None:
            found.update((miss.kind, name) for name in _names(miss.kind, miss.name))
    return found


def _names(kind: str, name: str) -> Iterable[str]:
    """A version that is here meets the request for any."""
    if kind == "chart":
        return name, name.partition(" ")[0]
    return (name,)


def _holds(contents: Contents, name: str) -> bool:
    try:
        wanted = Reference.parse(name)
    except InvalidValue:
        return False
    digest = wanted.digest or contents.tagged(wanted.path, wanted.tag)
    return digest is not None and contents.manifest(wanted.path, digest) is not None

"""Why something is in a crate: the chains from what the recipe asks for to it, read from the lock alone."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from archive.oci_index import title
from bundler import lockfile
from bundler.errors import UnknownName
from bundler.lockfile import Lock, Request
from bundler.naming import same, same_image
from bundler.resolve import images


@dataclass(frozen=True, slots=True)
class Chain:
    """`links` lead from a wish of the section, by what each needs, to the thing itself."""

    section: str
    request: str
    links: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"section": self.section, "name": self.request, "chain": list(self.links)}


def why(lock: Lock, name: str) -> list[Chain]:
    """Every chain to what people call `name`: a package, an image, a chart, a file. Raises `UnknownName`."""
    found: list[Chain] = []
    known: set[str] = set()
    for request in lock.requests:
        for kind, links in _chains(request, lock):
            known.add(links[-1])
            meant = same_image(name, links[-1]) if kind == images.KIND else same(name, links[-1])
            if meant and (chain := Chain(request.section, request.name, links)) not in found:
                found.append(chain)
    if not found:
        near = difflib.get_close_matches(name, known, n=3)
        raise UnknownName(f"{name} is not in the lock", hint=f"there is {', '.join(near)}" if near else "")
    return found


def _chains(request: Request, lock: Lock) -> Iterator[tuple[str, tuple[str, ...]]]:
    """With the kind of what each ends at; an item that resolving gave no chain for was asked for by the section."""
    items = lockfile.keyed(lock.items)
    told = {chain[-1] for chain in request.why}
    for chain in request.why:  # a local chart is called what its folder is, mostly
        yield "", tuple(link for link, following in zip_longest(chain, chain[1:]) if link != following)
    for item in (items[key] for key in request.items):
        name = title(item) if item.kind == images.KIND else item.name
        if name not in told:
            yield item.kind, (name,) if name == request.name else (request.name, name)

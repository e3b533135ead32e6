"""What a lock costs: the bytes behind each thing asked for, what others share, what still has to be fetched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bundler import lockfile
from bundler.cache import Cache
from bundler.lockfile import Lock, Request
from mirror import origins


@dataclass(frozen=True, slots=True)
class Cost:
    """One request: its items and blobs, their bytes, and how many of those nothing listed before it has."""

    request: Request
    blobs: int
    size: int
    added: int


@dataclass(frozen=True, slots=True)
class Bill:
    """All requests of a lock; `to_fetch` is what neither the cache nor this machine's own files have. Bytes."""

    costs: tuple[Cost, ...]
    blobs: int
    size: int
    to_fetch: int

    def to_json(self) -> dict[str, Any]:
        return {
            "requests": [
                {
                    "section": cost.request.section,
                    "name": cost.request.name,
                    "items": len(cost.request.items),
                    "blobs": cost.blobs,
                    "size": cost.size,
                    "added": cost.added,
                    "asked": [
                        {"what": it.what, "pulled_in": list(it.pulled_in), "size": it.size} for it in cost.request.asked
                    ],
                    "notes": list(cost.request.notes),
                }
                for cost in self.costs
            ],
            "blobs": self.blobs,
            "size": self.size,
            "to_fetch": self.to_fetch,
        }


def bill(lock: Lock, cache: Cache) -> Bill:
    items = lockfile.keyed(lock.items)
    sizes = lockfile.sizes(lock.items)
    at_hand = {
        file.sha256
        for item in lock.items
        for file in item.files
        if (file.origin or item.origin).startswith(origins.LOCAL) or file.origin.startswith(origins.MADE)
    }
    seen: set[str] = set()
    costs: list[Cost] = []
    for request in lock.requests:
        own = lockfile.sizes(items[key] for key in request.items)
        costs.append(Cost(request, len(own), sum(own.values()), _total(own, seen)))
        seen |= own.keys()
    to_fetch = sum(size for sha256, size in sizes.items() if sha256 not in at_hand and not cache.has(sha256, size))
    return Bill(tuple(costs), len(sizes), sum(sizes.values()), to_fetch)


def _total(sizes: Mapping[str, int], without: set[str]) -> int:
    return sum(size for sha256, size in sizes.items() if sha256 not in without)

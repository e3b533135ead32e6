"""The disk: what takes it up, what is left, and what a collection would give back."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from appliance import collect
from appliance.store import Store


@dataclass(frozen=True, slots=True)
class Space:
    """In bytes: what crates, published things and unfinished uploads take, and the whole disk that they are on.

    `reclaimable` is what `crate-appliance gc` would free now.
    """

    crates: int
    published: int
    uploads: int
    database: int
    logs: int
    disk: int
    free: int
    reclaimable: int


def space(store: Store) -> Space:
    """Walks the store. Raises `sqlite3.Error`, `OSError`. Not for the event loop's thread."""
    usage = shutil.disk_usage(store.root)
    return Space(
        crates=_used(store.packs),
        published=_used(store.root / "loose"),
        uploads=_used(store.uploads),
        database=sum(_blocks(path) for path in store.root.glob("crate.db*")),
        logs=_used(store.root / "logs"),
        disk=usage.total,
        free=usage.free,
        reclaimable=collect.reclaimable(store),
    )


def _used(folder: Path) -> int:
    return sum(_blocks(Path(where) / name) for where, _, names in os.walk(folder) for name in names)


def _blocks(path: Path) -> int:
    with suppress(FileNotFoundError):  # an upload may end while we look
        return path.stat().st_blocks * 512
    return 0

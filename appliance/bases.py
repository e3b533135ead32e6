"""What to tell the user when a difference lacks what it was made upon: which crate brings it.

A difference says so in the lock that travels in it, under `base`: name, serial and digest of every crate that brought
something of what was left out.
"""

from __future__ import annotations

from typing import Any

from appliance.errors import MissingBase
from appliance.store import Store
from archive import documents
from archive.errors import Problem
from archive.limits import MIB
from archive.reader import Crate
from console import units

_LARGEST = 256 * MIB
"""Of a lock that is read for this; a larger one is left unread, and the message says less."""


def missing_base(store: Store, crate: Crate, blobs: int, size: int) -> MissingBase:
    """The problem to raise; so many absent `blobs`, of `size` bytes together, are not in the store."""
    release = crate.release
    what = (
        f"{release.name} {release.serial} is a difference, and {blobs} of the blobs that it leaves out"
        f" ({units.size(size)}) are not here"
    )
    wanted = _bases(store, crate)
    if not wanted:
        return MissingBase(what, hint="install the release that it builds on first, or have it built without --have")
    names = ", ".join(wanted)
    return MissingBase(
        f"{what}; {names} {'brings' if len(wanted) == 1 else 'bring'} them",
        hint=f"install {names} first, or have {release.name} {release.serial} built without --have",
    )


def _bases(store: Store, crate: Crate) -> list[str]:
    """Those that are not here; all of them, when each is here and a collection took what it had brought."""
    pin = crate.release.lock
    if pin.size > _LARGEST:
        return []
    try:
        told: list[dict[str, Any]] = documents.parse(crate.small_blob(pin), "the lock of this crate")["base"]
        bases = {base["digest"]: f"{base['name']} {base['serial']}" for base in told if base["name"]}
    except (Problem, KeyError, TypeError):
        return []
    held = {row[0] for row in store.database.reader.execute("SELECT digest FROM packs")}
    away = [name for digest, name in bases.items() if digest not in held]
    return away or list(bases.values())

"""Imports that nobody will go on with, and what is left of them on disk.

An import that was interrupted waits for its crate to come back, and keeps what it has until then. It waits in vain when
a later release has become the lowest that is accepted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from appliance import journal
from appliance.journal import Pending
from appliance.keyring import Keyring
from appliance.store import Store


def leftovers(store: Store, *, unfinished: bool) -> tuple[int, list[Path]]:
    """How many imports may be dropped, and all files that may then be removed, in an order that may be cut short.

    Those that could not be accepted any more; with `unfinished` those as well that could be gone on with. The caller
    holds the store's lock, so none of them is under way.
    """
    known = {row[0] for row in store.database.reader.execute("SELECT digest FROM packs")}
    given_up = {
        pending.digest
        for pending in journal.pending(store.packs)
        if pending.digest not in known and (unfinished or not _acceptable(store, pending))
    }
    files = [path for digest in sorted(given_up) for path in _files(store, digest)]
    return len(given_up), [*files, *_strays(store)]


def _acceptable(store: Store, pending: Pending) -> bool:
    floor = Keyring(store).floor(pending.name, pending.digest)
    if floor is None or pending.serial > floor.serial:
        return True
    return pending.serial == floor.serial and pending.digest == floor.sha256


def _files(store: Store, digest: str) -> Iterator[Path]:
    """The journal last: without it nobody knows what the others are."""
    final = store.pack_path(digest)
    candidates = (final.with_name(final.name + ".part"), final, store.journal_path(digest))
    return (path for path in candidates if path.exists())


def _strays(store: Store) -> list[Path]:
    """Halves of a pair: data without a journal that can be read, and journals that speak of no data."""
    journaled = {pending.digest for pending in journal.pending(store.packs)}
    parts = {path.name.removesuffix(".crate.part"): path for path in store.packs.glob("*.crate.part")}
    whole = {path.stem for path in store.packs.glob("*.crate")}
    journals = {path.name.removesuffix(".crate.journal"): path for path in store.packs.glob("*.crate.journal")}
    return [
        *(path for digest, path in parts.items() if digest not in journaled),
        *(path for digest, path in journals.items() if digest not in parts and digest not in whole),
    ]

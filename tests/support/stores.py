"""What a store holds, in a form that two moments can be compared in."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

from appliance.keyring import Keyring
from appliance.store import Store
from tests.support.crates import Key

# What differs between two stores of the same content, or between two moments without meaning anything.
_PASSING = {"crate.db", "crate.db-wal", "crate.db-shm", "lock"}


def dump(root: Path) -> dict[str, str]:
    """Every file with its digest, and every row of the database."""
    found = {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in _PASSING
    }
    connection = sqlite3.connect(root / "crate.db")
    try:
        found["crate.db"] = "\n".join(connection.iterdump())
    finally:
        connection.close()
    return found


def content(root: Path) -> dict[str, object]:
    """As `dump`, without ids and times: equal for stores that came to the same content another way."""
    queries = {
        "packs": "SELECT digest, name, serial, size FROM packs",
        "blobs": "SELECT hex(blobs.digest), blobs.size, packs.digest, offset FROM blobs"
        " LEFT JOIN packs ON packs.id = pack",
        "tags": "SELECT repository, tag, digest FROM published_tags JOIN generations ON id = generation WHERE active",
        "files": "SELECT path, hex(digest), size FROM published_files JOIN generations ON id = generation WHERE active",
        "floors": "SELECT name, serial, digest FROM floors",
    }
    connection = sqlite3.connect(root / "crate.db")
    try:
        found: dict[str, object] = {name: sorted(connection.execute(query)) for name, query in queries.items()}
    finally:
        connection.close()
    found["files on disk"] = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (root / "packs").iterdir()
    }
    return found


def trusting(root: Path, key: Key, name: str = "release") -> Store:
    """An open store that trusts `key`."""
    store = Store.open(root)
    Keyring(store).add(key.public.read_text(), name)
    return store


def served(store: Store, path: str) -> bytes:
    """What the active generation serves at `path`, read as the daemon reads it."""
    row = store.database.reader.execute(
        "SELECT digest FROM published_files JOIN generations ON id = generation WHERE active AND path = ?", (path,)
    ).fetchone()
    assert row is not None, f"{path} is not published"
    extent = store.database.reader.execute(
        "SELECT blobs.size, offset, packs.digest FROM blobs LEFT JOIN packs ON packs.id = pack WHERE blobs.digest = ?",
        row,
    ).fetchone()
    assert extent is not None, f"the blob of {path} is gone"
    where = store.blobs.loose_path(row[0].hex()) if extent[2] is None else store.pack_path(extent[2])
    with where.open("rb") as file:
        file.seek(extent[1])
        return file.read(extent[0])

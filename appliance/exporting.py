"""The file that goes back to whoever builds the sticks: what was asked for in vain, and what the store holds already.

Signed with a key of the crate's own, made once: `identity/id_ed25519` in the store, `.pub` beside it.
"""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from appliance import disk
from appliance.store import Store
from appliance.unmet import unmet
from archive import catalogue, requests
from archive.digests import Digest
from archive.errors import InvalidValue
from archive.keys import PublicKey
from archive.platforms import Platform
from archive.release import Release
from archive.requests import Export, Holding
from archive.signing import KeyFile, generate, load_signer

_ACTIVE = (
    "SELECT pack FROM generation_packs JOIN generations ON generations.id = generation"
    " WHERE generations.active = 1 AND generation_packs.active = 1"
)
_NAME = 128  # characters of what a crate calls itself


def export(store: Store, name: str = "") -> Export:
    """What goes into the file; `name` is what the crate calls itself, its host name when empty."""
    with store.database.snapshot() as connection:
        holdings = tuple(_holdings(connection))
        releases = _active(connection)
    return Export(
        box="".join(sign for sign in name or socket.gethostname() if sign.isprintable())[:_NAME] or "crate",
        made=int(time.time()),
        platforms=tuple(sorted(_platforms(store, releases))),
        holdings=holdings,
        requests=tuple(unmet(store)),
    )


def write(export: Export, key: KeyFile, out: Path) -> int:
    """Writes the signed file, whole or not at all; returns its size in bytes."""
    data = requests.sign(export, key)
    beside = out.with_name(f".{out.name}.part")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(out)
    finally:
        beside.unlink(missing_ok=True)
    disk.sync_folder(out.absolute().parent)
    return len(data)


def identity(store: Store) -> KeyFile:
    """The crate's own key, made when there is none yet. Raises `StoreFull`, `StoreFailed`, `MalformedKey`."""
    folder = store.root / "identity"
    with disk.problems("making the key of this crate"):
        if not folder.exists():
            beside = folder.with_name(f".identity-{os.getpid()}")
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir(mode=0o700)
            try:
                generate(beside / "id_ed25519", "", f"crate@{socket.gethostname()}")
                beside.rename(folder)
            except OSError:
                if not folder.exists():  # another process was first otherwise, and its key is the one
                    raise
            finally:
                shutil.rmtree(beside, ignore_errors=True)
            disk.sync_folder(store.root)
    found = load_signer(folder / "id_ed25519")
    assert isinstance(found, KeyFile), "nobody encrypts it"  # noqa: S101 - narrows the type
    return found


def public_key(store: Store) -> PublicKey:
    """What the connected side is told to believe."""
    return identity(store).public


def _holdings(connection: sqlite3.Connection) -> Iterator[Holding]:
    """Every blob of the store once: with the active crates first, the latest before the earlier, and what is left."""
    seen: set[bytes] = set()
    packs = connection.execute(
        f"SELECT id, name, serial, digest, id IN ({_ACTIVE}) AS active FROM packs"  # noqa: S608 - our own words
        " ORDER BY active DESC, created DESC, name"
    ).fetchall()
    for pack, name, serial, digest, active in packs:
        rows = connection.execute(
            "SELECT digest FROM pack_blobs JOIN blobs USING (digest) WHERE pack_blobs.pack = ?", (pack,)
        )
        fresh = {row[0] for row in rows} - seen
        seen |= fresh
        yield Holding(name, serial, digest, bool(active), requests.join(fresh))
    left = {row[0] for row in connection.execute("SELECT digest FROM blobs")} - seen
    if left:
        yield Holding("", 0, "", False, requests.join(left))


def _active(connection: sqlite3.Connection) -> list[Release]:
    rows = connection.execute(f"SELECT signed FROM packs WHERE id IN ({_ACTIVE})")  # noqa: S608 - our own words
    return [Release.parse(row[0]) for row in rows]


def _platforms(store: Store, releases: list[Release]) -> set[Platform]:
    """What the items of these crates are for."""
    found: set[str] = set()
    for release in releases:
        with store.blobs.open(Digest.sha256(release.catalogue.sha256)) as extent:
            for item in catalogue.read(extent.reader()):
                found.update(item.publish.get("platforms") or ([item.platform] if item.platform else []))
    return {platform for text in found if (platform := _parsed(text))}


def _parsed(text: str) -> Platform | None:
    try:
        return Platform.parse(text)
    except InvalidValue:
        return None

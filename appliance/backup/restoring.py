"""Makes a store of a backup: unpacked beside and compared whole, then moved into place, the database last."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from appliance import disk, generations, locks
from appliance.backup import age
from appliance.backup.contents import NOT_TAKEN, PASSING
from appliance.backup.saving import FORMAT
from appliance.errors import BadBackup, StoreInUse
from appliance.store import Store
from archive.errors import Problem
from archive.progress import SILENT, Progress, Task

_UNPACKED = ".restoring"
_PIECE = 1 << 20  # bytes
_SMALL = 16 << 20  # bytes of backup.json
_BLOB = re.compile(r"blobs/sha256/([0-9a-f]{64})")
_FILE = re.compile(r"(?:crate\.db|(?:store|datastore)/[A-Za-z0-9._+~@-][A-Za-z0-9._+~@/:-]*)")
_COPY = "take another copy of it"
_CONTENT = ("packs", "manifests", "contributions", "users", "tokens")


@dataclass(frozen=True, slots=True)
class Restored:
    """`crates` were active and are to be installed again; `replaced` is where what was here before lies now."""

    made: int
    files: int
    blobs: int
    crates: tuple[str, ...]
    datastore: tuple[str, ...]
    replaced: Path | None
    warnings: tuple[str, ...]


def encrypted(backup: Path) -> bool:
    """Whether a passphrase is wanted."""
    with backup.open("rb") as file:
        return file.read(len(age.MAGIC)) == age.MAGIC


def restore(root: Path, backup: Path, passphrase: str, *, force: bool = False, progress: Progress = SILENT) -> Restored:
    """Puts what `backup` holds at `root`; with `force` also where a store is, which is moved aside.

    Raises `StoreInUse`, `BadBackup`, `WrongPassphrase`, `StoreFull`; then what was there is there.
    """
    root.mkdir(parents=True, exist_ok=True)
    with _alone(root), disk.problems(f"restoring {backup}"):
        in_use = _in_use(root)
        if in_use and not force:
            raise StoreInUse(
                f"the store at {root} {in_use}",
                hint="a backup belongs into a new one; --force moves this one aside, and needs the space for both",
            )
        unpacked = root / _UNPACKED
        shutil.rmtree(unpacked, ignore_errors=True)
        unpacked.mkdir(mode=0o700)
        try:
            with progress.task("restoring", backup.stat().st_size) as task:
                document, blobs = _unpack(backup, passphrase, unpacked, task)
            _check_database(unpacked / "crate.db")
            replaced = _make_way(root) if in_use else None
            _move(unpacked, root)
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)
    warnings = _publish(root)
    names = document["files"]
    return Restored(
        made=document["made"],
        files=len(names),
        blobs=blobs,
        crates=tuple(document["crates"]),
        datastore=tuple(name for name in names if name.startswith("datastore/")),
        replaced=replaced,
        warnings=warnings,
    )


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Neither daemon nor another command is at work here."""

    def busy(holder: str) -> StoreInUse:
        return StoreInUse(f"the store at {root} is in use: {holder}", hint="systemctl stop crate-appliance, then again")

    with locks.hold(root / "daemon.lock", "restoring", busy), locks.hold(root / "lock", "restoring", busy):
        yield


def _in_use(root: Path) -> str:
    """What a backup would replace, as the end of a sentence; empty when that is nothing but trust."""
    if (root / "tls/ca.pem").exists():
        return "has an authority that clients may trust already"
    if not (root / "crate.db").exists():
        return ""
    with Store.open(root) as store:
        for table in _CONTENT:
            if store.database.reader.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone():  # noqa: S608 - our own tables
                return f"holds something already ({table})"
    return ""


def _unpack(backup: Path, passphrase: str, into: Path, task: Task) -> tuple[dict[str, Any], int]:
    """Returns backup.json and how many blobs there were. Every byte has been compared then."""
    with backup.open("rb") as file:
        counted: Any = _Counted(file, task)
        plain: Any = age.Reader(counted, passphrase) if encrypted(backup) else counted
        try:
            with tarfile.open(fileobj=plain, mode="r|") as archive:
                found = _members(archive, into)
            while plain.read(_PIECE):  # to its very end, which vouches for there being no more
                pass
        except tarfile.TarError as error:
            raise BadBackup(f"{backup} is no backup, or damaged: {error}", hint=_COPY) from error
    return found


def _members(archive: tarfile.TarFile, into: Path) -> tuple[dict[str, Any], int]:
    document: dict[str, Any] = {}
    awaited: dict[str, str] = {}
    blobs = 0
    for member in archive:
        content = archive.extractfile(member) if member.isreg() else None
        if content is None:
            raise BadBackup(f"{member.name[:100]!r} has no place in a backup", hint=_COPY)
        if not document:
            document = _document(member, content)
            awaited = dict(document["files"])
        elif member.name in awaited:
            _keep(member.name, content, into / member.name, awaited.pop(member.name))
        elif found := _BLOB.fullmatch(member.name):
            _keep(member.name, content, into / "store/loose/sha256" / found[1][:2] / found[1], found[1])
            blobs += 1
        elif member.name == "end.json" and not awaited and json.loads(content.read(_PIECE)) == {"blobs": blobs}:
            return document, blobs
        else:
            raise BadBackup(f"{member.name[:100]!r} stands in the backup where it does not belong", hint=_COPY)
    raise BadBackup("the backup is cut off", hint=_COPY)


def _document(member: tarfile.TarInfo, content: BinaryIO | Any) -> dict[str, Any]:
    if member.name != "backup.json" or member.size > _SMALL:
        raise BadBackup("not a backup of a crate", hint="crate-appliance backup FILE makes one")
    try:
        document: dict[str, Any] = json.loads(content.read())
        known = document["format"] == FORMAT
        sound = all(_FILE.fullmatch(name) and ".." not in name.split("/") for name in document["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadBackup("the backup's backup.json is broken", hint=_COPY) from error
    if not known:
        raise BadBackup(f"the backup is of a format of its own ({document['format']!r})", hint="update crate-appliance")
    if not sound or "crate.db" not in document["files"]:
        raise BadBackup("the backup names files that it may not name", hint=_COPY)
    return document


def _keep(name: str, content: Any, target: Path, sha256: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    state = hashlib.sha256()
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while piece := content.read(_PIECE):
            state.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    if state.hexdigest() != sha256:
        raise BadBackup(f"{name} in the backup is not what was saved", hint=_COPY)


def _check_database(path: Path) -> None:
    try:
        with closing(sqlite3.connect(path)) as connection:
            told = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise BadBackup(f"the backup's database does not open: {error}", hint=_COPY) from error
    if told != ("ok",):
        raise BadBackup(f"the backup's database is damaged: {told[0]}", hint=_COPY)


def _make_way(root: Path) -> Path:
    """Moves all that is there into a folder beside it."""
    aside = root / f".replaced-{int(time.time())}"
    aside.mkdir(mode=0o700)
    for path in sorted(root.iterdir(), key=lambda path: path.name != "crate.db"):  # without it there is no store
        if not path.name.startswith(".") and path.name not in {"lock", "daemon.lock"}:
            path.rename(aside / path.name)
    disk.sync_folder(root)
    return aside


def _move(unpacked: Path, root: Path) -> None:
    """The database last: until it is there, there is no store, and restoring again begins anew."""
    for name in (*NOT_TAKEN, *PASSING):
        if name not in {"lock", "daemon.lock"}:
            path = root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    datastore = unpacked / "datastore"
    if datastore.exists():
        shutil.copytree(datastore, unpacked / "store/site/datastore", dirs_exist_ok=True)
    _give_to_owner(unpacked, root)
    for path in sorted((unpacked / "store").iterdir()):
        target = root / path.name
        if target.is_dir():
            shutil.rmtree(target)
        path.rename(target)
    disk.sync_folder(root)
    (unpacked / "crate.db").rename(root / "crate.db")
    disk.sync_folder(root)


def _give_to_owner(unpacked: Path, root: Path) -> None:
    """Whoever restores, the store stays its owner's."""
    owner = root.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        for path in [unpacked, *unpacked.rglob("*")]:
            os.chown(path, owner.st_uid, owner.st_gid)


def _publish(root: Path) -> tuple[str, ...]:
    """What people published is served at once, before any stick is there."""
    with Store.open(root) as store:
        if not store.database.reader.execute("SELECT 1 FROM contributions LIMIT 1").fetchone():
            return ()
        try:
            with store.lock("publishing"), store.database.write() as connection:
                generations.republish(store, connection)
        except Problem as problem:
            return (f"what people published comes with the next installation only: {problem.what}",)
    return ()


class _Counted:
    """A file that tells how far it has been read."""

    def __init__(self, file: BinaryIO, task: Task) -> None:
        self._file = file
        self._task = task

    def read(self, count: int = -1) -> bytes:
        data = self._file.read(count)
        self._task.advance(len(data))
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

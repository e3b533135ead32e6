"""Writes a backup: a tar, encrypted or not, made in one pass and held to its digests.

backup.json           what it is: when it was made, the sha256 of each file below, the crates to be installed again
crate.db              users, tokens, rules, floors, requests, and what people pushed and published
store/<path>          the store's own files: authority, keys, trust, site
datastore/<file>      the cluster's, as its server gave it
blobs/sha256/<hex>    what people brought
end.json              that this is the end, and how many blobs there were
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from appliance import disk
from appliance.backup.age import Writer
from appliance.backup.contents import Selected, copy_database, own_files
from appliance.errors import DamagedContent, UnknownBlob
from appliance.status import active_crates
from appliance.store import Store
from archive.digests import Digest
from archive.progress import SILENT, Progress, Task
from console.version import VERSION

FORMAT = 1
_PIECE = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Saved:
    """What a backup holds. `lost` blobs were not in the store any more; `crates` are to be installed again."""

    size: int
    files: int
    blobs: int
    lost: int
    crates: tuple[str, ...]


def save(
    store: Store, target: Path, passphrase: str, *, datastore: Path | None = None, progress: Progress = SILENT
) -> Saved:
    """Writes the backup to `target`, which is there whole or not at all; unencrypted with an empty `passphrase`.

    `datastore` is a folder of what the cluster's server gave. Pushes may go on meanwhile, and belong to the next one.
    Raises `StoreBusy`, `DamagedContent`, `StoreFull`, `OSError`.
    """
    beside = target.with_name(f".{target.name}.part")
    with store.lock("backing up"), _scratch(store) as scratch, disk.problems(f"writing {target}"):
        selected = copy_database(store.database, scratch / "crate.db")
        files = [("crate.db", scratch / "crate.db")]
        files += [(f"store/{name}", store.root / name) for name in own_files(store.root)]
        files += [(f"datastore/{path.name}", path) for path in sorted(datastore.iterdir())] if datastore else []
        crates = [f"{crate.name} {crate.serial}" for crate in active_crates(store)]
        total = sum(path.stat().st_size for _, path in files) + sum(size for _, size in selected.blobs)
        try:
            with (
                os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file,
                progress.task("saving", total) as task,
            ):
                with _encrypting(file, passphrase) as out, tarfile.open(fileobj=out, mode="w|") as archive:
                    _Tar(archive, task).write(store, files, selected, crates)
                file.flush()
                os.fsync(file.fileno())
            beside.rename(target)
            disk.sync_folder(target.absolute().parent)
        finally:
            beside.unlink(missing_ok=True)
    return Saved(target.stat().st_size, len(files), len(selected.blobs), selected.lost, tuple(crates))


class _Tar:
    """The archive as it is written."""

    def __init__(self, archive: tarfile.TarFile, task: Task) -> None:
        self._archive = archive
        self._task = task

    def write(self, store: Store, files: list[tuple[str, Path]], selected: Selected, crates: list[str]) -> None:
        # read once, so that what is written is what was hashed, whoever changes a file meanwhile
        held = {name: path.read_bytes() for name, path in files if name.startswith("store/")}
        large = {name: path for name, path in files if name not in held}
        document = {
            "format": FORMAT,
            "made": int(time.time()),
            "by": VERSION,
            "crates": crates,
            "files": {
                **{name: hashlib.sha256(body).hexdigest() for name, body in held.items()},
                **{name: _sha256(path) for name, path in large.items()},
            },
        }
        self._document("backup.json", document)
        for name, path in large.items():
            with path.open("rb") as file:
                self._add(name, file, path.stat().st_size)
        for name, body in held.items():
            self._add(name, io.BytesIO(body), len(body))
        for sha256, size in selected.blobs:
            self._task.detail(f"sha256:{sha256[:12]}")
            self._blob(store, sha256, size)
        self._document("end.json", {"blobs": len(selected.blobs)})

    def _blob(self, store: Store, sha256: str, size: int) -> None:
        try:
            with store.blobs.open(Digest.sha256(sha256)) as extent, extent.reader() as reader:
                hashed = _Hashed(reader)
                self._add(f"blobs/sha256/{sha256}", hashed, size)
        except UnknownBlob as error:
            raise _damaged(sha256) from error
        except OSError as error:
            if error.errno in {None, errno.EIO}:  # tarfile's own: it ended early; or a bad spot of the disk
                raise _damaged(sha256) from error
            raise
        if hashed.hexdigest() != sha256:
            raise _damaged(sha256)

    def _document(self, name: str, document: object) -> None:
        body = json.dumps(document, indent=1, sort_keys=True).encode()
        self._add(name, io.BytesIO(body), len(body))

    def _add(self, name: str, file: BinaryIO | _Hashed, size: int) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o600
        self._archive.addfile(member, file)
        self._task.advance(size)


def _damaged(sha256: str) -> DamagedContent:
    return DamagedContent(
        f"sha256:{sha256}, which people brought, is damaged in the store, and a backup of it would be, too",
        hint="crate-appliance doctor --scrub, then doctor --repair; what cannot be mended is left out the next time",
    )


class _Hashed:
    """A file that is hashed as it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._state = hashlib.sha256()

    def read(self, count: int = -1) -> bytes:
        data = self._file.read(count)
        self._state.update(data)
        return data

    def hexdigest(self) -> str:
        return self._state.hexdigest()


@contextmanager
def _encrypting(file: BinaryIO, passphrase: str) -> Iterator[BinaryIO]:
    if not passphrase:
        yield file
        return
    writer = Writer(file, passphrase)
    yield writer  # type: ignore[misc]
    writer.finish()


@contextmanager
def _scratch(store: Store) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=".backup-", dir=store.root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

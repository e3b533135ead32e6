"""What the store asks of its file system: durable names and sizes, and errors that say what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import StoreFailed, StoreFull


def sync_folder(folder: Path) -> None:
    """Makes the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_private(path: Path, data: bytes) -> None:
    """A small file, whole or not at all, that its owner alone may read."""
    write_whole(path, data, mode=0o600)


def write_whole(path: Path, data: bytes, *, mode: int, owner: tuple[int, int] | None = None) -> None:
    """A small file, whole or not at all: written beside, synced, renamed. `owner` is (user, group).

    What lies beside under the name that is needed is removed, never followed or written into: it may be a link.
    """
    beside = path.with_name(f".{path.name}.part")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        if owner is not None:
            os.fchown(file.fileno(), *owner)
        os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
    sync_folder(path.parent)


def write_all(descriptor: int, data: memoryview, offset: int) -> None:
    """Writes all of `data` at `offset`; a disk that is nearly full takes a part of it first, then says so."""
    while data:
        written = os.pwrite(descriptor, data, offset)
        data = data[written:]
        offset += written


@contextmanager
def problems(doing: str) -> Iterator[None]:
    """Turns what the store's disk answers into a line for the user; `doing` is what was under way."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreFull(
                f"the disk of the store is full ({doing})",
                hint="free space, for instance with crate-appliance gc, and run the same command again: it goes on",
            ) from error
        if error.errno in {errno.EIO, errno.EROFS}:
            raise StoreFailed(
                f"the disk of the store fails ({doing}: {error.strerror})",
                hint="look at dmesg and replace the disk or SD card; what was served before is untouched",
            ) from error
        raise

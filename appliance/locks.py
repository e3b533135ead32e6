"""Locks that processes hold on a file: the kernel drops them with the process, so a kill -9 leaves nothing behind."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from archive.errors import Problem

_NOTE = 200  # bytes that say who holds it


@contextmanager
def hold(path: Path, doing: str, busy: Callable[[str], Problem]) -> Iterator[int]:
    """Holds the lock at `path`, and says in it what for; yields its descriptor, which a child may keep open too.

    Raises `busy(holder)` when somebody else has it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, _NOTE, 0).decode(errors="replace").strip() or "another command"
            raise busy(holder) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{doing} (process {os.getpid()})\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def held(path: Path) -> bool:
    """Whether anybody holds it now."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False

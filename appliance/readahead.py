"""Keeps cold reads out of the event loop: what is about to be sent is brought into the page cache by a thread.

A stick or an SD card takes milliseconds for what the page cache gives in microseconds, and everybody else would wait.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from concurrent.futures import Executor
from contextlib import suppress

_PROBE = 1 << 20  # bytes between two looks into the page cache
_TOUCH = 64 << 10  # bytes between two touches; the kernel reads at least as much around each


async def warm_slices(
    descriptor: int, offset: int, count: int, size: int, executor: Executor
) -> AsyncGenerator[tuple[int, int], None]:
    """Yields (offset, length) slices of at most `size` bytes, each in memory when it is yielded.

    The next slice is loaded while the caller sends this one. To be closed before the descriptor is.
    """
    loop = asyncio.get_running_loop()
    end = offset + count

    def begin(start: int) -> asyncio.Future[None] | None:
        length = min(size, end - start)
        if length <= 0 or _in_memory(descriptor, start, length):
            return None
        return loop.run_in_executor(executor, _load, descriptor, start, length)

    loading = begin(offset)
    try:
        for start in range(offset, end, size):
            if loading is not None:
                await loading
            loading = begin(start + size)
            yield start, min(size, end - start)
    finally:
        if loading is not None:
            # the thread reads from the descriptor that the caller is about to close
            with suppress(OSError):
                await asyncio.shield(loading)


def read_cached(descriptor: int, offset: int, length: int) -> bytes | None:
    """The bytes, when the page cache has all of them and reading does not wait; None otherwise."""
    body = bytearray(length)
    try:
        got = os.preadv(descriptor, [body], offset, os.RWF_NOWAIT)
    except OSError:  # not there (EAGAIN), or a file system that cannot tell (EOPNOTSUPP)
        return None
    return bytes(body) if got == length else None


def _in_memory(descriptor: int, offset: int, length: int) -> bool:
    """Whether the slice seems to lie in the page cache: a read that may not wait succeeds here and there in it."""
    byte = bytearray(1)
    try:
        for at in (*range(offset, offset + length, _PROBE), offset + length - 1):
            os.preadv(descriptor, [byte], at, os.RWF_NOWAIT)
    except OSError:  # not there (EAGAIN), or a file system that cannot tell (EOPNOTSUPP)
        return False
    return True


def _load(descriptor: int, offset: int, length: int) -> None:
    os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_WILLNEED)
    for at in range(offset, offset + length, _TOUCH):
        os.pread(descriptor, 1, at)

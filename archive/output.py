"""The files a crate is written to: beside their final names first, all of them renamed when all of them are on disk."""

from __future__ import annotations

import errno
import glob
import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from archive import layout
from archive.errors import NotEnoughSpace
from archive.limits import MIB
from archive.volumes import part_name

_FLUSH_EVERY = 64 * MIB
"""Bytes written before the disk is sent after them: left alone, the kernel would begin when everything is there."""


class Output:
    """`total` bytes in one file, or in parts of `part_size`. Leaving the context without `finish` removes them.

    Raises `NotEnoughSpace` when it is opened, or when the disk fills up nevertheless.
    """

    def __init__(self, out: Path, total: int, part_size: int | None) -> None:
        self._out, self._part_size = out, part_size
        sizes = [total] if part_size is None else layout.parts(total, part_size)
        names = [out.name] if part_size is None else [part_name(out.name, number) for number in range(len(sizes))]
        self._paths = tuple(out.with_name(name) for name in names)
        self._descriptors: list[int] = []
        self._flusher = ThreadPoolExecutor(1)
        self._flushing: Future[None] | None = None
        self._unflushed = 0
        free = shutil.disk_usage(out.parent).free
        if total > free:
            raise NotEnoughSpace(
                f"{out.parent} has {free} bytes free, the crate takes {total}", hint="free some space, or use --out"
            )

    def __enter__(self) -> Self:
        try:
            for path in self._paths:
                flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
                self._descriptors.append(os.open(_beside(path), flags, 0o644))
        except BaseException:
            self._discard()
            raise
        return self

    def pwrite(self, data: bytes | memoryview, offset: int) -> None:
        """Writes all of `data`, across parts."""
        view = memoryview(data)
        while view:
            number, within = (0, offset) if self._part_size is None else divmod(offset, self._part_size)
            length = len(view) if self._part_size is None else min(len(view), self._part_size - within)
            try:
                written = os.pwrite(self._descriptors[number], view[:length], within)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise NotEnoughSpace(
                        f"{self._out.parent} is full", hint="free some space and build again"
                    ) from error
                raise
            view, offset = view[written:], offset + written
            self._unflushed += written
            if self._unflushed >= _FLUSH_EVERY and (self._flushing is None or self._flushing.done()):
                self._flush(self._descriptors[number])

    def _flush(self, descriptor: int) -> None:
        if self._flushing:
            self._flushing.result()  # an error of the disk is told once; it must not get lost
        self._unflushed = 0
        self._flushing = self._flusher.submit(os.fdatasync, descriptor)

    def finish(self) -> tuple[Path, ...]:
        """Everything to disk, then to its name; the first part comes last, so that a set with one is a whole set."""
        if self._flushing:
            self._flushing.result()
        for descriptor in self._descriptors:
            os.fsync(descriptor)
        self._close()
        for path in reversed(self._paths):
            _beside(path).replace(path)
        self._remove_stale()
        folder = os.open(self._out.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return self._paths

    def _remove_stale(self) -> None:
        """Files of an earlier writing of the same crate in another shape would pass for parts of this one."""
        every = sorted(self._out.parent.glob(f"{glob.escape(self._out.name)}.[0-9][0-9][0-9]"))
        if self._part_size is not None and self._out.exists():
            every.append(self._out)
        for path in every:
            if path not in self._paths:
                path.unlink()

    def _close(self) -> None:
        self._flusher.shutdown()  # before the descriptor that it works on is closed
        while self._descriptors:
            os.close(self._descriptors.pop())

    def _discard(self) -> None:
        self._close()
        for path in self._paths:
            _beside(path).unlink(missing_ok=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._discard()


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".part")

"""A crate's volumes, with what an earlier run of its import kept in place of the parts that are not at hand now."""

from __future__ import annotations

import os
from collections.abc import Iterator

from appliance.ranges import Ranges
from archive import layout
from archive.errors import ReadFailed
from archive.volumes import Volumes, part_name


class KeptVolumes(Volumes):
    """`Volumes`, whose missing parts may be answered from the unfinished pack, where the import wrote them.

    What comes from there is checked like everything else. A part that is at hand goes before what was kept of it.
    """

    _pack = -1
    _stored = Ranges()

    def keep(self, pack: int, stored: Ranges) -> None:
        """`pack` is an open file that holds the bytes of `stored` at their own offsets."""
        self._pack = pack
        self._stored = stored

    def readable(self, offset: int, length: int) -> bool:
        """Whether every byte of the range is in a part at hand or was kept."""
        return all(
            number in self._files or self._stored.covers(start, start + size)
            for number, start, size in self._pieces(offset, length)
        )

    def lacking(self, start: int, end: int) -> Iterator[str]:
        """The names of the missing parts over which [start, end) extends."""
        return (self._name(number) for number, _, _ in self._pieces(start, end - start) if number not in self._files)

    def files_of(self, start: int, end: int) -> Iterator[str]:
        """The names, without folders, of all files over which [start, end) extends."""
        return (self._name(number) for number, _, _ in self._pieces(start, end - start))

    def _name(self, number: int) -> str:
        return self.stem if self._part_size is None else part_name(self.stem, number)

    def pread_into(self, buffer: memoryview, offset: int) -> None:
        done = 0
        for number, start, size in self._pieces(offset, len(buffer)):
            piece = buffer[done : done + size]
            if number not in self._files and self._stored.covers(start, start + size):
                self._read_kept(piece, start)
            else:
                super().pread_into(piece, start)
            done += size

    def windows(self, total: int, width: int) -> Iterator[tuple[int, int]]:
        """Up to `width` bytes of the parts at hand on their borders to missing ones: [start, end) of the archive."""
        if self._part_size is None:
            return
        sizes = layout.parts(total, self._part_size)
        for number, size in enumerate(sizes):
            if number not in self._files:
                continue
            start = number * self._part_size
            if number > 0 and number - 1 not in self._files:
                yield start, start + min(width, size)
            if number + 1 < len(sizes) and number + 1 not in self._files:
                yield start + max(0, size - width), start + size

    def _pieces(self, offset: int, length: int) -> Iterator[tuple[int, int, int]]:
        """The range cut at the borders of parts: number, start in the archive, length."""
        end = offset + length
        while offset < end:
            number, within = self._locate(offset)
            size = end - offset if self._part_size is None else min(end - offset, self._part_size - within)
            yield number, offset, size
            offset += size

    def _read_kept(self, buffer: memoryview, offset: int) -> None:
        try:
            got = os.preadv(self._pack, [buffer], offset)
        except OSError as error:
            raise ReadFailed(f"the unfinished import cannot be read at byte {offset}: {error.strerror}") from error
        if got != len(buffer):
            raise ReadFailed(f"the unfinished import ends at byte {offset + got}")

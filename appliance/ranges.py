"""Sets of byte ranges: what of a file is there."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class Ranges:
    """Half-open ranges [start, end), kept merged and sorted."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in ranges:
            self.add(start, end)

    def add(self, start: int, end: int) -> None:
        if start >= end:
            return
        first = bisect_left(self._ends, start)  # the first range that touches or follows
        last = bisect_right(self._starts, end)  # the first range beyond
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def remove(self, start: int, end: int) -> None:
        if start >= end:
            return
        cut = [piece for a, b in self for piece in ((a, min(b, start)), (max(a, end), b)) if piece[0] < piece[1]]
        self._starts = [a for a, _ in cut]
        self._ends = [b for _, b in cut]

    def covers(self, start: int, end: int) -> bool:
        """Whether every byte is there; an empty range always is."""
        if start >= end:
            return True
        at = bisect_right(self._starts, start) - 1
        return at >= 0 and end <= self._ends[at]

    def misses(self, start: int, end: int) -> bool:
        """Whether no byte is there."""
        return list(self.gaps(start, end)) == [(start, end)]

    def gaps(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """What is not there of [start, end)."""
        for at in range(bisect_right(self._ends, start), len(self._starts)):
            if self._starts[at] >= end:
                break
            if self._starts[at] > start:
                yield start, self._starts[at]
            start = self._ends[at]
        if start < end:
            yield start, end

    def total(self) -> int:
        """How many bytes are there."""
        return sum(self._ends) - sum(self._starts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)

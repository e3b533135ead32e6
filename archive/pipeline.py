"""Reading, hashing and using a crate's bytes at the same time, in memory that does not depend on its size.

One thread reads ahead into a few buffers, two hash (hashlib lets go of the interpreter lock while it works), and the
caller's own thread plans, writes or counts. Reader and writer of archives both stand on this.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle
from typing import Generic, TypeVar

from archive.errors import Problem
from archive.limits import KIB, LIMITS

Mark = TypeVar("Mark")

BUFFERS = 6
CAPACITY = LIMITS.chunk + 4 * KIB
"""What one batch may hold, in bytes: a full chunk with headers and padding around it."""
_STRETCHES = 4096  # small blobs and their frames; what describes a batch must not outgrow it


class Whole:
    """The running digest of a blob that passes in several chunks."""

    def __init__(self) -> None:
        self._state = hashlib.sha256()

    def update(self, data: memoryview) -> None:
        self._state.update(data)

    def hexdigest(self) -> str:
        return self._state.hexdigest()


@dataclass(slots=True)
class Stretch(Generic[Mark]):
    """Part of a batch: `length` bytes at `start` of its buffer; `mark` is the caller's own.

    `hashed` asks for its sha256, left in `digest`; `whole` for being fed to a running digest. Both are done when the
    batch comes out of `flow`. A stretch that could not be read carries the `problem` and is not hashed.
    """

    start: int
    length: int
    mark: Mark
    hashed: bool = False
    whole: Whole | None = None
    digest: str = ""
    problem: Problem | None = None


@dataclass(slots=True)
class Batch(Generic[Mark]):
    """What is read in one go."""

    stretches: list[Stretch[Mark]] = field(default_factory=list)
    length: int = 0

    def add(self, length: int, mark: Mark, *, hashed: bool = False, whole: Whole | None = None) -> None:
        self.stretches.append(Stretch(self.length, length, mark, hashed, whole))
        self.length += length

    def fits(self, length: int) -> bool:
        return self.length + length <= CAPACITY and len(self.stretches) < _STRETCHES


@dataclass(slots=True)
class _Job(Generic[Mark]):
    batch: Batch[Mark]
    buffer: bytearray
    reading: Future[None] | None = None
    hashing: list[Future[None]] = field(default_factory=list)

    def view(self) -> memoryview:
        return memoryview(self.buffer)[: self.batch.length]

    def wait(self) -> None:
        if self.reading:
            self.reading.result()
        for future in self.hashing:
            future.result()


def flow(
    batches: Iterator[Batch[Mark]], fill: Callable[[Batch[Mark], memoryview], None]
) -> Iterator[tuple[Batch[Mark], memoryview]]:
    """Each batch in turn, read and hashed, with its bytes; they are good until the next one is asked for.

    `batches` is advanced in the caller's thread, a few batches ahead. `fill(batch, view)` runs in the reading thread,
    one batch at a time in order; it sets `problem` on what it cannot read, and what it raises is raised here.
    """
    free = [bytearray(CAPACITY) for _ in range(BUFFERS)]
    running: deque[_Job[Mark]] = deque()
    with ExitStack() as stack:
        reader, chunks, wholes = (ThreadPoolExecutor(1) for _ in range(3))
        for executor in (wholes, chunks, reader):  # the reader is shut down first: it feeds the others
            stack.callback(executor.shutdown, cancel_futures=True)
        turns = cycle((chunks, wholes))

        def read(job: _Job[Mark]) -> None:
            view = job.view()
            fill(job.batch, view)
            once = [one for one in job.batch.stretches if one.hashed and one.whole is None and not one.problem]
            twice = [one for one in job.batch.stretches if one.whole is not None and not one.problem]
            if twice:
                job.hashing.append(chunks.submit(_hash, [one for one in twice if one.hashed], view))
                job.hashing.append(wholes.submit(_feed, twice, view))
            if once:
                # what is hashed once only, either can do: by turns
                job.hashing.append(next(turns).submit(_hash, once, view))

        while True:
            while free and (batch := next(batches, None)) is not None:
                job = _Job(batch, free.pop())
                job.reading = reader.submit(read, job)
                running.append(job)
            if not running:
                return
            job = running.popleft()
            job.wait()
            yield job.batch, job.view()
            free.append(job.buffer)


def _hash(stretches: list[Stretch[Mark]], view: memoryview) -> None:
    for one in stretches:
        one.digest = hashlib.sha256(view[one.start : one.start + one.length]).hexdigest()


def _feed(stretches: list[Stretch[Mark]], view: memoryview) -> None:
    for one in stretches:
        if one.whole:
            one.whole.update(view[one.start : one.start + one.length])

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
        self._begun = False

    def begin(self) -> bool:
        """Whether nothing was promised to it before."""
        begun, self._begun = self._begun, True
        return not begun

    def update(self, data: memoryview) -> None:
        self._state.update(data)

    def hexdigest(self) -> str:
        """Of what has passed so far."""
        return self._state.copy().hexdigest()


@dataclass(slots=True)
class Stretch(Generic[Mark]):
    """Part of a batch: `length` bytes at `start` of its buffer; `mark` is the caller's own.

    `hashed` asks for its sha256, left in `digest`; `whole` for being fed to a running digest, as the `first` of its
    blob or a later one. Both are done when the batch comes out of `flow`. A stretch that could not be read carries
    the `problem` and is not hashed.
    """

    start: int
    length: int
    mark: Mark
    hashed: bool = False
    whole: Whole | None = None
    first: bool = False
    digest: str = ""
    problem: Problem | None = None


@dataclass(slots=True)
class Batch(Generic[Mark]):
    """What is read in one go."""

    stretches: list[Stretch[Mark]] = field(default_factory=list)
    length: int = 0

    def add(self, length: int, mark: Mark, *, hashed: bool = False, whole: Whole | None = None) -> None:
        first = whole is not None and whole.begin()
        self.stretches.append(Stretch(self.length, length, mark, hashed, whole, first))
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
        reader = ThreadPoolExecutor(1)
        hashers = _Hashers()
        stack.callback(hashers.shutdown)
        stack.callback(reader.shutdown, cancel_futures=True)  # first: it feeds the others

        def read(job: _Job[Mark]) -> None:
            fill(job.batch, job.view())
            hashers.submit(job)

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


class _Hashers:
    """Two threads that hash: one feeds the running digests, in order; the other does chunks; either what is left.

    A blob's first chunk has the digest that the running one has after it, so that it is hashed once.
    """

    def __init__(self) -> None:
        self._wholes, self._chunks = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._given = {self._wholes: 0, self._chunks: 0}  # bytes

    def submit(self, job: _Job[Mark]) -> None:
        sound = [one for one in job.batch.stretches if not one.problem]
        fed = [one for one in sound if one.whole is not None]
        again = [one for one in fed if one.hashed and not one.first]
        once = [one for one in sound if one.hashed and one.whole is None]
        self._give(self._wholes, _feed, fed, job)
        self._give(self._chunks, _hash, again, job)
        self._give(min(self._given, key=self._given.__getitem__), _hash, once, job)

    def _give(
        self,
        executor: ThreadPoolExecutor,
        work: Callable[[list[Stretch[Mark]], memoryview], None],
        stretches: list[Stretch[Mark]],
        job: _Job[Mark],
    ) -> None:
        if stretches:
            self._given[executor] += sum(one.length for one in stretches)
            job.hashing.append(executor.submit(work, stretches, job.view()))

    def shutdown(self) -> None:
        for executor in self._given:
            executor.shutdown(cancel_futures=True)


def _hash(stretches: list[Stretch[Mark]], view: memoryview) -> None:
    for one in stretches:
        one.digest = hashlib.sha256(view[one.start : one.start + one.length]).hexdigest()


def _feed(stretches: list[Stretch[Mark]], view: memoryview) -> None:
    for one in stretches:
        if one.whole:
            one.whole.update(view[one.start : one.start + one.length])
            if one.first:
                one.digest = one.whole.hexdigest()

"""An archive's bytes as a stream of verified pieces: what importing and verifying are made of.

Read once, in order, ahead of the caller; every stretch is compared with its known bytes or its digest before it comes
out, every blob with its own digest when its last chunk has passed. Damage is a piece like any other, so that what is
sound can be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass

from archive.errors import (
    Damaged,
    DigestMismatch,
    FalseBlob,
    Problem,
    UnexpectedHeader,
    UnexpectedPadding,
    UnexpectedTrailer,
)
from archive.layout import Kind, Placed, Span
from archive.pipeline import Batch, Stretch, Whole, flow
from archive.volumes import Volumes

_FRAME_PROBLEMS: dict[Kind, type[Problem]] = {
    Kind.HEADER: UnexpectedHeader,
    Kind.PADDING: UnexpectedPadding,
    Kind.TRAILER: UnexpectedTrailer,
}


@dataclass(frozen=True, slots=True)
class Data:
    """Verified bytes that belong at `offset` of the archive. `data` is good until the next piece is asked for.

    Small neighbours come as one piece, headers and padding with them; `placed` is set when all of it belongs to one
    blob.
    """

    offset: int
    data: memoryview
    placed: Placed | None


@dataclass(frozen=True, slots=True)
class BlobDone:
    """Every chunk of a blob has come out or was had before, none damaged.

    `proven`: the whole blob was hashed on the way and is what the index names. Not so when chunks were skipped.
    """

    placed: Placed
    proven: bool


@dataclass(frozen=True, slots=True)
class Damage:
    """`length` bytes at `offset` of the archive are not what was signed, or cannot be read; they do not come out.

    A `FalseBlob` covers a whole blob whose chunks did come out. `where` names file and byte, `placed` the blob.
    """

    where: str
    offset: int
    length: int
    placed: Placed | None
    problem: Problem

    @property
    def reason(self) -> str:
        return self.problem.what


Piece = Data | BlobDone | Damage


@dataclass(frozen=True, slots=True)
class Work:
    """Neighbouring spans, those of one blob where `placed` is given. Without `read` only their frame is made up."""

    spans: Iterable[Span]
    placed: Placed | None = None
    read: bool = True


@dataclass(slots=True)
class _Subject:
    """What becomes of one blob, or of a member in front of the blobs, on its way through."""

    placed: Placed | None
    first: Span | None = None
    whole: Whole | None = None
    skipped: bool = False
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class _Mark:
    """A span of a subject, or without one the end of that subject. A made-up span is not read."""

    subject: _Subject
    span: Span | None = None
    made: bool = False


def verified(volumes: Volumes, work: Iterator[Work], have: Callable[[int, int], bool]) -> Generator[Piece, None, None]:
    """The pieces of all `work`, which is in the archive's order. What `have(offset, length)` claims is left out."""

    def fill(batch: Batch[_Mark], view: memoryview) -> None:
        spans = [(one, one.mark.span) for one in batch.stretches if one.mark.span]
        if not spans:
            return
        if spans[0][0].mark.made:
            for one, span in spans:
                view[one.start : one.start + one.length] = span.expected or b""
            return
        try:
            volumes.pread_into(view, spans[0][1].offset)
        except Damaged:
            # once more, one by one, to know which of them it is
            for one, span in spans:
                try:
                    volumes.pread_into(view[one.start : one.start + one.length], span.offset)
                except Damaged as problem:
                    one.problem = problem

    for batch, view in flow(_batches(_marks(work, have)), fill):
        yield from _pieces(volumes, batch, view)


def mismatch(volumes: Volumes, span: Span) -> Problem:
    """Says what is wrong with a span whose bytes are not the ones signed for."""
    where = volumes.where(span.offset, span.length)
    if span.kind is Kind.DATA:
        return DigestMismatch(
            f"{where}: {span.length} bytes of {span.name} are not the ones that were signed",
            hint="copy that file from its source again, then run the same command",
        )
    kind = _FRAME_PROBLEMS[span.kind]
    return kind(f"{where}: the {span.kind.value} of {span.name} is not as computed", hint="copy that file again")


def _marks(work: Iterator[Work], have: Callable[[int, int], bool]) -> Iterator[_Mark]:
    for one in work:
        subject = _Subject(one.placed)
        for span in one.spans:
            data = span.kind is Kind.DATA
            if data and not one.read:
                continue
            if have(span.offset, span.length):
                subject.skipped |= data
                continue
            if span.whole and not subject.skipped and subject.whole is None:
                subject.whole, subject.first = Whole(), span
            yield _Mark(subject, span, made=not one.read)
        if one.read:
            yield _Mark(subject)


def _batches(marks: Iterator[_Mark]) -> Iterator[Batch[_Mark]]:
    """Gathers neighbours until a buffer is full."""
    batch: Batch[_Mark] = Batch()
    end, made = -1, False
    for mark in marks:
        span = mark.span
        length = span.length if span else 0
        apart = span is not None and batch.length > 0 and (span.offset != end or mark.made != made)
        if batch.stretches and (apart or not batch.fits(length)):
            yield batch
            batch = Batch()
        if span is None:
            batch.add(0, mark)
            continue
        whole = mark.subject.whole if span.whole and not mark.subject.skipped else None
        batch.add(length, mark, hashed=span.sha256 is not None, whole=whole)
        end, made = span.end, mark.made
    if batch.stretches:
        yield batch


class _Run:
    """Sound neighbours within a batch, handed out together."""

    def __init__(self) -> None:
        self._spans: tuple[Span, Span] | None = None
        self._start = 0
        self._placed: Placed | None = None
        self._done: list[Piece] = []

    def add(self, start: int, span: Span, placed: Placed | None) -> None:
        if self._spans is None:
            self._start, self._placed = start, placed
            self._spans = (span, span)
        else:
            self._spans = (self._spans[0], span)
            if self._placed is not placed:
                self._placed = None

    def finish(self, piece: Piece) -> None:
        """Comes out behind the bytes gathered so far."""
        self._done.append(piece)

    def flush(self, view: memoryview) -> Iterator[Piece]:
        if self._spans is not None:
            first, last = self._spans
            length = last.end - first.offset
            if length:
                yield Data(first.offset, view[self._start : self._start + length], self._placed)
        yield from self._done
        self._spans, self._done = None, []


def _pieces(volumes: Volumes, batch: Batch[_Mark], view: memoryview) -> Iterator[Piece]:
    run = _Run()
    for one in batch.stretches:
        subject, span = one.mark.subject, one.mark.span
        if span is None:
            for piece in _finish(volumes, subject):
                run.finish(piece)
            continue
        problem = one.problem or (None if _sound(one, span, view) else mismatch(volumes, span))
        if problem is None:
            run.add(one.start, span, subject.placed)
        else:
            yield from run.flush(view)
            subject.damaged = True
            yield Damage(volumes.where(span.offset, span.length), span.offset, span.length, subject.placed, problem)
    yield from run.flush(view)


def _sound(one: Stretch[_Mark], span: Span, view: memoryview) -> bool:
    if span.expected is not None:
        return view[one.start : one.start + one.length] == span.expected
    return span.sha256 is None or one.digest == span.sha256


def _finish(volumes: Volumes, subject: _Subject) -> Iterator[Piece]:
    if subject.damaged:
        return
    placed, first = subject.placed, subject.first
    if subject.whole and first and not subject.skipped and subject.whole.hexdigest() != first.whole:
        where = volumes.where(first.offset)
        problem = FalseBlob(
            f"{where}: {first.name} has sound chunks, but is not sha256:{first.whole} as a whole",
            hint="whoever signed this crate signed it so; build it again",
        )
        size = placed.entry.size if placed else first.length
        yield Damage(where, first.offset, size, placed, problem)
    elif placed:
        yield BlobDone(placed, proven=not subject.skipped)

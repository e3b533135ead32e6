"""The pass over a crate's data: from its medium into an unfinished pack, and the proof that what is there is right.

A blob that arrives in one go is hashed once, as a whole. Its chunks are looked at only when that whole is wrong, when
a run was stopped in the middle of it, or when parts of it come on different sticks. They say where damage is; whether
a blob is right is for its own digest to say, so that it does not matter where a run was stopped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing, suppress

from appliance.blobs import Blobs
from appliance.kept import KeptVolumes
from appliance.ranges import Ranges
from appliance.unfinished import UnfinishedPack
from archive.errors import Damaged, DigestMismatch, FalseBlob, ReadFailed
from archive.layout import BLOCK, Kind, Placed
from archive.progress import Task
from archive.reader import Crate
from archive.stream import BlobDone, Damage, Data, mismatch


class Transfer:
    """One run's work on a pack. `written` counts bytes off the medium, `damages` what was wrong with some of them."""

    def __init__(self, blobs: Blobs, crate: Crate, volumes: KeptVolumes, pack: UnfinishedPack) -> None:
        self.written = 0
        self.damages: list[Damage] = []
        self._blobs = blobs
        self._crate = crate
        self._volumes = volumes
        self._pack = pack
        self._verified = pack.journal.verified
        self._stored = pack.journal.stored
        self._passed_over = 0  # up to where the archive holds nothing that is wanted
        self._unproven = Ranges()  # blobs whose data is written before their whole is known to be right
        self._false: set[str] = set()  # those that turned out wrong as they are on the medium
        volumes.keep(pack.descriptor, pack.journal.stored)

    def run(self, task: Task) -> None:
        """Writes what is wanted and not there yet, as far as it is at hand and sound, and proves it.

        Everything that is right is on disk and in the journal afterwards, and nothing else is. Raises `OSError`.
        """
        with closing(self._crate.stream(self._wanted, self._have, self._whole)) as pieces:
            for piece in pieces:
                match piece:
                    case Data():
                        self._write(piece)
                        task.advance(len(piece.data))
                    case BlobDone(placed=placed, proven=True) if placed.entry.chunks:
                        self._pack.verify(*_range(placed))
                        self._pack.prove(placed.entry.digest)
                    case Damage(placed=Placed() as placed, problem=FalseBlob()):
                        self._false.add(placed.entry.digest)  # it is looked at below, chunk by chunk
                    case Damage():
                        self.damages.append(piece)
        self._keep_windows()
        self._pack.sync()
        self.check_chunks()
        self._reconsider()
        self._prove()
        self.distrust_damages()

    def check_chunks(self) -> None:
        """Compares the chunks of what is stored and not proven as a whole."""
        for placed in self._crate.entries():
            start, end = _range(placed)
            if placed.entry.chunks and not self._verified.covers(start, end) and not self._stored.misses(start, end):
                self._check(placed)
        self._pack.sync()

    def distrust_damages(self) -> None:
        """Takes what turned out wrong out of the journal."""
        for damage in self.damages:
            self._pack.journal.distrust(damage.offset, damage.offset + damage.length)

    def _wanted(self, placed: Placed) -> bool:
        if self._blobs.holds(placed.entry.digest):
            self._passed_over = placed.end
            return False
        return True

    def _have(self, offset: int, length: int) -> bool:
        # A header in front of a hole is of no use to anybody, and would take a block of the disk.
        return (
            offset < self._passed_over
            or self._verified.covers(offset, offset + length)
            or not self._volumes.readable(offset, length)
        )

    def _whole(self, placed: Placed) -> bool:
        start, end = _range(placed)
        fresh = self._stored.misses(start, end) and self._volumes.readable(start, end - start)
        if fresh and placed.entry.chunks:
            self._unproven.add(start, end)
        return fresh

    def _write(self, piece: Data) -> None:
        end = piece.offset + len(piece.data)
        self._pack.write(piece.offset, piece.data, self._unproven.gaps(piece.offset, end))
        self.written += len(piece.data)

    def _keep_windows(self) -> None:
        """Keeps the halves of chunks whose other halves are in parts that were not at hand."""
        width = self._crate.release.chunk + 2 * BLOCK
        for start, end in self._volumes.windows(self._crate.total_size, width):
            for gap_start, gap_end in [*self._stored.gaps(start, end)]:
                with suppress(ReadFailed):  # has been reported where it matters
                    data = self._volumes.pread(gap_end - gap_start, gap_start)
                    self._pack.write(gap_start, memoryview(data))

    def _check(self, placed: Placed) -> None:
        for span in placed.spans(self._crate.release.chunk):
            if span.kind is not Kind.DATA or self._verified.covers(span.offset, span.end):
                continue
            if not self._stored.covers(span.offset, span.end):
                continue
            if _sha256(self._pack.blocks(span.offset, span.length)) == span.sha256:
                self._pack.verify(span.offset, span.end)
            else:
                where, problem = self._volumes.where(span.offset), mismatch(self._volumes, span)
                self.damages.append(Damage(where, span.offset, span.length, placed, problem))

    def _reconsider(self) -> None:
        """Takes blobs whose chunks are not as the index says, and that are right all the same: then the index is wrong.

        In one go they would have been taken without a look at their chunks.
        """
        suspects = {
            damage.placed.entry.digest: damage.placed
            for damage in self.damages
            if damage.placed and damage.placed.entry.chunks and isinstance(damage.problem, DigestMismatch)
        }
        for digest, placed in suspects.items():
            if digest not in self._false and self._complete(placed):
                self._pack.verify(*_range(placed))
                self._pack.prove(digest)
                self.damages = [damage for damage in self.damages if damage.placed != placed]
        self._pack.sync()

    def _complete(self, placed: Placed) -> bool:
        """Writes what is not verified of a blob, if all of it is at hand; whether the whole is right then."""
        chunks = [span for span in placed.spans(self._crate.release.chunk) if span.kind is Kind.DATA]
        doubtful = {span.offset for span in chunks if not self._verified.covers(span.offset, span.end)}
        if not all(self._volumes.readable(span.offset, span.length) for span in chunks if span.offset in doubtful):
            return False
        state = hashlib.sha256()
        for span in chunks:
            if span.offset in doubtful:
                try:
                    data = self._volumes.pread(span.length, span.offset)
                except Damaged:
                    return False
                self._pack.write(span.offset, memoryview(data))
                state.update(data)
            else:
                for block in self._pack.blocks(span.offset, span.length):
                    state.update(block)
        return state.hexdigest() == placed.entry.digest

    def _prove(self) -> None:
        """Hashes the whole of each blob whose chunks came in several runs."""
        for placed in self._crate.entries():
            entry, (start, end) = placed.entry, _range(placed)
            if not entry.chunks or entry.digest in self._pack.journal.proven or not self._verified.covers(start, end):
                continue
            if _sha256(self._pack.blocks(start, entry.size)) == entry.digest:
                self._pack.journal.add(proven=[entry.digest])
            else:
                where = self._volumes.where(start)
                problem = FalseBlob(
                    f"{where}: the chunks are as signed, and together they are not sha256:{entry.digest}",
                    hint="whoever signed this crate signed it so; build it again",
                )
                self.damages.append(Damage(where, start, entry.size, placed, problem))


def _range(placed: Placed) -> tuple[int, int]:
    return placed.data_offset, placed.data_offset + placed.entry.size


def _sha256(blocks: Iterator[bytes]) -> str:
    state = hashlib.sha256()
    for block in blocks:
        state.update(block)
    return state.hexdigest()

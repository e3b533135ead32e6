"""Checking a whole crate, byte by byte, without keeping any of it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from archive import sshsig
from archive.errors import FalseBlob
from archive.layout import Placed
from archive.progress import SILENT, Progress
from archive.reader import Crate, read_envelope
from archive.stream import BlobDone, Damage, Data


@dataclass(frozen=True, slots=True)
class Report:
    """What checking a whole crate found: how many blobs are sound, how many bytes were checked, and what is not."""

    blobs: int
    bytes: int
    damages: tuple[Damage, ...]


def verify_archive(crate: Crate, progress: Progress = SILENT) -> Report:
    """Reads every byte and compares each blob; keeps nothing. Damage does not end it.

    Chunks are looked at in blobs that are wrong as a whole, to say where: those are read once more.

    Raises `MalformedSlot` and what `Crate.survey` raises.
    """
    sshsig.parse_slot(read_envelope(crate.volumes).slot)
    blobs = size = 0
    damages: list[Damage] = []
    with progress.task("verifying", crate.total_size) as task:
        for piece in crate.stream(whole=_divided):
            match piece:
                case Data():
                    size += len(piece.data)
                    task.advance(len(piece.data))
                case BlobDone():
                    blobs += 1
                case Damage():
                    damages.append(piece)
                    if not isinstance(piece.problem, FalseBlob):  # its bytes have come out
                        task.advance(piece.length)
        wrong = [damage.placed for damage in damages if damage.placed and _divided(damage.placed)]
        if wrong:
            task.detail("looking for the damage")
            damages = _located(crate, damages, {placed.header_offset: placed for placed in wrong})
    return Report(blobs, size, tuple(damages))


def _divided(placed: Placed) -> bool:
    return bool(placed.entry.chunks)


def _located(crate: Crate, damages: Sequence[Damage], wrong: Mapping[int, Placed]) -> list[Damage]:
    """The damages, with those within the `wrong` blobs told by chunk; a medium may have other ones this time."""
    starts = sorted(wrong)

    def elsewhere(offset: int, _length: int) -> bool:
        at = bisect_right(starts, offset) - 1
        return at < 0 or offset >= wrong[starts[at]].end

    pieces = crate.stream(lambda placed: placed.header_offset in wrong, elsewhere)
    found = [piece for piece in pieces if isinstance(piece, Damage)]
    again = {damage.placed for damage in found}
    return sorted(
        [*found, *(damage for damage in damages if damage.placed not in again)], key=lambda damage: damage.offset
    )

"""What an unfinished import has on disk, so that the next run goes on instead of starting over.

A journal lies beside its pack (`<digest>.crate.journal`). A line is written only after the bytes it speaks of have been
fdatasynced; it may be lost or torn by a power failure, and then these bytes are read once more. Each line is the CRC-32
of the rest in hex, a space, and one JSON object.
"""

from __future__ import annotations

import binascii
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from appliance import disk
from appliance.ranges import Ranges
from archive import documents
from archive.errors import InvalidValue

_MODE = 0o644
Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Pending:
    """Which crate is being imported: `stem` is its file name without a part number, `part_size` 0 when undivided."""

    digest: str
    stem: str
    name: str
    serial: int
    size: int
    part_size: int


class State:
    """What a journal says.

    `stored`: ranges of the archive that are on disk. `verified`: those of them that were compared with what was signed;
    the rest waits for a chunk's other half, which is in a part that was not at hand. `proven`: digests (hex) of blobs
    whose whole was hashed.
    """

    def __init__(self) -> None:
        self.verified = Ranges()
        self.stored = Ranges()
        self.proven: set[str] = set()

    def apply(self, record: dict[str, Any]) -> None:
        for start, end in record.get("verified", ()):
            self.verified.add(start, end)
            self.stored.add(start, end)
        for start, end in record.get("stored", ()):
            self.stored.add(start, end)
        for start, end in record.get("distrusted", ()):
            self.verified.remove(start, end)
            self.stored.remove(start, end)
        self.proven.update(record.get("proven", ()))


class Journal(State):
    """The journal of one import, open for appending."""

    def __init__(self, path: Path, pending: Pending) -> None:
        """Opens the journal of `pending`, or begins one. What a torn write left at its end is cut off."""
        super().__init__()
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        sound = 0
        for number, (record, end) in enumerate(_records(path)):
            if number == 0 and record.get("pending", {}).get("digest") != pending.digest:
                break
            self.apply(record)
            sound = end
        os.ftruncate(self._descriptor, sound)
        if not sound:
            self._append({"pending": asdict(pending)})
            self._sync()
            disk.sync_folder(path.parent)

    def add(self, *, verified: Iterable[Range] = (), stored: Iterable[Range] = (), proven: Iterable[str] = ()) -> None:
        """Writes down what is on disk by now."""
        self._note({"verified": [*verified], "stored": [*stored], "proven": [*proven]})

    def distrust(self, start: int, end: int) -> None:
        """Forgets what is stored of a range: it turned out wrong."""
        if not self.stored.misses(start, end):
            self._note({"distrusted": [(start, end)]})

    def _note(self, record: dict[str, list[Any]]) -> None:
        record = {key: value for key, value in record.items() if value}
        if record:
            self.apply(record)
            self._append(record)

    def _append(self, record: dict[str, Any]) -> None:
        body = documents.canonical(record)
        os.lseek(self._descriptor, 0, os.SEEK_END)
        os.write(self._descriptor, b"%08x %s\n" % (binascii.crc32(body), body))

    def _sync(self) -> None:
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


def pending(folder: Path) -> list[Pending]:
    """The imports into a folder of packs that are under way or interrupted."""
    heads = [next(_records(path), ({}, 0))[0] for path in sorted(folder.glob("*.crate.journal"))]
    return [Pending(**head["pending"]) for head in heads if "pending" in head]


def stored(path: Path) -> Ranges:
    """What a journal, perhaps another process's, says is on disk."""
    state = State()
    for record, _ in _records(path):
        state.apply(record)
    return state.stored


def _records(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """The sound lines from the beginning, each with the offset of its end."""
    end = 0
    with path.open("rb") as lines:
        for line in lines:
            check, _, body = line.rstrip(b"\n").partition(b" ")
            if not line.endswith(b"\n") or check != b"%08x" % binascii.crc32(body):
                return
            try:
                record = documents.parse(body, path.name)
            except InvalidValue:
                return
            end += len(line)
            yield record, end

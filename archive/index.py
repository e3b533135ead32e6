"""index.jsonl: every blob of the crate, one a line, in the order in which they lie in the archive.

A line has one spelling, so that reading it is a pattern match and the archive's bytes follow from the lines.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from archive import documents
from archive.errors import DuplicateDigest, MalformedIndex, OverLimit, UnknownField, WrongChunkCount
from archive.limits import LIMITS

_LINE = re.compile(
    rb'\{(?P<absent>"absent":true,)?'
    rb'(?:"c":\[(?P<chunks>"[0-9a-f]{64}"(?:,"[0-9a-f]{64}")*)\],)?'
    rb'"d":"(?P<digest>[0-9a-f]{64})","n":(?P<size>0|[1-9][0-9]{0,10})\}'
)
_KEYS = {"absent", "c", "d", "n"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A blob: its sha256 (hex), its size in bytes, and the sha256 of each chunk when there is more than one.

    An `absent` blob is not in the archive: whoever imports it must hold it already. It has no chunks here.
    """

    digest: str
    size: int
    chunks: tuple[str, ...] = ()
    absent: bool = False

    def line(self) -> bytes:
        """Without its newline."""
        fields: dict[str, Any] = {"d": self.digest, "n": self.size}
        if self.chunks:
            fields["c"] = list(self.chunks)
        if self.absent:
            fields["absent"] = True
        return documents.canonical(fields)


def chunk_count(size: int, chunk: int) -> int:
    """How many chunk digests a blob of `size` bytes has: none when it fits one chunk, which its own digest covers."""
    return 0 if size <= chunk else -(-size // chunk)


def line_size(size: int, chunk: int, *, absent: bool) -> int:
    """The length of an entry's line with its newline, known before anything is hashed."""
    blank = "0" * 64
    chunks = 0 if absent else chunk_count(size, chunk)
    bare = len(Entry(blank, size, absent=absent).line()) + 1
    # `"c":[` and `],` are seven bytes; each digest takes two quotes, and a comma but for the last
    return bare + (7 + 67 * chunks - 1 if chunks else 0)


def parse(blocks: Iterable[bytes], chunk: int) -> Iterator[Entry]:
    """The entries of an index that arrives in blocks of any size, in memory that does not grow by the entry's objects.

    Raises `MalformedIndex`, `UnknownField`, `DuplicateKey`, `DuplicateDigest`, `WrongChunkCount`, `OverLimit`; each
    names the line.
    """
    seen = Seen()
    for number, line in enumerate(_lines(blocks), start=1):
        entry = _entry(line, number)
        if entry.size > LIMITS.blob:
            raise OverLimit(f"line {number} of index.jsonl: a blob of {entry.size} bytes; {LIMITS.blob} are allowed")
        expected = 0 if entry.absent else chunk_count(entry.size, chunk)
        if len(entry.chunks) != expected:
            raise WrongChunkCount(
                f"line {number} of index.jsonl: {len(entry.chunks)} chunks, but {entry.size} bytes have {expected}"
            )
        if not seen.add(entry.digest):
            raise DuplicateDigest(f"line {number} of index.jsonl: sha256:{entry.digest} stands there twice")
        yield entry


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        for line in (*lines, rest):
            if len(line) > LIMITS.index_line:
                raise OverLimit(f"index.jsonl has a line of more than {LIMITS.index_line} bytes")
        yield from lines
    if rest:
        raise MalformedIndex("the last line of index.jsonl has no newline")


def _entry(line: bytes, number: int) -> Entry:
    found = _LINE.fullmatch(line)
    if found is None:
        raise _complaint(line, f"line {number} of index.jsonl")
    chunks = found["chunks"]
    return Entry(
        digest=found["digest"].decode(),
        size=int(found["size"]),
        chunks=tuple(chunks.decode()[1:-1].split('","')) if chunks else (),
        absent=found["absent"] is not None,
    )


def _complaint(line: bytes, where: str) -> UnknownField | MalformedIndex:
    """Why a line did not match. Raises `InvalidValue` itself when it is not even JSON."""
    document = documents.parse(line, where)
    unknown = set(document) - _KEYS if isinstance(document, dict) else set()
    if unknown:
        return UnknownField(
            f"{where} has an unknown field `{min(unknown)}`",
            hint="a newer release of BuzzCrate wrote this crate; use that to read it",
        )
    return MalformedIndex(f"{where} is not spelled as the format spells an entry: {line[:100]!r}")


class Seen:
    """A set of strings in a flat table of 64-bit fingerprints, at 8 to 32 bytes each where a `set` takes 120.

    Two strings in a million of them share a fingerprint with a chance of one in 37 million; then a sound crate would
    be refused, and no unsound one accepted.
    """

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 << 10))
        self._mask = (1 << 10) - 1
        self._count = 0

    def add(self, text: str) -> bool:
        """Whether it was new."""
        # zero marks an empty slot
        fingerprint = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) or 1
        if not self._put(fingerprint):
            return False
        self._count += 1
        if 2 * self._count > self._mask:
            self._grow()
        return True

    def _put(self, fingerprint: int) -> bool:
        slot = fingerprint & self._mask
        while found := self._table[slot]:
            if found == fingerprint:
                return False
            slot = (slot + 1) & self._mask
        self._table[slot] = fingerprint
        return True

    def _grow(self) -> None:
        old = self._table
        self._mask = 2 * self._mask + 1
        self._table = array("Q", bytes(8 * (self._mask + 1)))
        for fingerprint in old:
            if fingerprint:
                self._put(fingerprint)

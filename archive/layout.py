"""Where everything in an archive lies, computed from the signed index alone. Pure arithmetic.

The archive is a ustar (POSIX.1-1988, "tar Interchange Format") with one kind of header: a regular file, mode 0644,
owner and times zero. docs/format.md has the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from archive.index import Entry
from archive.limits import LIMITS
from archive.release import Release

BLOCK = 512
TRAILER = 2 * BLOCK
SIGNED = "crate.json"
SLOT = "crate.json.sig"
INDEX = "index.jsonl"
OCI_LAYOUT = "oci-layout"
OCI_INDEX = "index.json"
BLOBS = "blobs/sha256/"


def padding(size: int) -> int:
    """Zeros between a member's content and the next header."""
    return -size % BLOCK


def header(name: str, size: int) -> bytes:
    """The 512 bytes in front of a member."""
    fields = b"".join(
        (
            name.encode().ljust(100, b"\0"),
            b"0000644\0",  # mode
            b"0000000\0" * 2,  # uid, gid
            b"%011o\0" % size,
            b"%011o\0" % 0,  # mtime
            b" " * 8,  # checksum, counted as blanks
            b"0",  # a regular file
            bytes(100),  # link name
            b"ustar\0" + b"00",
            bytes(64),  # user and group name
            b"0000000\0" * 2,  # device
            bytes(155 + 12),  # prefix and the rest of the block
        )
    )
    checksum = b"%06o\0 " % sum(fields)
    return fields[:148] + checksum + fields[156:]


def size_in(header_bytes: bytes) -> int | None:
    """The size field, read before there is anything to compute it from; None when it is not eleven octal digits."""
    digits = header_bytes[124:135]
    return int(digits, 8) if len(digits) == 11 and not digits.strip(b"01234567") else None


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the archive: where its header and its content begin, and how long the content is."""

    name: str
    header_offset: int
    size: int

    @property
    def offset(self) -> int:
        return self.header_offset + BLOCK

    @property
    def end(self) -> int:
        """Where the next header begins."""
        return self.offset + self.size + padding(self.size)

    def next(self, name: str, size: int) -> Member:
        return Member(name, self.end, size)


@dataclass(frozen=True, slots=True)
class Head:
    """The five members in front of the blobs."""

    signed: Member
    slot: Member
    index: Member
    oci_layout: Member
    oci_index: Member

    @classmethod
    def of(cls, signed_size: int, release: Release) -> Head:
        signed = Member(SIGNED, 0, signed_size)
        slot = signed.next(SLOT, LIMITS.slot)
        index = slot.next(INDEX, release.index.size)
        oci_layout = index.next(OCI_LAYOUT, release.oci_layout.size)
        oci_index = oci_layout.next(OCI_INDEX, release.oci_index.size)
        return cls(signed, slot, index, oci_layout, oci_index)

    def members(self) -> tuple[Member, ...]:
        return (self.signed, self.slot, self.index, self.oci_layout, self.oci_index)

    @property
    def end(self) -> int:
        return self.oci_index.end


@dataclass(frozen=True, slots=True)
class Placed:
    """An entry of the index and where its header lies; an absent one has a place of no length."""

    entry: Entry
    header_offset: int

    @property
    def data_offset(self) -> int:
        return self.header_offset + BLOCK

    @property
    def end(self) -> int:
        """Where the next blob's header begins."""
        if self.entry.absent:
            return self.header_offset
        return self.data_offset + self.entry.size + padding(self.entry.size)

    @property
    def name(self) -> str:
        return BLOBS + self.entry.digest


def place(entries: Iterable[Entry], offset: int) -> Iterator[Placed]:
    """Each entry at its place, the first header at `offset`."""
    for entry in entries:
        placed = Placed(entry, offset)
        offset = placed.end
        yield placed


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the archive that is checked as one.

    Either its bytes are known (`expected`: headers, padding, trailer) or their digest is (`sha256`, hex: a chunk, a
    document). `placed` is the blob whose header or chunk it is. `last` marks a blob's last chunk.
    """

    offset: int
    length: int
    expected: bytes | None = None
    sha256: str | None = None
    placed: Placed | None = None
    last: bool = False

    @property
    def end(self) -> int:
        return self.offset + self.length


def spans_of(placed: Placed, chunk: int) -> Iterator[Span]:
    """A blob's header, its chunks, and the padding behind them."""
    entry = placed.entry
    if entry.absent:
        return
    yield Span(placed.header_offset, BLOCK, expected=header(placed.name, entry.size), placed=placed)
    digests = entry.chunks or (entry.digest,)
    for number, digest in enumerate(digests):
        start = number * chunk
        length = min(chunk, entry.size - start)
        last = number == len(digests) - 1
        yield Span(placed.data_offset + start, length, sha256=digest, placed=placed, last=last)
    if padding(entry.size):
        end = placed.data_offset + entry.size
        yield Span(end, padding(entry.size), expected=bytes(padding(entry.size)), placed=placed)


def parts(total: int, part_size: int) -> list[int]:
    """The sizes of the volumes that an archive of `total` bytes is cut into."""
    whole, rest = divmod(total, part_size)
    return [part_size] * whole + ([rest] if rest else [])

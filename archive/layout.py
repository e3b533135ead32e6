"""Where everything in an archive lies, computed from the signed index alone. Pure arithmetic.

The archive is a ustar (POSIX.1-1988, "tar Interchange Format") of regular files, mode 0644, owner and times zero, and
of the two folders that blobs lie in: without them, programs that unpack as a plain user try to make them root's.
docs/format.md has the bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

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
FOLDERS = ("blobs/", BLOBS)


def padding(size: int) -> int:
    """Zeros between a member's content and the next header."""
    return -size % BLOCK


def header(name: str, size: int) -> bytes:
    """The 512 bytes in front of a member."""
    return _header(name, size, mode=b"0000644", kind=b"0")


def folder_header(name: str) -> bytes:
    """The 512 bytes that are a folder; `name` ends in a slash."""
    return _header(name, 0, mode=b"0000755", kind=b"5")


def _header(name: str, size: int, *, mode: bytes, kind: bytes) -> bytes:
    fields = b"".join(
        (
            name.encode().ljust(100, b"\0"),
            mode + b"\0",
            b"0000000\0" * 2,  # uid, gid
            b"%011o\0" % size,
            b"%011o\0" % 0,  # mtime
            b" " * 8,  # checksum, counted as blanks
            kind,
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
    """The five members in front of the blobs, and the two folders behind them."""

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

    def digests(self, signed: bytes, release: Release) -> Iterator[tuple[Member, str | None]]:
        """Each member with the sha256 (hex) that its content must have; the slot has none."""
        yield self.signed, hashlib.sha256(signed).hexdigest()
        yield self.slot, None
        yield self.index, release.index.sha256
        yield self.oci_layout, release.oci_layout.sha256
        yield self.oci_index, release.oci_index.sha256

    def folders(self) -> Iterator[Span]:
        for number, name in enumerate(FOLDERS):
            offset = self.oci_index.end + number * BLOCK
            yield Span(Kind.HEADER, name, offset, BLOCK, expected=folder_header(name))

    @property
    def end(self) -> int:
        """Where the first blob's header begins."""
        return self.oci_index.end + len(FOLDERS) * BLOCK


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
        return self.header_offset if self.entry.absent else self.member.end

    @property
    def member(self) -> Member:
        return Member(BLOBS + self.entry.digest, self.header_offset, self.entry.size)

    def spans(self, chunk: int, *, whole: bool = False) -> Iterator[Span]:
        """Nothing, when it is absent. `whole` leaves out the digests of chunks, and only that of the blob remains."""
        if self.entry.absent:
            return iter(())
        return spans(self.member, chunk, self.entry.digest, () if whole else self.entry.chunks)


def place(entries: Iterable[Entry], offset: int) -> Iterator[Placed]:
    """Each entry at its place, the first header at `offset`."""
    for entry in entries:
        placed = Placed(entry, offset)
        offset = placed.end
        yield placed


class Kind(Enum):
    HEADER = "header"
    DATA = "data"
    PADDING = "padding"
    TRAILER = "trailer"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the archive that is checked as one.

    Its bytes are known (`expected`), or their digest (`sha256`, hex), or the digest of all the stretches that make up
    one member (`whole`), or the last two. The signature slot has none of them: `archive.trust` judges that.
    """

    kind: Kind
    name: str
    offset: int
    length: int
    expected: bytes | None = None
    sha256: str | None = None
    whole: str | None = None

    @property
    def end(self) -> int:
        return self.offset + self.length


def spans(member: Member, chunk: int, digest: str | None, chunks: tuple[str, ...] = ()) -> Iterator[Span]:
    """A member's header, its content in chunks of `chunk` bytes, and its padding.

    `digest` is the sha256 of the whole content, `chunks` those of its chunks, where they are known.
    """
    yield Span(Kind.HEADER, member.name, member.header_offset, BLOCK, expected=header(member.name, member.size))
    divided = member.size > chunk
    for number, start in enumerate(range(0, member.size, chunk) if member.size else (0,)):
        yield Span(
            Kind.DATA,
            member.name,
            member.offset + start,
            min(chunk, member.size - start),
            sha256=(chunks[number] if chunks else None) if divided else digest,
            whole=digest if divided else None,
        )
    if rest := padding(member.size):
        yield Span(Kind.PADDING, member.name, member.end - rest, rest, expected=bytes(rest))


def trailer(offset: int) -> Span:
    """The two blocks of zeros that end a tar."""
    return Span(Kind.TRAILER, "the end", offset, TRAILER, expected=bytes(TRAILER))


def parts(total: int, part_size: int) -> list[int]:
    """The sizes of the volumes that an archive of `total` bytes is cut into."""
    whole, rest = divmod(total, part_size)
    return [part_size] * whole + ([rest] if rest else [])

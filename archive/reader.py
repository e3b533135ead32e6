"""Reading a crate: first what it says it is, then, once that is trusted, its content, every byte of it checked.

`read_envelope` trusts nothing. `Crate` takes the crate.json that `archive.trust` has judged; from there each document
is compared with its pin before a word of it is used, and each chunk before it is handed out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Self

from archive import catalogue, index, layout
from archive.catalogue import Item
from archive.errors import (
    ClashingNames,
    DigestMismatch,
    InvalidValue,
    MalformedCatalogue,
    MisplacedBlob,
    NotACrate,
    OverLimit,
    Truncated,
    UnexpectedHeader,
    UnexpectedPadding,
    UnsafeName,
)
from archive.index import Seen
from archive.layout import Head, Member, Placed
from archive.limits import KIB, LIMITS
from archive.names import check_file_name
from archive.release import Pin, Release
from archive.stream import Piece, Work, mismatch, verified
from archive.volumes import Volumes

_BLOCK = 256 * KIB


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is signed and the slot with the signatures over it, as they stand in the archive."""

    signed: bytes
    slot: bytes


def read_envelope(volumes: Volumes) -> Envelope:
    """crate.json and its signatures, headers compared, sizes capped, nothing trusted.

    Raises `NotACrate`, `OverLimit`, `UnexpectedHeader`, `UnexpectedPadding` and what reading raises.
    """
    try:
        first = volumes.pread(layout.BLOCK, 0)
    except Truncated as error:
        raise NotACrate(f"{volumes.stem} is too short to be a crate") from error
    size = layout.size_in(first)
    if size is None or not first.startswith(layout.SIGNED.encode() + b"\0"):
        raise NotACrate(f"{volumes.stem} is not a crate", hint="a crate is a tar file whose first member is crate.json")
    if size > LIMITS.signed:
        raise OverLimit(f"crate.json has {size} bytes; {LIMITS.signed} are allowed")
    signed = Member(layout.SIGNED, 0, size)
    return Envelope(
        signed=read_member(volumes, signed),
        slot=read_member(volumes, signed.next(layout.SLOT, LIMITS.slot)),
    )


def read_member(volumes: Volumes, member: Member) -> bytes:
    """A small member whole, its header and padding compared. Raises `UnexpectedHeader`, `UnexpectedPadding`."""
    _check_frame(volumes, member)
    return volumes.pread(member.size, member.offset)


def _check_frame(volumes: Volumes, member: Member) -> None:
    if volumes.pread(layout.BLOCK, member.header_offset) != layout.header(member.name, member.size):
        raise UnexpectedHeader(f"{volumes.where(member.header_offset)}: not the header of {member.name}")
    rest = member.offset + member.size
    if any(volumes.pread(layout.padding(member.size), rest)):
        raise UnexpectedPadding(f"{volumes.where(rest)}: something stands behind {member.name}")


@dataclass(frozen=True, slots=True)
class Survey:
    """What one pass over the whole index established."""

    blobs: int
    data_size: int
    end: int
    """Where the blobs end and the trailer begins."""
    leading: tuple[Placed, ...]
    """Catalogue, lock, recipe and boot files."""


class Crate:
    """A crate whose crate.json is trusted. Everything it yields has been compared with what that vouches for."""

    def __init__(self, volumes: Volumes, signed: bytes, release: Release) -> None:
        self.volumes = volumes
        self.signed = signed
        self.release = release
        self.head = Head.of(len(signed), release)
        self._survey: Survey | None = None

    @classmethod
    def open(cls, volumes: Volumes, signed: bytes) -> Self:
        """For `signed` as `read_envelope` gave it; parses it. Raises as `Release.parse`."""
        return cls(volumes, signed, Release.parse(signed))

    @property
    def digest(self) -> str:
        """The sha256 (hex) of crate.json, which names the crate."""
        return hashlib.sha256(self.signed).hexdigest()

    @property
    def survey(self) -> Survey:
        """Checks the whole index, once: pin, spelling, duplicates, order; and the files' sizes against it.

        Raises `DigestMismatch`, what `index.parse` raises, `MisplacedBlob`, what `Volumes.expect` raises.
        """
        if self._survey is None:
            # the digest first: an index that is not the signed one is damage, whatever it says
            for _ in self._index_blocks():
                pass
            self._survey = self._look()
            self.volumes.expect(self.total_size)
        return self._survey

    @property
    def total_size(self) -> int:
        """The archive's size in bytes, all parts together."""
        return self.survey.end + layout.TRAILER

    def entries(self) -> Iterator[Placed]:
        """Every blob of the index in the archive's order, absent ones too, with its place.

        The index has been checked whole before the first comes out; it is hashed again as it is read, because a
        medium may give other bytes the second time.
        """
        self.survey  # noqa: B018 - for its refusals
        return self._placed()

    def catalogue(self) -> Iterator[Item]:
        """The items, one at a time, file names checked.

        Raises `MalformedCatalogue`, `UnsafeName`, `ClashingNames`, and what reading raises.
        """
        placed = self._leading(self.release.catalogue)
        try:
            yield from self._items(placed)
        except (UnsafeName, ClashingNames):
            raise
        except InvalidValue as error:
            raise MalformedCatalogue(f"the catalogue of this crate is broken: {error.what}") from error

    def small_blob(self, pin: Pin) -> bytes:
        """A leading blob (recipe, lock, boot file) whole. Raises `MisplacedBlob`, `DigestMismatch`."""
        return b"".join(self._chunks(self._leading(pin)))

    def stream(
        self,
        wanted: Callable[[Placed], bool] = lambda _: True,
        have: Callable[[int, int], bool] = lambda *_: False,
        whole: Callable[[Placed], bool] = lambda _: False,
    ) -> Generator[Piece, None, None]:
        """The whole archive, verified, in its order; see `archive.stream`.

        Blobs that are not `wanted` are not read, and neither is what `have(offset, length)` says is there already.
        Of a `whole` blob only its own digest is compared, which is half the hashing: its Data is not verified when it
        comes out, a proven BlobDone says that it was right, a FalseBlob that some of it was not; `have` may not claim
        any of it. All three are asked in the caller's thread.
        """
        return verified(self.volumes, self._work(wanted, whole), have)

    def _work(self, wanted: Callable[[Placed], bool], whole: Callable[[Placed], bool]) -> Iterator[Work]:
        for member, digest in self.head.digests(self.signed, self.release):
            yield Work(layout.spans(member, self.release.chunk, digest))
        yield Work(self.head.folders())
        for placed in self.entries():
            if not placed.entry.absent:
                read = wanted(placed)
                yield Work(placed.spans(self.release.chunk, whole=read and whole(placed)), placed, read=read)
        yield Work([layout.trailer(self.survey.end)])

    def _index_blocks(self) -> Iterator[bytes]:
        """index.jsonl in blocks; what follows the last of them is only reached when the whole had its digest."""
        member, state = self.head.index, hashlib.sha256()
        _check_frame(self.volumes, member)
        for start in range(0, member.size, _BLOCK):
            block = self.volumes.pread(min(_BLOCK, member.size - start), member.offset + start)
            state.update(block)
            yield block
        if state.hexdigest() != self.release.index.sha256:
            raise DigestMismatch(
                f"{self.volumes.where(member.offset)}: index.jsonl is not the signed one", hint="copy the crate again"
            )

    def _placed(self) -> Iterator[Placed]:
        return layout.place(index.parse(self._index_blocks(), self.release.chunk), self.head.end)

    def _look(self) -> Survey:
        expected = self.release.leading()
        leading: list[Placed] = []
        blobs = data_size = 0
        end = self.head.end
        for placed in self._placed():
            entry = placed.entry
            if len(leading) < len(expected):
                if entry.absent or Pin(entry.size, entry.digest) != expected[len(leading)]:
                    raise MisplacedBlob(
                        f"blob {blobs + 1} of the index is sha256:{entry.digest}, "
                        f"where crate.json has sha256:{expected[len(leading)].sha256}"
                    )
                leading.append(placed)
            blobs += 1
            data_size += 0 if entry.absent else entry.size
            end = placed.end
        if len(leading) < len(expected):
            raise MisplacedBlob(f"the index ends before sha256:{expected[len(leading)].sha256}, which crate.json names")
        return Survey(blobs, data_size, end, tuple(leading))

    def _leading(self, pin: Pin) -> Placed:
        for placed in self.survey.leading:
            if placed.entry.digest == pin.sha256:
                return placed
        raise MisplacedBlob(f"sha256:{pin.sha256} is not among the first blobs of this crate")

    def _chunks(self, placed: Placed) -> Iterator[bytes]:
        """A blob's content, each chunk compared before it comes out."""
        _check_frame(self.volumes, placed.member)
        for span in placed.spans(self.release.chunk):
            if span.kind is layout.Kind.DATA:
                data = self.volumes.pread(span.length, span.offset)
                if hashlib.sha256(data).hexdigest() != span.sha256:
                    raise mismatch(self.volumes, span)
                yield data

    def _items(self, placed: Placed) -> Iterator[Item]:
        taken, files = Seen(), Seen()
        for item in catalogue.read(_lines(self._chunks(placed))):
            for file in item.files:
                if file.path:
                    name = f"{item.kind}/{check_file_name(file.path)}"
                    # one file may serve several items: the same name for the same content is no clash
                    if files.add(f"{name} {file.sha256}") and not taken.add(name.casefold()):
                        raise ClashingNames(f"two files of the catalogue are called {file.path!r} on a case-blind disk")
            yield item


def _lines(blocks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
        if len(rest) > LIMITS.catalogue_line:
            raise OverLimit(f"the catalogue has a line of more than {LIMITS.catalogue_line} bytes")
    if rest:
        yield rest

"""Writing a crate in one pass: the blobs go straight to their places while they are hashed, the index and crate.json
into the room that was left for them. The same draft and blobs give the same bytes; only the signature slot may differ.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from archive import index, layout, sshsig
from archive.errors import BlobChanged, BlobTooLarge, DuplicateDigest, MisplacedBlob, PartTooSmall
from archive.index import Entry, Seen
from archive.layout import Head
from archive.limits import LIMITS
from archive.output import Output
from archive.pipeline import Batch, Whole, flow
from archive.progress import SILENT, Progress
from archive.release import BootFile, Pin, Release
from archive.signing import Signer

OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_NOT_YET = "0" * 64


@dataclass(frozen=True, slots=True)
class BlobSource:
    """A blob to be packed: `size` bytes at `offset` of the file `path`.

    `proven` says that these very bytes were hashed in this run already. An `absent` blob has no path and is left to
    the importing side to hold.
    """

    digest: str
    size: int
    path: Path | None
    offset: int = 0
    proven: bool = False
    absent: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """What crate.json will say, and the documents that lead the blobs."""

    name: str
    channel: str
    serial: int
    created: datetime
    expires: datetime | None
    writer: str
    catalogue: bytes
    recipe: bytes
    lock: bytes
    boot: tuple[BootFile, ...] = ()
    chunk: int = LIMITS.chunk


@dataclass(frozen=True, slots=True)
class Written:
    """The files that make up the crate, what was signed, and the archive's size in bytes."""

    paths: tuple[Path, ...]
    release: Release
    size: int


def write_crate(
    draft: Draft,
    blobs: Sequence[BlobSource],
    oci_index: bytes,
    signers: Sequence[Signer],
    out: Path,
    *,
    part_size: int | None = None,
    progress: Progress = SILENT,
) -> Written:
    """Writes `out`, or `out.000` and so on when it is larger than `part_size`; both shapes replace an earlier one.

    `blobs` are in their final order: boot files first, as `draft.boot` lists them, then the rest; catalogue, lock and
    recipe are put in front of them. Nothing is left behind when it fails. Without signers the slot stays empty.

    Raises `WritingProblem`s, `OverLimit`, `DuplicateDigest`, `MisplacedBlob`, and what signing raises.
    """
    documents = {hashlib.sha256(data).hexdigest(): data for data in (draft.catalogue, draft.lock, draft.recipe)}
    sources = [BlobSource(digest, len(data), None, proven=True) for digest, data in documents.items()]
    sources += [blob for blob in blobs if blob.digest not in documents]
    index_size = sum(index.line_size(one.size, draft.chunk, absent=one.absent) for one in sources)
    release = _release(draft, oci_index, Pin(index_size, _NOT_YET))
    _check_blobs(release, sources)
    Release.parse(release.to_bytes())  # what the reader would refuse is not written
    head = Head.of(len(release.to_bytes()), release)
    end = boot_end = head.end
    for number, placed in enumerate(
        layout.place((Entry(one.digest, one.size, (), one.absent) for one in sources), end)
    ):
        end = placed.end
        boot_end = end if number < len(release.leading()) else boot_end
    total = end + layout.TRAILER
    if part_size is not None:
        part_size = _checked(part_size, total, boot_end)
    with Output(out, total, part_size) as output, progress.task("packing", total) as task:
        lines = _Lines(output, head.index.offset)
        offset = head.end
        for batch, view in flow(_batches(sources, documents, draft.chunk), _fill):
            output.pwrite(view, offset)
            offset += len(view)
            lines.add(_entries(batch))
            task.advance(len(view))
        release = _release(draft, oci_index, Pin(index_size, lines.finish()))
        signed = release.to_bytes()
        slot = sshsig.fill_slot(tuple(signer.sign(signed) for signer in signers))
        contents = (signed, slot, None, OCI_LAYOUT, oci_index)
        for (member, _), content in zip(head.digests(signed, release), contents, strict=True):
            output.pwrite(layout.header(member.name, member.size), member.header_offset)
            if content is not None:  # the index is there already
                output.pwrite(content, member.offset)
        for folder in head.folders():
            output.pwrite(layout.folder_header(folder.name), folder.offset)
        output.pwrite(bytes(layout.TRAILER), end)
        task.advance(total - (offset - head.end))
        task.detail("waiting for the disk")
        paths = output.finish()
    return Written(paths, release, total)


def _release(draft: Draft, oci_index: bytes, index_pin: Pin) -> Release:
    def pin(data: bytes) -> Pin:
        return Pin(len(data), hashlib.sha256(data).hexdigest())

    return Release(
        name=draft.name,
        channel=draft.channel,
        serial=draft.serial,
        created=draft.created,
        expires=draft.expires,
        index=index_pin,
        oci_layout=pin(OCI_LAYOUT),
        oci_index=pin(oci_index),
        catalogue=pin(draft.catalogue),
        recipe=pin(draft.recipe),
        lock=pin(draft.lock),
        boot=draft.boot,
        writer=draft.writer,
        chunk=draft.chunk,
    )


def _extent(sources: Iterable[BlobSource]) -> int:
    """How many bytes these blobs take in the archive, headers and padding included."""
    return sum(layout.BLOCK + one.size + layout.padding(one.size) for one in sources if not one.absent)


def _check_blobs(release: Release, sources: Sequence[BlobSource]) -> None:
    seen = Seen()
    for one in sources:
        if one.size > LIMITS.blob:
            raise BlobTooLarge(
                f"{one.path or one.digest} has {one.size} bytes; a crate carries files of less than 8 GiB"
            )
        if index.line_size(one.size, release.chunk, absent=one.absent) > LIMITS.index_line:
            raise BlobTooLarge(f"{one.path or one.digest} has too many chunks of {release.chunk} bytes")
        if not seen.add(one.digest):
            raise DuplicateDigest(f"sha256:{one.digest} is to be packed twice")
    for number, pin in enumerate(release.leading()):
        found = sources[number] if number < len(sources) else None
        if found is None or found.absent or Pin(found.size, found.digest) != pin:
            raise MisplacedBlob(f"sha256:{pin.sha256} is a boot file and must be blob {number + 1} of the crate")


def _checked(part_size: int, total: int, boot_end: int) -> int | None:
    """The part size, or None when one part holds everything. Raises `PartTooSmall`."""
    if total <= part_size:
        return None
    if part_size < boot_end:
        raise PartTooSmall(
            f"parts of {part_size} bytes cannot hold the first {boot_end} bytes of this crate together",
            hint="the first part carries the index, the recipe and the boot files; split into larger parts",
        )
    if -(-total // part_size) > LIMITS.parts:
        raise PartTooSmall(
            f"{total} bytes in parts of {part_size} are more than {LIMITS.parts} parts", hint="split into larger parts"
        )
    return part_size


@dataclass(slots=True)
class _Packing:
    """A blob on its way into the crate, its chunk digests gathering."""

    source: BlobSource
    whole: Whole | None = None
    chunks: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Mark:
    """`made` are bytes at hand: a frame or a document. Otherwise they are read at `offset` of the source."""

    packing: _Packing
    made: bytes | None = None
    offset: int = 0
    last: bool = False


def _batches(sources: Sequence[BlobSource], documents: Mapping[str, bytes], chunk: int) -> Iterator[Batch[_Mark]]:
    batch: Batch[_Mark] = Batch()
    for source in sources:
        for mark, length, hashed in _stretches(source, documents.get(source.digest), chunk):
            if not batch.fits(length):
                yield batch
                batch = Batch()
            batch.add(length, mark, hashed=hashed, whole=mark.packing.whole if hashed else None)
    yield batch


def _stretches(source: BlobSource, document: bytes | None, chunk: int) -> Iterator[tuple[_Mark, int, bool]]:
    """What a blob is written as, with lengths, and whether to hash it."""
    divided = source.size > chunk
    packing = _Packing(source, Whole() if divided and not source.proven else None)
    if source.absent:
        yield _Mark(packing, b"", last=True), 0, False
        return
    yield _Mark(packing, layout.header(layout.BLOBS + source.digest, source.size)), layout.BLOCK, False
    for start in range(0, source.size, chunk) if source.size else (0,):
        length = min(chunk, source.size - start)
        made = None if document is None else document[start : start + length]
        last = start + length == source.size
        yield _Mark(packing, made, source.offset + start, last), length, divided or not source.proven
    if rest := layout.padding(source.size):
        yield _Mark(packing, bytes(rest)), rest, False


def _fill(batch: Batch[_Mark], view: memoryview) -> None:
    opened: tuple[Path, int] | None = None
    try:
        for one in batch.stretches:
            into, mark = view[one.start : one.start + one.length], one.mark
            if mark.made is not None:
                into[:] = mark.made
                continue
            path = mark.packing.source.path
            if path is None:
                digest = mark.packing.source.digest
                raise BlobChanged(f"sha256:{digest} is to be packed from nowhere", digest=digest)
            if opened is None or opened[0] != path:
                if opened:
                    os.close(opened[1])
                opened = None
                opened = (path, os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            _read(opened[1], into, mark)
    finally:
        if opened:
            os.close(opened[1])


def _read(descriptor: int, into: memoryview, mark: _Mark) -> None:
    filled = 0
    while filled < len(into):
        got = os.preadv(descriptor, [into[filled:]], mark.offset + filled)
        if not got:
            raise _changed(mark.packing.source, "it is shorter than it was")
        filled += got


def _entries(batch: Batch[_Mark]) -> Iterator[Entry]:
    """The entries of the blobs whose last chunk is in this batch. Raises `BlobChanged`."""
    for one in batch.stretches:
        packing = one.mark.packing
        if one.whole is not None or (one.digest and packing.source.size > one.length):
            packing.chunks.append(one.digest)
        if not one.mark.last:
            continue
        source = packing.source
        digest = packing.whole.hexdigest() if packing.whole else one.digest
        if not source.proven and not source.absent and digest != source.digest:
            raise _changed(source, f"its sha256 is {digest}")
        yield Entry(source.digest, source.size, tuple(packing.chunks), source.absent)


def _changed(source: BlobSource, how: str) -> BlobChanged:
    return BlobChanged(
        f"{source.path} is not sha256:{source.digest} any more: {how}",
        digest=source.digest,
        hint="it changed or was damaged since it was locked; fetch it again, or run `lock --update`",
    )


class _Lines:
    """Writes the index as entries become known, and hashes it."""

    def __init__(self, output: Output, offset: int) -> None:
        self._output, self._offset = output, offset
        self._state = hashlib.sha256()

    def add(self, entries: Iterable[Entry]) -> None:
        lines = b"".join(entry.line() + b"\n" for entry in entries)
        self._state.update(lines)
        self._output.pwrite(lines, self._offset)
        self._offset += len(lines)

    def finish(self) -> str:
        return self._state.hexdigest()

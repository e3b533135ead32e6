"""Damage is refused or located, whichever byte it hits; what is sound comes out, whatever is missing."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive import errors, layout
from archive.errors import Problem
from archive.progress import Silent, Task
from archive.reader import Crate, read_envelope
from archive.release import Pin
from archive.stream import BlobDone, Damage, Data
from archive.verification import verify_archive
from archive.volumes import Volumes
from archive.writer import write_crate
from tests.archive.crates import (
    CHUNK,
    CONTENTS,
    OCI_INDEX,
    PART,
    RECIPE,
    SIGNER,
    assemble,
    check,
    content,
    draft,
    entry,
    sha256,
    sources,
    split,
)

GOOD = assemble()


@contextlib.contextmanager
def opened(paths: list[Path]) -> Iterator[Crate]:
    with Volumes.open(paths) as volumes:
        yield Crate.open(volumes, read_envelope(volumes).signed)


def written(tmp_path: Path, data: bytes = GOOD) -> list[Path]:
    path = tmp_path / "site-3.crate"
    path.write_bytes(data)
    return [path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flips")


@settings(max_examples=400, deadline=None)
@given(offset=st.integers(0, len(GOOD) - 1), bits=st.integers(1, 255))
def test_any_changed_byte_is_refused(folder: Path, offset: int, bits: int) -> None:
    with pytest.raises(Problem):
        check(written(folder, GOOD[:offset] + bytes([GOOD[offset] ^ bits]) + GOOD[offset + 1 :]))


@settings(max_examples=100, deadline=None)
@given(cut=st.integers(0, len(GOOD) - 1))
def test_any_truncation_is_refused(folder: Path, cut: int) -> None:
    with pytest.raises(Problem):
        check(written(folder, GOOD[:cut]))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_changed_byte_behind_the_index_is_located(folder: Path, data: st.DataObject) -> None:
    with opened(written(folder)) as crate:
        start = crate.head.end
    offset = data.draw(st.integers(start, len(GOOD) - 1))
    with opened(split(folder, GOOD[:offset] + bytes([GOOD[offset] ^ 1]) + GOOD[offset + 1 :])) as crate:
        (damage,) = verify_archive(crate).damages
        assert damage.offset <= offset < damage.offset + damage.length
        assert damage.length <= CHUNK
        assert damage.where.startswith(f"{folder}/site-3.crate.{damage.offset // PART:03} at byte ")
        # what is not a frame belongs to a blob, and the blob is named
        assert damage.placed is not None or offset >= len(GOOD) - layout.TRAILER


def test_the_stream_is_the_archive(tmp_path: Path) -> None:
    out = bytearray(len(GOOD))
    with opened(split(tmp_path, GOOD)) as crate:
        done = []
        for piece in crate.stream():
            if isinstance(piece, Data):
                out[piece.offset : piece.offset + len(piece.data)] = piece.data
            elif isinstance(piece, BlobDone):
                assert piece.proven
                done.append(piece.placed.entry)
        assert done == [placed.entry for placed in crate.entries()]
    assert out == GOOD


def test_an_unwanted_blob_is_not_read_but_its_frame_comes(tmp_path: Path) -> None:
    unwanted = sha256(CONTENTS[-1])
    start = GOOD.index(layout.BLOBS.encode() + unwanted.encode())
    # nothing sound stands where the blob was, header included
    damaged = GOOD[:start] + b"?" * (len(GOOD) - start - layout.TRAILER) + bytes(layout.TRAILER)
    out = bytearray(GOOD)
    with opened(written(tmp_path, damaged)) as crate:
        for piece in crate.stream(wanted=lambda placed: placed.entry.digest != unwanted):
            assert not isinstance(piece, Damage)
            assert not isinstance(piece, BlobDone) or piece.placed.entry.digest != unwanted
            if isinstance(piece, Data):
                out[piece.offset : piece.offset + len(piece.data)] = piece.data
    assert out == GOOD


def test_what_is_there_already_is_left_out(tmp_path: Path) -> None:
    with opened(written(tmp_path)) as crate:
        large = next(placed for placed in crate.entries() if placed.entry.digest == sha256(CONTENTS[-1]))
        first_chunk = (large.data_offset, CHUNK)
        asked: list[tuple[int, int]] = []

        def have(offset: int, length: int) -> bool:
            asked.append((offset, length))
            return (offset, length) == first_chunk

        pieces = [(type(piece), piece) for piece in crate.stream(have=have)]
        covered = sum(len(piece.data) for _, piece in pieces if isinstance(piece, Data))
        (done,) = [piece for _, piece in pieces if isinstance(piece, BlobDone) and piece.placed.entry == large.entry]
    assert not done.proven
    assert sum(length for _, length in asked) == len(GOOD)
    assert covered == len(GOOD) - CHUNK


def test_everything_there_leaves_nothing_to_do(tmp_path: Path) -> None:
    with opened(written(tmp_path)) as crate:
        pieces = list(crate.stream(have=lambda offset, length: True))
    assert [type(piece) for piece in pieces] == [BlobDone] * (3 + len(CONTENTS))
    assert not any(piece.proven for piece in pieces if isinstance(piece, BlobDone))


def test_a_missing_part_costs_only_what_lies_in_it(tmp_path: Path) -> None:
    parts = split(tmp_path, GOOD)
    lost = range(2 * PART, 3 * PART)
    with opened(parts) as crate:
        hit = [one for one in crate.entries() if one.header_offset < lost.stop and one.end > lost.start]
    parts[2].unlink()
    with opened([parts[0], parts[1], *parts[3:]]) as crate:
        assert crate.volumes.missing(crate.total_size) == ["site-3.crate.002"]
        report = verify_archive(crate)
    assert report.blobs == 3 + len(CONTENTS) - len(hit)
    assert {damage.placed for damage in report.damages} == set(hit)
    assert {type(damage.problem) for damage in report.damages} == {errors.MissingPart}
    assert all("site-3.crate.002" in damage.reason for damage in report.damages)


def test_parts_on_several_sticks_in_any_order(tmp_path: Path) -> None:
    sticks = [tmp_path / "a", tmp_path / "b"]
    for stick in sticks:
        stick.mkdir()
    parts = split(sticks[0], GOOD)
    for part in parts[::2]:
        part.rename(sticks[1] / part.name)
    assert check([sticks[0], sticks[1]]) == 3 + len(CONTENTS)
    assert check([sticks[1] / parts[0].name, sticks[0]]) == 3 + len(CONTENTS)


def test_naming_one_part_is_enough(tmp_path: Path) -> None:
    assert check([split(tmp_path, GOOD)[1]]) == 3 + len(CONTENTS)


def test_a_medium_that_fails_is_named_and_the_rest_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.preadv
    bad = len(GOOD) - layout.TRAILER - 2000  # in the last chunk

    def failing(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        if offset <= bad < offset + len(buffers[0]):
            raise OSError(5, "Input/output error")
        return real(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", failing)
    with opened(written(tmp_path)) as crate:
        report = verify_archive(crate)
    (damage,) = report.damages
    assert type(damage.problem) is errors.ReadFailed
    assert "Input/output error" in damage.reason
    assert report.blobs == 3 + len(CONTENTS) - 1


def test_every_damaged_chunk_of_a_blob_is_named(tmp_path: Path) -> None:
    paths = written(tmp_path)
    with opened(paths) as crate:
        large = max(crate.entries(), key=lambda one: one.entry.size)
    chunks = range(0, large.entry.size, CHUNK)
    assert len(chunks) > 2
    data = bytearray(GOOD)
    for start in (chunks[0], chunks[-1]):
        data[large.data_offset + start] ^= 1
    with opened(written(tmp_path, bytes(data))) as crate:
        report = verify_archive(crate)
    assert [damage.offset - large.data_offset for damage in report.damages] == [chunks[0], chunks[-1]]
    assert {type(damage.problem) for damage in report.damages} == {errors.DigestMismatch}
    assert report.blobs == 2 + len(CONTENTS)


def test_a_medium_that_reads_well_the_second_time_is_not_called_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = written(tmp_path)
    with opened(paths) as crate:
        large = max(crate.entries(), key=lambda one: one.entry.size)
        flaws = [large.data_offset + 10]
        real = os.preadv

        def flaky(descriptor: int, buffers: list[memoryview], offset: int) -> int:
            got = real(descriptor, buffers, offset)
            if flaws and offset <= flaws[0] < offset + got:
                buffers[0][flaws.pop() - offset] ^= 1
            return got

        monkeypatch.setattr(os, "preadv", flaky)
        (damage,) = verify_archive(crate).damages
    assert damage.placed == large


def test_a_leading_blob_is_read_by_its_pin(tmp_path: Path) -> None:
    with opened(written(tmp_path)) as crate:
        assert crate.small_blob(crate.release.recipe) == RECIPE
        with pytest.raises(errors.MisplacedBlob):
            crate.small_blob(Pin(len(CONTENTS[3]), sha256(CONTENTS[3])))
    where = GOOD.index(RECIPE, crate.head.end)
    damaged = GOOD[:where] + b"?" + GOOD[where + 1 :]
    with opened(written(tmp_path, damaged)) as crate, pytest.raises(errors.DigestMismatch):
        crate.small_blob(crate.release.recipe)


def test_an_index_that_changes_between_two_readings_is_not_believed(tmp_path: Path) -> None:
    path = written(tmp_path)[0]
    with opened([path]) as crate:
        assert crate.survey.blobs == 3 + len(CONTENTS)
        other = assemble(contents=[content(size, 1) for size in map(len, CONTENTS)])
        start, end = crate.head.index.offset, crate.head.index.end
        path.write_bytes(GOOD[:start] + other[start:end] + GOOD[end:])
        with pytest.raises(errors.DigestMismatch):
            list(crate.entries())


def test_absent_blobs_take_no_room_and_keep_their_place(tmp_path: Path) -> None:
    blobs = sources(tmp_path)
    absent = content(5000, 9)
    blobs.insert(1, type(blobs[0])(sha256(absent), len(absent), None, absent=True))
    out = tmp_path / "site-3.crate"
    write_crate(draft(), blobs, b"{}", [], out)
    with opened([out]) as crate:
        entries = [placed.entry for placed in crate.entries()]
        assert entries[4] == entry(absent, absent=True)
        report = verify_archive(crate)
        assert report.damages == ()
        assert report.blobs == len(entries) - 1
        assert crate.survey.data_size == sum(one.size for one in entries if not one.absent)


def test_an_abandoned_stream_leaves_no_thread_behind(tmp_path: Path) -> None:
    before = threading.active_count()
    with opened(written(tmp_path)) as crate:
        pieces = crate.stream()
        next(pieces)
        pieces.close()
    assert threading.active_count() == before


class Counting(Silent):
    """Adds up what the tasks report."""

    done = 0

    def task(self, what: str, total: int | None = None, *, unit: str = "B") -> Task:
        return CountingTask(self, super().task(what, total, unit=unit))


class CountingTask:
    def __init__(self, counting: Counting, inner: Task) -> None:
        self._counting, self._inner = counting, inner

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def advance(self, amount: int) -> None:
        self._counting.done += amount

    def detail(self, text: str) -> None:
        self._inner.detail(text)

    def grow(self, total: int) -> None:
        self._inner.grow(total)


def test_progress_counts_every_byte(tmp_path: Path) -> None:
    verifying, packing = Counting(), Counting()
    with opened(written(tmp_path)) as crate:
        verify_archive(crate, verifying)
    assert verifying.done == len(GOOD)
    write_crate(draft(), sources(tmp_path), OCI_INDEX, [SIGNER], tmp_path / "site-3.crate", progress=packing)
    assert packing.done == len(GOOD)

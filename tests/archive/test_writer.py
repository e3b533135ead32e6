"""What the writer writes: the same bytes for the same draft, in one pass, or nothing."""

from __future__ import annotations

import dataclasses
import errno
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive import errors, index, layout, output, release
from archive.errors import Problem
from archive.index import Entry
from archive.limits import GIB, LIMITS
from archive.release import BootFile
from archive.writer import BlobSource, write_crate
from tests.archive.crates import CHUNK, CONTENTS, OCI_INDEX, SIGNER, assemble, check, content, draft, sha256, sources

GOOD = assemble()


def joined(paths: tuple[Path, ...]) -> bytes:
    return b"".join(path.read_bytes() for path in paths)


@pytest.mark.parametrize("proven", [False, True], ids=["hashed while packing", "hashed before"])
def test_the_writer_writes_what_the_format_says(proven: bool, tmp_path: Path) -> None:
    blobs = sources(tmp_path, proven=proven)
    written = write_crate(draft(), blobs, OCI_INDEX, [SIGNER], tmp_path / "site-3.crate")
    assert joined(written.paths) == GOOD
    assert written.size == len(GOOD)
    assert written.release.serial == 3
    assert check(written.paths) == 3 + len(CONTENTS)


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(0, 3 * CHUNK + 9), max_size=8), part=st.integers(40, 200))
def test_any_blobs_in_any_parts_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], part: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    contents = [content(size, seed) for seed, size in enumerate(sizes) if size]
    blobs = sources(folder, contents)
    out = folder / "site-3.crate"
    written = write_crate(draft(), blobs, OCI_INDEX, [SIGNER], out, part_size=part << 10)
    assert joined(written.paths) == assemble(contents=contents)
    assert check(written.paths) == 3 + len(contents)


def test_parts_have_the_size_asked_for_and_replace_an_earlier_shape(tmp_path: Path) -> None:
    blobs, out = sources(tmp_path), tmp_path / "site-3.crate"
    tiny = write_crate(draft(), blobs, OCI_INDEX, [SIGNER], out, part_size=30_000)
    larger = write_crate(draft(), blobs, OCI_INDEX, [SIGNER], out, part_size=100_000)
    assert [path.stat().st_size for path in larger.paths] == [100_000, 100_000, len(GOOD) - 200_000]
    assert sorted(tmp_path.glob("site-3.*")) == sorted(larger.paths)
    assert len(tiny.paths) > len(larger.paths)
    (whole,) = write_crate(draft(), blobs, OCI_INDEX, [SIGNER], out).paths
    assert list(tmp_path.glob("site-3.*")) == [whole]
    assert joined((whole,)) == GOOD


def test_a_crate_that_fits_one_part_is_not_cut(tmp_path: Path) -> None:
    out = tmp_path / "site-3.crate"
    assert write_crate(draft(), [], OCI_INDEX, [], out, part_size=GIB).paths == (out,)


def test_boot_files_lead_the_blobs(tmp_path: Path) -> None:
    boot, *rest = sources(tmp_path)
    drafted = draft(boot=(BootFile("python.tar", boot.size, boot.digest, "linux/arm64", "3.11"),))
    written = write_crate(drafted, [boot, *rest], OCI_INDEX, [SIGNER], tmp_path / "site-3.crate")
    assert release.Release.parse(written.release.to_bytes()).boot == drafted.boot
    assert check(written.paths) == 3 + len(CONTENTS)
    with pytest.raises(errors.MisplacedBlob):
        write_crate(drafted, [*rest, boot], OCI_INDEX, [SIGNER], tmp_path / "site-3.crate")


def test_a_blob_that_is_also_the_recipe_is_packed_once(tmp_path: Path) -> None:
    blobs = sources(tmp_path, [draft().recipe, b"other"])
    written = write_crate(draft(), blobs, OCI_INDEX, [SIGNER], tmp_path / "site-3.crate")
    assert check(written.paths) == 4


Spoil = Callable[[list[BlobSource]], list[BlobSource]]


def longer(blobs: list[BlobSource]) -> list[BlobSource]:
    return [dataclasses.replace(blobs[-1], size=blobs[-1].size + 1)]


def changed(number: int) -> Spoil:
    def spoil(blobs: list[BlobSource]) -> list[BlobSource]:
        path = blobs[number].path
        assert path
        path.write_bytes(bytes(blobs[number].size))
        return blobs

    return spoil


FAILURES: dict[str, tuple[type[Problem], Spoil, dict[str, Any]]] = {
    "a small blob that changed": (errors.BlobChanged, changed(1), {}),
    "a large blob that changed": (errors.BlobChanged, changed(-1), {}),
    "a blob that is shorter than it was": (errors.BlobChanged, longer, {}),
    "a blob from nowhere": (
        errors.BlobChanged,
        lambda blobs: [dataclasses.replace(blobs[1], path=None)],
        {},
    ),
    "a blob listed twice": (errors.DuplicateDigest, lambda blobs: [*blobs, blobs[2]], {}),
    "a blob of 8 GiB": (errors.BlobTooLarge, lambda blobs: [dataclasses.replace(blobs[0], size=8 * GIB)], {}),
    "a blob with more chunks than a line may name": (
        errors.BlobTooLarge,
        lambda blobs: [dataclasses.replace(blobs[0], size=GIB)],
        {},
    ),
    "a first part that cannot hold the index": (errors.PartTooSmall, lambda blobs: blobs, {"part_size": 1000}),
    "more parts than a crate may have": (
        errors.PartTooSmall,
        lambda _: [BlobSource("a" * 64, 100 << 20, None)],
        {"part_size": 100_000},
    ),
}


@pytest.mark.parametrize(("problem", "spoil", "options"), FAILURES.values(), ids=FAILURES)
def test_a_crate_that_cannot_be_written_leaves_nothing(
    problem: type[Problem], spoil: Spoil, options: dict[str, Any], tmp_path: Path
) -> None:
    cache, out = tmp_path / "cache", tmp_path / "out"
    cache.mkdir()
    out.mkdir()
    (out / "site-3.crate").write_bytes(b"an earlier one")
    with pytest.raises(problem) as raised:
        write_crate(draft(), spoil(sources(cache)), OCI_INDEX, [SIGNER], out / "site-3.crate", **options)
    assert type(raised.value) is problem
    assert [path.name for path in out.iterdir()] == ["site-3.crate"]
    assert (out / "site-3.crate").read_bytes() == b"an earlier one"


def test_too_small_a_disk_is_found_out_before_anything_is_written(tmp_path: Path) -> None:
    blobs = [BlobSource(f"{n:064}", LIMITS.blob, None) for n in range(400)]
    with pytest.raises(errors.NotEnoughSpace, match="bytes free"):
        write_crate(draft(chunk=LIMITS.chunk), blobs, OCI_INDEX, [SIGNER], tmp_path / "site-3.crate")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    blobs = sources(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(errors.NotEnoughSpace):
        write_crate(draft(), blobs, OCI_INDEX, [SIGNER], out / "site-3.crate")
    assert list(out.iterdir()) == []


def test_a_disk_that_fails_behind_our_back_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    blobs = sources(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.setattr(output, "_FLUSH_EVERY", 1)
    monkeypatch.setattr(os, "fdatasync", broken)
    with pytest.raises(OSError, match="Input/output error"):
        write_crate(draft(), blobs, OCI_INDEX, [SIGNER], out / "site-3.crate")
    assert list(out.iterdir()) == []


def test_names_appear_after_the_bytes_are_on_disk_and_the_first_part_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(descriptor: int) -> None:
        events.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        real_sync(descriptor)

    def replace(path: Path, target: Path) -> Path:
        events.append(f"rename {target.name}")
        return real_replace(path, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    out = tmp_path / "out"
    out.mkdir()
    write_crate(draft(), sources(tmp_path), OCI_INDEX, [SIGNER], out / "site-3.crate", part_size=120_000)
    assert events == [
        "sync site-3.crate.000.part",
        "sync site-3.crate.001.part",
        "rename site-3.crate.001",
        "rename site-3.crate.000",
        "sync out",
    ]


@given(size=st.integers(0, LIMITS.blob), absent=st.booleans())
def test_the_length_of_an_index_line_is_known_before_it_is_written(size: int, absent: bool) -> None:
    count = 0 if absent else index.chunk_count(size, LIMITS.chunk)
    entry = Entry("a" * 64, size, ("b" * 64,) * count, absent)
    assert index.line_size(size, LIMITS.chunk, absent=absent) == len(entry.line()) + 1
    assert list(index.parse([entry.line() + b"\n"], LIMITS.chunk)) == [entry]


@given(size=st.integers(0, LIMITS.blob))
def test_a_header_is_one_that_tar_understands(size: int) -> None:
    name = layout.BLOBS + sha256(b"")
    info = tarfile.TarInfo.frombuf(layout.header(name, size), "ascii", "strict")
    assert (info.name, info.size, info.mode, info.mtime, info.isreg()) == (name, size, 0o644, 0, True)


@pytest.mark.parametrize("name", layout.FOLDERS)
def test_a_folder_is_one_that_tar_understands(name: str) -> None:
    info = tarfile.TarInfo.frombuf(layout.folder_header(name), "ascii", "strict")
    assert (info.name + "/", info.size, info.mode, info.mtime, info.isdir()) == (name, 0, 0o755, 0, True)


_MANY = """
import resource
from archive import index
def block(start):
    return b"".join(b'{"d":"%064x","n":1}\\n' % n for n in range(start, start + 1000))
list(index.parse([b'{"d":"' + b"f" * 64 + b'","n":1}\\n'], 65536))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert sum(1 for _ in index.parse(map(block, range(0, 600_000, 1000)), 65536)) == 600_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_an_index_of_600_000_blobs_is_read_in_40_mb() -> None:
    done = subprocess.run([sys.executable, "-c", _MANY], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 40_000  # KiB

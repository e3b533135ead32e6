"""Importing: whole, in parts, in several runs, over damage; and what it costs in reading, writing and disk."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.errors import IncompleteCrate, MissingBase, StoreBusy, StoreFull
from appliance.installing import install, verify
from appliance.journal import Range
from appliance.keyring import Keyring
from appliance.store import Store
from appliance.unfinished import UnfinishedPack
from archive.errors import MissingPart
from tests.support.crates import CrateMaker, Key
from tests.support.images import make_layout
from tests.support.stores import content, served, trusting

PART = 512 * 1024


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))


def offset_in(crate: Path, data: bytes) -> int:
    """Where a blob's bytes begin in a crate."""
    return crate.read_bytes().index(data[:64])


def allocated(path: Path) -> int:
    return path.stat().st_blocks * 512


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """File and length of every read from a crate's files."""
    done: list[tuple[str, int]] = []
    real = os.preadv

    def recording(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        got = real(descriptor, buffers, offset)
        done.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, got))
        return got

    monkeypatch.setattr(os, "preadv", recording)
    return done


def test_a_whole_crate_is_served_from_its_pack(tmp_path: Path, key: Key, maker: CrateMaker) -> None:
    made = make_layout(tmp_path / "layout", "docker.io/library/busybox:1.36", referrers=["application/spdx+json"])
    maker.image(made)
    (crate,) = maker.write(tmp_path / "stick/site-1.crate", [key])
    with trusting(tmp_path / "root", key) as store:
        installed = install(store, [crate])
        assert installed.activation.crates == ("site 1",)
        assert served(store, "files/f07") == (tmp_path / "blobs" / maker.items[7].files[0].sha256).read_bytes()
        assert store.pack_path(_digest(store)).read_bytes() == crate.read_bytes()
        tags = store.database.reader.execute("SELECT repository, tag, digest FROM published_tags").fetchall()
        assert tags == [("docker.io/library/busybox", "1.36", made.digest)]
        referrers = store.database.reader.execute(
            "SELECT artifact_type, annotations FROM published_manifests WHERE subject = ?", (made.digest,)
        ).fetchall()
        assert referrers == [("application/spdx+json", '{"org.example.made-by": "tests"}')]
        assert sorted(path.name for path in store.packs.iterdir()) == [f"{_digest(store)}.crate"]


def _digest(store: Store) -> str:
    return str(store.database.reader.execute("SELECT digest FROM packs ORDER BY id DESC LIMIT 1").fetchone()[0])


def test_installing_the_same_crate_again_reads_its_metadata_only(
    tmp_path: Path, key: Key, maker: CrateMaker, reads: list[tuple[str, int]]
) -> None:
    (crate,) = maker.write(tmp_path / "site-1.crate", [key])
    with trusting(tmp_path / "root", key) as store:
        install(store, [crate])
        reads.clear()
        again = install(store, [crate])
    assert (again.activation.changed, again.imports[0].written) == (False, 0)
    assert sum(length for _, length in reads) < 64 * 1024


@pytest.mark.parametrize("reverse", [False, True], ids=["first part first", "last part first"])
def test_parts_in_two_folders_are_one_crate(tmp_path: Path, key: Key, maker: CrateMaker, reverse: bool) -> None:
    parts = maker.write(tmp_path / "a/site-1.crate", [key], part_size=PART)
    (tmp_path / "b").mkdir()
    moved = [Path(shutil.move(part, tmp_path / "b")) if number % 2 else part for number, part in enumerate(parts)]
    with trusting(tmp_path / "root", key) as store:
        install(store, sorted(moved, reverse=reverse))
        assert served(store, "files/f19") == (tmp_path / "blobs" / maker.items[19].files[0].sha256).read_bytes()


def test_folders_stand_for_the_crate_in_them(tmp_path: Path, key: Key, maker: CrateMaker) -> None:
    maker.write(tmp_path / "stick/site-1.crate", [key], part_size=PART)
    with trusting(tmp_path / "root", key) as store:
        assert install(store, [tmp_path / "stick"]).activation.crates == ("site 1",)


@pytest.mark.parametrize("part_size", [PART, 96 * 1024], ids=["parts larger than a chunk", "chunks across three parts"])
def test_parts_may_arrive_one_stick_at_a_time(tmp_path: Path, key: Key, part_size: int) -> None:
    maker = CrateMaker(tmp_path / "blobs", chunk=128 * 1024)
    noise = random.Random(5)
    for number in range(6):
        maker.file(f"f{number}", noise.randbytes(300_000))
    parts = maker.write(tmp_path / "all/site-1.crate", [key], part_size=part_size)
    order = [parts[0], *reversed(parts[1:])]
    (whole,) = maker.write(tmp_path / "whole/site-1.crate", [key])
    with trusting(tmp_path / "root", key) as store:
        for number, part in enumerate(order):
            stick = tmp_path / f"stick{number}"
            stick.mkdir()
            alone = Path(shutil.copy(part, stick))
            if number < len(order) - 1:
                with pytest.raises(IncompleteCrate, match="missing"):
                    install(store, [alone])
            else:
                install(store, [alone])
        assert store.pack_path(_digest(store)).read_bytes() == whole.read_bytes()


def test_a_part_that_nothing_is_known_of_asks_for_the_first(tmp_path: Path, key: Key, maker: CrateMaker) -> None:
    parts = maker.write(tmp_path / "all/site-1.crate", [key], part_size=PART)
    (tmp_path / "stick").mkdir()
    alone = Path(shutil.copy(parts[2], tmp_path / "stick"))
    with trusting(tmp_path / "root", key) as store, pytest.raises(MissingPart, match=r"site-1\.crate\.000"):
        install(store, [alone])


def test_a_missing_part_is_named_with_what_needs_it(tmp_path: Path, key: Key, maker: CrateMaker) -> None:
    parts = maker.write(tmp_path / "stick/site-1.crate", [key], part_size=PART)
    parts[3].unlink()
    with trusting(tmp_path / "root", key) as store:
        with pytest.raises(IncompleteCrate) as caught:
            install(store, parts[:1])
        assert "site-1.crate.003 is missing (needed by file f" in caught.value.what
        assert "site-1.crate.003" in caught.value.hint
        assert store.generation() is None


def test_a_damaged_chunk_is_named_and_a_second_copy_completes_it(
    tmp_path: Path, key: Key, maker: CrateMaker, reads: list[tuple[str, int]]
) -> None:
    parts = maker.write(tmp_path / "stick/site-1.crate", [key], part_size=PART)
    shutil.copytree(tmp_path / "stick", tmp_path / "other")
    flip(parts[2], 200_000)
    with trusting(tmp_path / "root", key) as store:
        with pytest.raises(IncompleteCrate) as caught:
            install(store, [tmp_path / "stick"])
        message = caught.value.what
        assert "site-1.crate.002" in message
        assert "sha256/" in message
        assert "needed by file f" in message
        assert "another copy of site-1.crate.002" in caught.value.hint
        reads.clear()
        again = install(store, [tmp_path / "other"])
        assert 0 < again.imports[0].written <= maker.chunk
        data_read = sum(length for name, length in reads if name.startswith("site-1.crate.00"))
        assert data_read < maker.chunk + 100_000
        assert served(store, "files/f19")


def test_a_damaged_fragment_of_an_earlier_stick_is_not_held_against_the_next(tmp_path: Path, key: Key) -> None:
    maker = CrateMaker(tmp_path / "blobs", chunk=256 * 1024)
    maker.file("f", random.Random(7).randbytes(1_000_000))
    parts = maker.write(tmp_path / "all/site-1.crate", [key], part_size=PART)
    sticks = []
    for number, part in enumerate(parts):
        sticks.append(tmp_path / f"stick{number}")
        sticks[-1].mkdir()
        shutil.copy(part, sticks[-1])
    bad = sticks[0] / "site-1.crate.000"
    flip(bad, PART - 10)  # half a chunk, whose other half is on the second stick
    with trusting(tmp_path / "root", key) as store:
        with pytest.raises(IncompleteCrate, match=r"site-1\.crate\.001 is missing"):
            install(store, [sticks[0]])
        with pytest.raises(IncompleteCrate, match=r"site-1\.crate\.000"):
            install(store, sticks[1:])
        shutil.copy(parts[0], bad)
        install(store, sticks)
        assert served(store, "files/f") == (tmp_path / "blobs" / maker.items[0].files[0].sha256).read_bytes()


def test_a_medium_that_cannot_be_read_somewhere_costs_that_place_only(
    tmp_path: Path, key: Key, maker: CrateMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    (crate,) = maker.write(tmp_path / "site-1.crate", [key])
    bad = offset_in(crate, (tmp_path / "blobs" / maker.items[5].files[0].sha256).read_bytes())
    real = os.preadv

    def failing(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        """Stands for a stick with one unreadable sector."""
        length = sum(len(buffer) for buffer in buffers)
        if Path(f"/proc/self/fd/{descriptor}").readlink() == crate and offset <= bad < offset + length:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, buffers, offset)

    with trusting(tmp_path / "root", key) as store:
        with monkeypatch.context() as patched:
            patched.setattr(os, "preadv", failing)
            with pytest.raises(IncompleteCrate, match=r"cannot be read: Input/output error \(needed by file f05"):
                install(store, [crate])
        again = install(store, [crate])
        assert 0 < again.imports[0].written < 2 * maker.chunk
        assert served(store, "files/f05")


def test_a_whole_that_its_signer_lied_about_is_refused_with_sound_chunks(
    tmp_path: Path, key: Key, maker: CrateMaker
) -> None:
    promised = maker.file("promised", random.Random(1).randbytes(300_000))
    maker.blobs[promised].write_bytes(random.Random(2).randbytes(300_000))
    maker.unchecked.add(promised)
    (crate,) = maker.write(tmp_path / "site-1.crate", [key])
    with trusting(tmp_path / "root", key) as store:
        for _ in range(2):
            with pytest.raises(
                IncompleteCrate, match=f"together they are not sha256:{promised} .needed by file promised"
            ):
                install(store, [crate])
        assert not store.blobs.holds(promised)
        assert store.generation() is None


def _stop_after(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Ends the process, as it were, once `size` bytes of a pack have been written."""
    real = UnfinishedPack.write
    left = [size]

    def counting(pack: UnfinishedPack, offset: int, data: memoryview, verified: Iterable[Range] = ()) -> None:
        real(pack, offset, data, verified)
        left[0] -= len(data)
        if left[0] <= 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(UnfinishedPack, "write", counting)


@pytest.mark.parametrize("spoilt", [False, True], ids=["as it was written", "spoilt on the store's disk meanwhile"])
def test_half_a_blob_that_was_written_is_checked_and_not_read_again(
    tmp_path: Path, key: Key, monkeypatch: pytest.MonkeyPatch, spoilt: bool
) -> None:
    maker = CrateMaker(tmp_path / "blobs", chunk=1 << 20)
    data = random.Random(8).randbytes(20 << 20)
    maker.file("large", data)
    (crate,) = maker.write(tmp_path / "site-1.crate", [key])
    with trusting(tmp_path / "root", key) as store:
        with monkeypatch.context() as patched:
            _stop_after(patched, 12 << 20)
            with pytest.raises(KeyboardInterrupt):
                install(store, [crate])
        (part,) = store.packs.glob("*.part")
        if spoilt:
            flip(part, offset_in(crate, data) + (5 << 20))
        again = install(store, [crate])
        assert (4 << 20) < again.imports[0].written < (9 << 20)
        assert served(store, "files/large") == data


def test_a_second_release_costs_what_is_new_in_it(
    tmp_path: Path, key: Key, maker: CrateMaker, reads: list[tuple[str, int]]
) -> None:
    (first,) = maker.write(tmp_path / "site-1.crate", [key])
    new = random.Random(9).randbytes(150_000)
    second_maker = CrateMaker(maker.folder, serial=2, items=maker.items[1:], blobs=maker.blobs)
    second_maker.file("new", new)
    (second,) = second_maker.write(tmp_path / "site-2.crate", [key])
    with trusting(tmp_path / "root", key) as store:
        install(store, [first])
        reads.clear()
        installed = install(store, [second])
        overhead = 64 * 1024  # crate.json, signatures, index, catalogue, lock, recipe
        assert len(new) <= installed.imports[0].written <= len(new) + overhead
        index_size = installed.imports[0].release.index.size
        from_stick = sum(length for name, length in reads if name == "site-2.crate")
        assert from_stick <= len(new) + overhead + 6 * index_size
        assert allocated(store.pack_path(_digest(store))) <= len(new) + overhead
        assert served(store, "files/new") == new
        assert served(store, "files/f01") == (tmp_path / "blobs" / maker.items[1].files[0].sha256).read_bytes()


def test_absent_blobs_come_from_the_store(tmp_path: Path, key: Key, maker: CrateMaker) -> None:
    (first,) = maker.write(tmp_path / "site-1.crate", [key])
    delta = CrateMaker(maker.folder, serial=2, items=maker.items, blobs=maker.blobs)
    delta.absent = {item.files[0].sha256 for item in maker.items[1:]}
    (second,) = delta.write(tmp_path / "site-2.crate", [key])
    with trusting(tmp_path / "root", key) as store:
        with pytest.raises(MissingBase, match="19 of the blobs that it leaves out"):
            install(store, [second])
        assert list(store.packs.iterdir()) == []
        install(store, [first])
        assert install(store, [second]).activation.crates == ("site 2",)
        assert served(store, "files/f19") == (tmp_path / "blobs" / maker.items[19].files[0].sha256).read_bytes()
        inactive = store.database.reader.execute("SELECT active FROM generation_packs WHERE generation = 2").fetchall()
        assert sorted(inactive) == [(0,), (1,)]


def test_two_imports_at_once_take_turns(tmp_path: Path, key: Key, maker: CrateMaker) -> None:
    (crate,) = maker.write(tmp_path / "site-1.crate", [key])
    with trusting(tmp_path / "root", key) as store, Store.open(tmp_path / "root") as other:
        with other.lock("installing other.crate"), pytest.raises(StoreBusy, match=r"installing other\.crate"):
            install(store, [crate])
        assert install(store, [crate]).activation.changed


def test_space_is_checked_before_anything_is_written(
    tmp_path: Path, key: Key, maker: CrateMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    (crate,) = maker.write(tmp_path / "site-1.crate", [key])
    with trusting(tmp_path / "root", key) as store:
        with monkeypatch.context() as patched:
            usage = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
            patched.setattr(shutil, "disk_usage", lambda _path: usage)
            with pytest.raises(StoreFull, match=r"takes [67]\.\d MiB, and 1\.0 MiB are free"):
                install(store, [crate])
        assert list(store.packs.iterdir()) == []
        assert install(store, [crate]).activation.changed


@pytest.mark.parametrize("expired", [False, True], ids=["in time", "past its date"])
def test_an_expired_crate_is_installed_and_said_to_be_so(
    tmp_path: Path, key: Key, maker: CrateMaker, expired: bool
) -> None:
    maker.expires = maker.created if expired else datetime(2999, 1, 1, tzinfo=UTC)
    (crate,) = maker.write(tmp_path / "site-1.crate", [key])
    with trusting(tmp_path / "root", key) as store:
        installed = install(store, [crate])
    assert (installed.activation.changed, installed.imports[0].expired) == (True, expired)


def test_verify_names_the_damage_and_keeps_nothing(tmp_path: Path, key: Key, maker: CrateMaker) -> None:
    (crate,) = maker.write(tmp_path / "site-1.crate", [key])
    with trusting(tmp_path / "root", key) as store:
        before = content(tmp_path / "root")
        assert verify(store, [crate])[0].report.blobs == 23
        flip(crate, offset_in(crate, (tmp_path / "blobs" / maker.items[5].files[0].sha256).read_bytes()))
        with pytest.raises(IncompleteCrate, match="needed by file f05"):
            verify(store, [crate])
        assert content(tmp_path / "root") == before


def test_verify_without_a_part_names_it_once_and_promises_nothing(tmp_path: Path, key: Key, maker: CrateMaker) -> None:
    parts = maker.write(tmp_path / "site-1.crate", [key], part_size=PART)
    parts[3].unlink()
    with trusting(tmp_path / "root", key) as store, pytest.raises(IncompleteCrate) as caught:
        verify(store, parts[:1])
    assert caught.value.what.count("site-1.crate.003 is missing") == 1
    assert caught.value.hint == "try again with the missing site-1.crate.003"


@pytest.mark.parametrize("later_first", [False, True], ids=["in order", "the later one first"])
def test_of_two_releases_the_later_becomes_active(
    tmp_path: Path, key: Key, maker: CrateMaker, later_first: bool
) -> None:
    paths = [*maker.write(tmp_path / "site-1.crate", [key])]
    maker.serial = 2
    paths += maker.write(tmp_path / "site-2.crate", [key])
    with trusting(tmp_path / "root", key) as store:
        assert install(store, sorted(paths, reverse=later_first)).activation.crates == ("site 2",)
        assert Keyring(store).floors() == {"site": 2}


_SPLITS: dict[str, Callable[[list[Path]], list[Path]]] = {
    "two crates as files": lambda paths: paths,
    "two crates in the other order": lambda paths: paths[::-1],
}


@pytest.mark.parametrize("arrange", _SPLITS.values(), ids=_SPLITS)
def test_two_crates_become_one_generation(
    tmp_path: Path, key: Key, maker: CrateMaker, arrange: Callable[[list[Path]], list[Path]]
) -> None:
    other = CrateMaker(tmp_path / "blobs", name="tools", serial=7)
    other.file("hammer", b"nail")
    paths = [*maker.write(tmp_path / "site-1.crate", [key]), *other.write(tmp_path / "tools-7.crate", [key])]
    with trusting(tmp_path / "root", key) as store:
        activation = install(store, arrange(paths)).activation
        assert (activation.generation, activation.crates) == (1, ("site 1", "tools 7"))

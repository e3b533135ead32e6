"""What a signer got wrong about a blob of several chunks ends the same way wherever a run was stopped."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from appliance import journal, unfinished
from appliance.errors import IncompleteCrate
from appliance.installing import install, verify
from appliance.journal import Journal, Range
from appliance.store import Store
from appliance.unfinished import UnfinishedPack
from archive import writer
from archive.index import Entry
from tests.support.crates import CrateMaker, Key
from tests.support.stores import content, served, trusting

MIB = 1 << 20
SIZE = 12 * MIB
STOPS = {
    "in one go": None,
    "stopped before the wrong chunk": 2 * MIB,
    "stopped behind the wrong chunk": 7 * MIB,
    "stopped in the last chunk": SIZE,
}


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large crate's journal grows while its blobs arrive; so does this one's."""
    monkeypatch.setattr(unfinished, "SYNC_EVERY", MIB)


@pytest.fixture
def data() -> bytes:
    return random.Random(4).randbytes(SIZE)


def lying(folder: Path, key: Key, data: bytes, monkeypatch: pytest.MonkeyPatch, part_size: int | None = None) -> Path:
    """A crate of `data` in twelve chunks, the fifth of which its index names wrongly; returns its folder."""

    def entry(digest: str, size: int, chunks: tuple[str, ...], absent: bool = False) -> Entry:
        return Entry(digest, size, (*chunks[:4], "0" * 64, *chunks[5:]) if len(chunks) > 4 else chunks, absent)

    maker = CrateMaker(folder / "blobs", chunk=MIB)
    maker.file("large", data)
    with monkeypatch.context() as patched:
        patched.setattr(writer, "Entry", entry)
        maker.write(folder / "stick/site-1.crate", [key], part_size=part_size)
    return folder / "stick"


def stop(store: Store, crate: Path, at: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """An install that ends as `at` bytes of the pack have been written; None for none at all."""
    if at is None:
        return
    real, left = UnfinishedPack.write, [at]

    def counting(pack: UnfinishedPack, offset: int, data: memoryview, verified: Iterable[Range] = ()) -> None:
        real(pack, offset, data, verified)
        left[0] -= len(data)
        if left[0] <= 0:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(UnfinishedPack, "write", counting)
        with pytest.raises(KeyboardInterrupt):
            install(store, [crate])


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("at", STOPS.values(), ids=STOPS)
def test_a_chunk_that_the_index_names_wrongly_does_not_spoil_a_blob_that_is_right(
    tmp_path: Path, key: Key, data: bytes, monkeypatch: pytest.MonkeyPatch, at: int | None
) -> None:
    stick = lying(tmp_path, key, data, monkeypatch)
    with trusting(tmp_path / "undisturbed", key) as store:
        install(store, [stick])
    with trusting(tmp_path / "root", key) as store:
        assert verify(store, [stick]), "verify must not refuse what install takes"
        stop(store, stick, at, monkeypatch)
        install(store, [stick])
        assert served(store, "files/large") == data
    assert content(tmp_path / "root") == content(tmp_path / "undisturbed")


def test_a_wrongly_named_chunk_may_arrive_with_the_last_of_several_sticks(
    tmp_path: Path, key: Key, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    stick = lying(tmp_path, key, data, monkeypatch, part_size=3 * MIB)
    with trusting(tmp_path / "root", key) as store:
        late = (stick / "site-1.crate.001").rename(tmp_path / "site-1.crate.001")
        with pytest.raises(IncompleteCrate, match=r"site-1\.crate\.001 is missing"):
            install(store, [stick])
        late.rename(stick / late.name)
        install(store, [stick])
        assert served(store, "files/large") == data


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("at", STOPS.values(), ids=STOPS)
def test_nothing_of_a_blob_counts_before_its_whole_is_right(
    tmp_path: Path, key: Key, data: bytes, monkeypatch: pytest.MonkeyPatch, at: int | None
) -> None:
    maker = CrateMaker(tmp_path / "blobs", chunk=MIB)
    promised = maker.file("large", data)
    wrong = data[:-1] + bytes([data[-1] ^ 1])
    maker.blobs[promised].write_bytes(wrong)
    maker.unchecked.add(promised)
    (crate,) = maker.write(tmp_path / "site-1.crate", [key])
    start = crate.read_bytes().index(wrong[:64])
    with trusting(tmp_path / "root", key) as store:
        stop(store, crate, at, monkeypatch)
        if at is not None:
            (pending,) = journal.pending(store.packs)
            before = Journal(store.journal_path(pending.digest), pending)
            before.close()
            assert before.stored.covers(start, start + at - 2 * MIB)
            assert before.verified.misses(start, start + SIZE), "it was taken for right on the way"
            assert not before.proven
        with pytest.raises(IncompleteCrate, match=f"together they are not sha256:{promised}"):
            install(store, [crate])
        assert not store.blobs.holds(promised)
        assert store.generation() is None

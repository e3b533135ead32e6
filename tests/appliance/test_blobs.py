"""The table of blobs, and the loose files behind half of it."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from appliance.errors import NoStore, UnknownBlob
from appliance.store import Store
from archive.digests import Digest


def put(store: Store, data: bytes, *aliases: Digest) -> Digest:
    """Adds `data` as a push would: a finished file in uploads/, handed over."""
    digest = Digest.of(data)
    temporary = store.uploads / f"{threading.get_ident()}-{digest.hex}"
    temporary.write_bytes(data)
    store.blobs.add_loose(temporary, digest, aliases)
    return digest


def test_a_loose_blob_is_found_by_both_of_its_digests(tmp_path: Path) -> None:
    data = b"pushed"
    with Store.open(tmp_path) as store:
        digest = put(store, data, Digest.of(data, "sha512"))
        for name in (digest, Digest.of(data, "sha512")):
            with store.blobs.open(name) as extent:
                assert (extent.file.read(), extent.offset, extent.size, extent.sha256) == (data, 0, 6, digest.hex)
        assert list(store.uploads.iterdir()) == []


def test_an_unknown_digest_is_none_to_find_and_a_problem_to_open(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        assert store.blobs.find(Digest.of(b"never")) is None
        with pytest.raises(UnknownBlob):
            store.blobs.open(Digest.of(b"never", "sha512"))


def test_the_same_blob_pushed_by_eight_threads_is_stored_once(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        threads = [threading.Thread(target=put, args=(store, b"layer" * 1000)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.blobs.read(Digest.of(b"layer" * 1000), 1 << 20) == b"layer" * 1000
        assert len([path for path in (tmp_path / "loose").rglob("*") if path.is_file()]) == 1
        assert list(store.uploads.iterdir()) == []


def test_a_blob_survives_closing_and_opening_again(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        digest = put(store, b"kept")
    with Store.open(tmp_path, create=False) as store:
        assert store.blobs.read(digest, 100) == b"kept"


def test_a_new_store_that_another_process_just_opens_is_waited_for(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "crate.db", isolation_level=None, check_same_thread=False)) as other:
        other.execute("CREATE TABLE first (one)")
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO first VALUES (1)")
        timer = threading.Timer(0.3, other.execute, ["COMMIT"])
        timer.start()
        Store.open(tmp_path).close()
        timer.join()


def test_an_empty_root_is_no_store_unless_one_may_be_made(tmp_path: Path) -> None:
    with pytest.raises(NoStore):
        Store.open(tmp_path / "nothing", create=False)
    assert not (tmp_path / "nothing").exists()


def test_a_failed_transaction_leaves_nothing_behind(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:

        def write_and_fail() -> None:
            with store.database.write() as connection:
                connection.execute("INSERT INTO floors VALUES ('site', 1, 'x')")
                raise KeyError

        with pytest.raises(KeyError):
            write_and_fail()
        assert store.database.reader.execute("SELECT count(*) FROM floors").fetchone() == (0,)


def test_another_process_s_commit_changes_the_data_version(tmp_path: Path) -> None:
    with Store.open(tmp_path) as ours, Store.open(tmp_path) as theirs:
        before = ours.database.data_version()
        with theirs.database.write() as connection:
            connection.execute("INSERT INTO floors VALUES ('site', 1, 'x')")
        assert ours.database.data_version() != before


def test_a_store_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store, store.database.write() as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(NoStore, match="newer"):
        Store.open(tmp_path)

"""Activation and rollback: one step from one set of crates to the next."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance import generations
from appliance.errors import BadPublication, NoGeneration
from appliance.generations import activate, rollback
from appliance.installing import install
from appliance.keyring import Keyring
from appliance.publication import Publication
from appliance.store import Store
from archive import errors
from archive.catalogue import File, Item
from mirror.ecosystem import Published
from tests.support.crates import CrateMaker, Key
from tests.support.stores import dump, served, trusting


def release(folder: Path, key: Key, serial: int, name: str = "site", **fields: object) -> Path:
    """A release whose file `version` says which it is."""
    maker = CrateMaker(folder / "blobs", name=name, serial=serial)
    for field, value in fields.items():
        setattr(maker, field, value)
    maker.file(f"{name}/version", f"{name} {serial}".encode())
    maker.file(f"{name}/data", random.Random(serial).randbytes(100_000))
    return maker.write(folder / f"{name}-{serial}.crate", [key])[0]


def test_a_new_release_replaces_its_name_only(tmp_path: Path, key: Key) -> None:
    with trusting(tmp_path / "root", key) as store:
        install(store, [release(tmp_path, key, 1), release(tmp_path, key, 4, "tools")])
        assert install(store, [release(tmp_path, key, 2)]).activation.crates == ("site 2", "tools 4")
        assert served(store, "files/site/version") == b"site 2"
        assert served(store, "files/tools/version") == b"tools 4"
        assert Keyring(store).floors() == {"site": 2, "tools": 4}


def test_rollback_and_forward_again(tmp_path: Path, key: Key) -> None:
    with trusting(tmp_path / "root", key) as store:
        for serial in (1, 2, 3):
            install(store, [release(tmp_path, key, serial)])
        assert rollback(store).generation == 2
        assert served(store, "files/site/version") == b"site 2"
        assert rollback(store).generation == 1
        with pytest.raises(NoGeneration, match="there are 1, 2, 3, and 1 is active"):
            rollback(store)
        assert rollback(store, 3).crates == ("site 3",)
        assert served(store, "files/site/version") == b"site 3"
        assert Keyring(store).floors() == {"site": 3}


def test_after_a_rollback_the_newest_release_may_come_again_but_not_an_older_one(tmp_path: Path, key: Key) -> None:
    paths = [release(tmp_path, key, serial) for serial in (1, 2)]
    with trusting(tmp_path / "root", key) as store:
        for path in paths:
            install(store, [path])
        rollback(store)
        with pytest.raises(errors.LowerSerial):
            install(store, [paths[0]])
        assert install(store, [paths[1]]).activation.generation == 3


def test_rollback_in_an_empty_store_says_what_comes_first(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store, pytest.raises(NoGeneration, match="nothing was ever activated"):
        rollback(store)


def test_another_open_store_sees_the_new_generation_at_once(tmp_path: Path, key: Key) -> None:
    with trusting(tmp_path / "root", key) as store, Store.open(tmp_path / "root") as daemon:
        before = daemon.database.data_version()
        install(store, [release(tmp_path, key, 1)])
        assert daemon.database.data_version() != before
        assert daemon.generation() == 1


def test_a_publisher_that_fails_leaves_the_old_generation(tmp_path: Path, key: Key) -> None:
    def failing(items: Iterable[Item], into: Publication) -> None:
        for item in items:
            into.serve(Published(f"files/{item.name}", "text/plain", b"a document"))
        into.make_blob(b"a blob")
        assert into.signer.public_key()
        raise BadPublication("no")

    with trusting(tmp_path / "root", key) as store:
        install(store, [release(tmp_path, key, 1)])
        second = release(tmp_path, key, 2)
        before = dump(tmp_path / "root")
        with store.database.write() as connection:
            connection.execute("UPDATE generations SET active = 0")
        with pytest.raises(BadPublication):
            activate(store, [1], {"file": failing})
        with store.database.write() as connection:
            connection.execute("UPDATE generations SET active = 1")
        assert dump(tmp_path / "root") == before
        install(store, [second])


BAD_ITEMS: dict[str, Item] = {
    "a kind that this program does not know": Item("flatpak", "x"),
    "a blob that is not in the crate": Item("file", "x", files=(File("ab" * 32, 5, "x"),)),
    "an image without a repository": Item("image", "x", publish={"tags": ["1"]}),
    "a repository that is no name": Item(
        "image", "x", publish={"repository": "../x", "tags": ["1"], "root": {"digest": "sha256:" + "ab" * 32}}
    ),
}


@pytest.mark.parametrize("item", BAD_ITEMS.values(), ids=BAD_ITEMS)
def test_a_catalogue_that_cannot_be_published_is_refused(tmp_path: Path, key: Key, item: Item) -> None:
    path = release(tmp_path, key, 2, items=[item])
    with trusting(tmp_path / "root", key) as store:
        install(store, [release(tmp_path, key, 1)])
        with pytest.raises(BadPublication):
            install(store, [path])
        assert store.generation() == 1
        assert served(store, "files/site/version") == b"site 1"
        assert Keyring(store).floors() == {"site": 1}


def test_a_board_without_a_clock_goes_by_the_newest_crate(
    tmp_path: Path, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trusting(tmp_path / "root", key) as store:
        install(store, [release(tmp_path, key, 1, created=datetime(2031, 5, 1, tzinfo=UTC))])
        monkeypatch.setattr(time, "time", lambda: 0.0)
        assert generations.now(store) == datetime(2031, 5, 1, tzinfo=UTC)
        signers = tmp_path / "root/trust/allowed_signers"
        signers.write_text(signers.read_text().replace("release ", 'release valid-before="20310101Z" ', 1))
        with pytest.raises(errors.SignerNotValid):
            install(store, [release(tmp_path, key, 2)])


def test_activations_never_run_backwards_in_time(tmp_path: Path, key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    with trusting(tmp_path / "root", key) as store:
        install(store, [release(tmp_path, key, 1)])
        monkeypatch.setattr(time, "time", lambda: 1000.0)
        install(store, [release(tmp_path, key, 2)])
        newest, older = generations.generations(store.database.reader)
        assert (newest.id, newest.active, older.id) == (2, True, 1)
        assert newest.activated_at > older.activated_at

"""Imports that were given up: what is left of them, and how it goes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from appliance.collect import collect
from appliance.errors import IncompleteCrate
from appliance.installing import install
from appliance.keyring import Keyring
from appliance.status import status
from appliance.store import Store
from appliance.unfinished import UnfinishedPack
from tests.appliance.commands import run
from tests.support.crates import CrateMaker, Key
from tests.support.stores import content, served, trusting

PART = 512 * 1024


def begin(store: Store, stick: Path, maker: CrateMaker, key: Key) -> tuple[Path, ...]:
    """An import for which only half of the parts ever came; returns all of them."""
    parts = maker.write(stick / f"site-{maker.serial}.crate", [key], part_size=PART)
    (stick / "half").mkdir()
    half = [Path(shutil.copy(part, stick / "half")) for part in parts[: len(parts) // 2]]
    with pytest.raises(IncompleteCrate):
        install(store, half)
    return parts


def test_an_interrupted_import_stays_until_it_is_given_up(tmp_path: Path, key: Key, maker: CrateMaker) -> None:
    root = tmp_path / "root"
    with trusting(root, key) as store:
        parts = begin(store, tmp_path / "stick", maker, key)
        assert collect(store).imports == 0
        assert "crate-appliance gc --unfinished drops it" in run(root, "status").stdout
        assert len(status(store).pending) == 1
    dropped = run(root, "gc", "--unfinished")
    assert (dropped.returncode, "1 unfinished imports" in dropped.stdout) == (0, True), dropped
    with Store.open(root) as store:
        assert list(store.packs.iterdir()) == []
        assert status(store).pending == ()
        install(store, parts)
        assert served(store, "files/f19")


def test_what_was_freed_is_said(tmp_path: Path, key: Key, maker: CrateMaker) -> None:
    with trusting(tmp_path / "root", key) as store:
        begin(store, tmp_path / "stick", maker, key)
        (part,) = store.packs.glob("*.part")
        size = part.stat().st_blocks * 512
        assert collect(store, unfinished=True).freed >= size > PART


@pytest.mark.parametrize(
    ("floor", "imports"), [(1, 0), (2, 1)], ids=["still the lowest accepted", "below the lowest accepted"]
)
def test_what_could_not_be_accepted_any_more_goes_by_itself(
    tmp_path: Path, key: Key, maker: CrateMaker, floor: int, imports: int
) -> None:
    with trusting(tmp_path / "root", key) as store:
        begin(store, tmp_path / "stick", maker, key)
        Keyring(store).set_floor("site", floor)
        assert collect(store).imports == imports
        assert len(status(store).pending) == 1 - imports


def test_a_later_release_that_was_installed_meanwhile_gives_up_the_earlier_one(
    tmp_path: Path, key: Key, maker: CrateMaker
) -> None:
    later = CrateMaker(maker.folder, serial=2, items=maker.items[:3], blobs=maker.blobs)
    with trusting(tmp_path / "root", key) as store:
        install(store, later.write(tmp_path / "site-2.crate", [key]))
    undisturbed = content(tmp_path / "root")
    with Store.open(tmp_path / "root") as store:
        maker.serial = 3
        begin(store, tmp_path / "stick", maker, key)
        assert collect(store).imports == 0, "it could be gone on with"
        Keyring(store).set_floor("site", 4)
        assert collect(store).imports == 1
        Keyring(store).set_floor("site", 2)
        assert served(store, "files/f02")
    undisturbed["floors"] = [("site", 2, "")]
    assert content(tmp_path / "root") == undisturbed


def test_one_that_was_stopped_before_the_database_knew_it_goes_whole(
    tmp_path: Path, key: Key, maker: CrateMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with trusting(tmp_path / "root", key) as store:
        with monkeypatch.context() as patched:
            patched.setattr(UnfinishedPack, "volumes", stop)  # after the rename
            with pytest.raises(KeyboardInterrupt):
                install(store, maker.write(tmp_path / "site-1.crate", [key]))
        assert {path.suffix for path in store.packs.iterdir()} == {".crate", ".journal"}
        assert collect(store, unfinished=True).imports == 1
        assert list(store.packs.iterdir()) == []


@pytest.mark.parametrize("left", [".part", ".journal"])
def test_half_of_an_import_is_swept_up(tmp_path: Path, key: Key, maker: CrateMaker, left: str) -> None:
    """As a kill in the middle of a collection leaves it, or one between the first two files of an import."""
    with trusting(tmp_path / "root", key) as store:
        begin(store, tmp_path / "stick", maker, key)
        for path in store.packs.iterdir():
            if path.suffix != left:
                path.unlink()
        collect(store)
        assert list(store.packs.iterdir()) == []

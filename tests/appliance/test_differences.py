"""Differences: refused whole where something is missing, naming who brings it; what they rest on stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.collect import collect
from appliance.errors import MissingBase
from appliance.generations import rollback
from appliance.installing import install
from appliance.store import Store
from archive.digests import Digest
from archive.reader import read_envelope
from archive.volumes import Volumes
from tests.support.crates import CrateMaker, Key
from tests.support.stores import dump, served, trusting


@pytest.fixture
def store(tmp_path: Path, key: Key) -> Iterator[Store]:
    with trusting(tmp_path / "root", key) as opened:
        yield opened


class Releases:
    """`site` 1, which brings `old` and `gone`, and `site` 2, a difference that brings `new` and rests on `old`."""

    def __init__(self, folder: Path, key: Key, *, told: bool = True) -> None:
        self.old, self.gone, self.new = b"old" * 50_000, b"gone" * 50_000, b"new" * 1_000
        first = CrateMaker(folder / "blobs")
        first.file("old", self.old)
        first.file("gone", self.gone)
        (self.first,) = first.write(folder / "site-1.crate", [key])
        second = CrateMaker(folder / "blobs", serial=2)
        second.file("old", self.old, absent=True)
        second.file("new", self.new)
        base = [
            {"name": "site", "serial": 1, "digest": digest_of(self.first), "blobs": 1},
            {"name": "", "serial": 0, "digest": "", "blobs": 1},
        ]
        second.lock = json.dumps({"base": base} if told else {"lock": 1}).encode()
        (self.second,) = second.write(folder / "site-2-difference.crate", [key])


def digest_of(crate: Path) -> str:
    with Volumes.open([crate]) as volumes:
        return Digest.of(read_envelope(volumes).signed).hex


@pytest.fixture
def releases(tmp_path: Path, key: Key) -> Releases:
    return Releases(tmp_path, key)


def test_a_difference_is_refused_before_anything_is_touched(store: Store, releases: Releases) -> None:
    before = dump(store.root)
    with pytest.raises(MissingBase, match="site 2 is a difference") as caught:
        install(store, [releases.second])
    assert "1 of the blobs that it leaves out (146.5 KiB) are not here; site 1 brings them" in caught.value.what
    assert caught.value.hint.startswith("install site 1 first")
    assert dump(store.root) == before


def test_a_difference_that_says_nothing_is_refused_too(store: Store, tmp_path: Path, key: Key) -> None:
    with pytest.raises(MissingBase, match=r"are not here$") as caught:
        install(store, [Releases(tmp_path / "silent", key, told=False).second])
    assert "without --have" in caught.value.hint


@pytest.mark.parametrize("difference_first", [True, False], ids=["the difference first", "the base first"])
def test_both_may_come_at_once(store: Store, releases: Releases, difference_first: bool) -> None:
    paths = [releases.first, releases.second]
    installed = install(store, paths[::-1] if difference_first else paths)
    assert installed.activation.crates == ("site 2",)
    assert (served(store, "files/old"), served(store, "files/new")) == (releases.old, releases.new)


def test_what_a_difference_rests_on_stays_whatever_is_collected(store: Store, releases: Releases) -> None:
    for path in (releases.first, releases.second):
        install(store, [path])
    for _ in range(2):
        collect(store, keep=1)
        assert served(store, "files/old") == releases.old
        assert not store.blobs.holds(Digest.of(releases.gone).hex)
    assert install(store, [releases.second]).activation.changed is False


def test_after_a_rollback_too(store: Store, releases: Releases) -> None:
    for path in (releases.first, releases.second):
        install(store, [path])
    rollback(store)
    collect(store, keep=2)
    assert (served(store, "files/old"), served(store, "files/gone")) == (releases.old, releases.gone)
    rollback(store, 2)
    collect(store, keep=1)
    assert (served(store, "files/old"), served(store, "files/new")) == (releases.old, releases.new)


def test_a_base_that_was_collected_since_the_inventory_was_made_is_named(
    store: Store, releases: Releases, tmp_path: Path, key: Key
) -> None:
    """`site` 3 takes the place of 1 before the difference arrives, and has nothing of it."""
    third = CrateMaker(tmp_path / "third", serial=3, name="other")
    third.file("else", b"else")
    install(store, [releases.first])
    install(store, third.write(tmp_path / "other-3.crate", [key]))
    with store.database.write() as connection:
        connection.execute("DELETE FROM blobs WHERE digest = ?", (bytes.fromhex(Digest.of(releases.old).hex),))
    with pytest.raises(MissingBase, match="site 1 brings them"):
        install(store, [releases.second])


def test_what_was_pushed_keeps_a_difference_whole_when_nobody_refers_to_it(store: Store, releases: Releases) -> None:
    loose = store.root / "uploads" / "old"
    loose.write_bytes(releases.old)
    store.blobs.add_loose(loose, Digest.of(releases.old))
    install(store, [releases.second])
    with store.database.write() as connection:
        connection.execute("UPDATE blobs SET touched = 0")
    collect(store, keep=1)
    assert served(store, "files/old") == releases.old

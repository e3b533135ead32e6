"""Requests that were not met: counted, kept within bounds whoever asks, and written down whatever the clock says."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance import exporting, requests
from appliance.installing import install
from appliance.misses import Miss
from appliance.requests import Requests
from appliance.store import Store
from appliance.unmet import judged, unmet
from archive.digests import Digest
from archive.requests import PREFIX, Unmet, prefix
from tests.support.crates import CREATED, CrateMaker, Key
from tests.support.stores import trusting

PEER, OTHER, HOSTILE = "10.0.0.7", "10.0.0.8", "10.0.0.66"


@pytest.fixture
def store(tmp_path: Path, key: Key) -> Iterator[Store]:
    with trusting(tmp_path / "root", key) as opened:
        yield opened


def names(noted: Requests) -> set[str]:
    return {request.name for request in noted.all()}


def test_requests_are_counted_and_who_asked_is_kept(store: Store) -> None:
    noted = Requests(store.database)
    for client in (PEER, OTHER, PEER, None):
        noted.record("pypi", "flask", client)
    assert noted.all() == []
    noted.flush()
    noted.record("pypi", "flask", "fe80::1%eth0")
    noted.flush()
    (found,) = noted.all()
    assert (found.kind, found.name, found.count) == ("pypi", "flask", 5)
    assert found.asked_by == ("fe80::1", "unknown", PEER, OTHER)


def test_a_snapshot_tells_what_was_asked_for_since(store: Store) -> None:
    noted = Requests(store.database)
    for name in ("old", "again"):
        noted.record("npm", name, PEER)
    noted.flush()
    before = noted.snapshot()
    for name in ("again", "new"):
        noted.record("npm", name, PEER)
    noted.flush()
    assert {request.name for request in noted.since(before)} == {"again", "new"}
    assert noted.since(noted.snapshot()) == []


def test_the_table_of_askers_is_short(store: Store) -> None:
    noted = Requests(store.database)
    for number in range(300):
        noted.record("npm", "x", f"10.0.1.{number}")
        if number % 7 == 0:
            noted.flush()
    noted.flush()
    (found,) = noted.all()
    assert (found.count, len(found.asked_by)) == (300, 8)


def test_one_client_cannot_fill_what_is_kept_in_memory(store: Store) -> None:
    noted = Requests(store.database)
    for number in range(100_000):
        noted.record("file", f"nonsense/{number}", HOSTILE)
    noted.record("image", "docker.io/library/nginx:1", PEER)
    noted.flush()
    assert "docker.io/library/nginx:1" in names(noted)
    assert len(noted.all()) < 1_000


def test_many_clients_cannot_either(store: Store) -> None:
    noted = Requests(store.database)
    for number in range(100_000):
        noted.record("file", f"nonsense/{number}", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(noted._pending) <= requests._PENDING
    noted.flush()
    assert len(noted.all()) <= requests._PENDING


def test_a_million_names_displace_nobody_elses(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousandth of each: the table is full many times over, and holds what others asked for once."""
    monkeypatch.setattr(requests, "MOST", 100)
    noted = Requests(store.database)
    for number in range(20):
        noted.record("pypi", f"mine-{number}", PEER)
    noted.flush()
    for number in range(1_000):
        noted.record("file", f"nonsense/{number}", HOSTILE)
        if number % 50 == 0:
            noted.flush()
    noted.record("npm", "latecomer", OTHER)
    noted.flush()
    found = noted.all()
    assert len(found) == 100
    assert {f"mine-{number}" for number in range(20)} | {"latecomer"} < names(noted)


def test_of_ones_own_the_most_wanted_stay(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MOST", 3)
    noted = Requests(store.database)
    for name, times in {"a": 1, "b": 5, "c": 2, "d": 4}.items():
        for _ in range(times):
            noted.record("npm", name, PEER)
    noted.flush()
    assert names(noted) == {"b", "c", "d"}


def test_what_cannot_be_written_waits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = Requests(store.database)
    noted.record("npm", "x", PEER)
    with monkeypatch.context() as patch:

        def full(*_: object) -> list[Miss]:
            raise sqlite3.OperationalError("database or disk is full")

        patch.setattr(noted, "_write", full)
        noted.flush()
        noted.record("npm", "x", PEER)
        noted.record("npm", "y", PEER)
        noted.flush()
    assert noted.all() == []
    noted.flush()
    assert {request.name: request.count for request in noted.all()} == {"x": 2, "y": 1}


CLOCKS: dict[str, tuple[list[int], tuple[int, int]]] = {
    "a clock that goes": ([1_800_000_000, 1_800_000_100], (1_800_000_000, 1_800_000_100)),
    "a board without a battery": ([0, 60], (int(CREATED.timestamp()), int(CREATED.timestamp()))),
    "a clock that is put right after years ahead": ([4_000_000_000, 1_800_000_000], (1_800_000_000, 1_800_000_000)),
    "a clock that jumps ahead": ([1_800_000_000, 4_000_000_000], (1_800_000_000, 4_000_000_000)),
}


@pytest.mark.parametrize(("moments", "expected"), CLOCKS.values(), ids=CLOCKS)
def test_first_is_never_after_last(
    store: Store,
    tmp_path: Path,
    key: Key,
    moments: list[int],
    expected: tuple[int, int],
) -> None:
    maker = CrateMaker(tmp_path / "blobs")
    maker.file("f", b"f")
    install(store, maker.write(tmp_path / "site-1.crate", [key]))
    noted = Requests(store.database)
    for moment in moments:
        noted.record("npm", "x", PEER)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time", lambda moment=moment: float(moment))
            noted.flush()
    (found,) = noted.all()
    assert (found.first, found.last) == expected


def test_clear_forgets_all_or_some(store: Store) -> None:
    noted = Requests(store.database)
    for name in ("a", "b", "c"):
        noted.record("npm", name, PEER)
    noted.flush()
    assert noted.clear([Unmet("npm", "b", 1, 0, 0)]) == 1
    assert names(noted) == {"a", "c"}
    assert noted.clear() == 2
    assert noted.all() == []


def test_what_a_crate_brings_is_met(store: Store, tmp_path: Path, key: Key) -> None:
    noted = Requests(store.database)
    wanted = [("file", "tool"), ("file", "other"), ("path", "files/tool"), ("dns", "mirror.example.org")]
    for kind, name in wanted:
        noted.record(kind, name, PEER)
    noted.flush()
    assert {request.key for request in unmet(store)} == set(wanted)
    maker = CrateMaker(tmp_path / "blobs")
    maker.file("tool", b"tool")
    install(store, maker.write(tmp_path / "site-1.crate", [key]))
    assert {request.key for request in unmet(store)} == {("file", "other"), ("dns", "mirror.example.org")}
    assert {request.key for request, met in judged(store) if met} == {("file", "tool"), ("path", "files/tool")}


# The file


def test_the_export_names_every_blob_once_and_the_active_crate_first(store: Store, tmp_path: Path, key: Key) -> None:
    maker = CrateMaker(tmp_path / "blobs")
    shared, gone = maker.file("shared", b"shared" * 100), maker.file("gone", b"gone" * 100)
    install(store, maker.write(tmp_path / "site-1.crate", [key]))
    maker.items.pop()
    maker.serial, new = 2, maker.file("new", b"new" * 100)
    install(store, maker.write(tmp_path / "site-2.crate", [key]))
    (tmp_path / "pushed").write_bytes(b"pushed")
    store.blobs.add_loose(tmp_path / "pushed", Digest.of(b"pushed"))
    made = exporting.export(store, "workshop")
    assert [(it.name, it.serial, it.active) for it in made.holdings] == [
        ("site", 2, True),
        ("site", 1, False),
        ("", 0, False),
    ]
    holders = made.holders()
    assert sum(holding.count for holding in made.holdings) == len(holders)
    serials = {sha256: holders[prefix(sha256)].serial for sha256 in (shared, new, gone)}
    assert serials == {shared: 2, new: 2, gone: 1}
    assert holders[bytes.fromhex(Digest.of(b"pushed").hex)[:PREFIX]].name == ""


def test_the_key_of_a_crate_is_made_once(store: Store) -> None:
    first = exporting.identity(store)
    assert exporting.identity(store).public == first.public
    folder = store.root / "identity"
    assert (folder.stat().st_mode & 0o777, (folder / "id_ed25519").stat().st_mode & 0o777) == (0o700, 0o600)
    assert (folder / "id_ed25519.pub").read_text().startswith(first.public.line)
    assert [path.name for path in store.root.glob(".identity*")] == []

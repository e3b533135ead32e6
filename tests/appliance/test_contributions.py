"""What people publish beside the crates: at once, for good, and never in place of what came signed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from appliance import contributions, generations, republishing
from appliance.collect import collect
from appliance.errors import BadPublication, HeldByCrate, UnknownContribution
from appliance.installing import install
from appliance.store import Store
from archive.catalogue import File, Item
from archive.digests import Digest
from tests.appliance import worlds
from tests.support.crates import CrateMaker, Key
from tests.support.stores import served, trusting

Install = Callable[[Store, CrateMaker], None]


@pytest.fixture
def bring(tmp_path: Path, key: Key) -> Install:
    def run(store: Store, crate: CrateMaker) -> None:
        install(store, crate.write(tmp_path / "sticks" / crate.name, [key]))

    return run


def held(store: Store, data: bytes) -> str:
    """Puts a blob into the store as an upload would."""
    sha256 = hashlib.sha256(data).hexdigest()
    (store.uploads / sha256).write_bytes(data)
    store.blobs.add_loose(store.uploads / sha256, Digest.sha256(sha256))
    return sha256


def publish(store: Store, item: Item, holder: str = "ann") -> None:
    with store.database.write() as connection:
        contributions.add(connection, item, holder)
        republishing.republish(store, connection, [item])


def file_item(store: Store, path: str, data: bytes, version: str = "") -> Item:
    return Item("file", path, version, files=(File(held(store, data), len(data), path),))


def modified(store: Store) -> dict[str, int]:
    rows = store.database.reader.execute(
        "SELECT path || accepts, modified FROM published_files"
        " WHERE generation = (SELECT id FROM generations WHERE active = 1)"
    )
    return dict(rows.fetchall())


def listed(store: Store) -> list[tuple[str, str, str, int]]:
    return store.database.reader.execute(
        "SELECT kind, name, brought_by, contributed FROM items"
        " WHERE generation = (SELECT id FROM generations WHERE active = 1) ORDER BY kind, name"
    ).fetchall()


def test_a_file_is_served_at_once_and_listed_as_whose_it_is(tmp_path: Path, key: Key, bring: Install) -> None:
    crate = CrateMaker(tmp_path / "made", name="site")
    crate.file("notes", b"signed")
    with trusting(tmp_path / "root", key) as store:
        bring(store, crate)
        publish(store, file_item(store, "plans/roof", b"by ann"))
        assert served(store, "files/plans/roof") == b"by ann"
        assert served(store, "files/notes") == b"signed"
        assert listed(store) == [("file", "notes", "site 1", 0), ("file", "plans/roof", "ann", 1)]


def test_a_crate_that_holds_nothing_yet_takes_contributions(tmp_path: Path, key: Key, bring: Install) -> None:
    crate = CrateMaker(tmp_path / "made", name="site")
    crate.file("notes", b"signed")
    with trusting(tmp_path / "root", key) as store:
        publish(store, file_item(store, "plans/roof", b"by ann"))
        assert served(store, "files/plans/roof") == b"by ann"
        bring(store, crate)
        assert served(store, "files/plans/roof") == b"by ann"
        assert served(store, "files/notes") == b"signed"


@pytest.mark.parametrize("kind", worlds.KINDS)
def test_only_what_changes_is_dated_anew(tmp_path: Path, key: Key, bring: Install, kind: str) -> None:
    with trusting(tmp_path / "root", key) as store:
        bring(store, worlds.maker(tmp_path, name="site"))
        before = modified(store)
        (mine,) = [item for item in worlds.resolved(tmp_path / "more", kind, "2.0.0") if item.version.startswith("2.0")]
        for file in mine.files:
            held(store, (tmp_path / "more/blobs" / file.sha256).read_bytes())
        publish(store, mine)
        after = modified(store)
        changed = {path for path in after if after[path] != before.get(path)}
        folder = {"chart": "helm"}.get(kind, kind)
        assert changed, "the indexes name it"
        assert all(path.startswith(f"{folder}/") for path in changed)
        assert before.keys() <= after.keys() | {path for path in before if "/by-hash/" in path}
        untouched = {path for path in before.keys() & after.keys() if "mine-1.0.0" in path or "mine_1.0.0" in path}
        assert not untouched & changed, "what it has nothing to do with is as old as it was"


_PUBLISHED = {
    "published_files": "path, accepts, hex(digest), size, media_type, origin_bound",
    "published_tags": "repository, tag, digest",
    "published_manifests": "repository, digest",
    "published_blobs": "repository, hex(digest)",
    "published_items": "kind, items",
    "items": "kind, name, version, platform, brought_by, contributed, path",
}


def published(store: Store) -> dict[str, list[tuple[object, ...]]]:
    active = "generation = (SELECT id FROM generations WHERE active = 1)"
    return {
        table: sorted(store.database.reader.execute(f"SELECT {columns} FROM {table} WHERE {active}"))  # noqa: S608
        for table, columns in _PUBLISHED.items()
    }


@pytest.mark.parametrize("kind", [*worlds.KINDS, "file"])
def test_a_part_that_is_published_anew_is_what_publishing_everything_gives(
    tmp_path: Path, key: Key, bring: Install, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A version more of what a crate brings, a name of its own, and then neither; each compared table by table."""
    monkeypatch.setattr(generations, "_date", lambda *_: 1_700_000_000)

    def agree(store: Store) -> None:
        found = published(store)
        with store.database.write() as connection:
            generations.republish(store, connection)
        assert found == published(store)

    with trusting(tmp_path / "root", key) as store:
        made = worlds.maker(tmp_path, name="site")
        made.file("notes", b"signed")
        bring(store, made)
        if kind == "file":
            added = [file_item(store, "plans/roof", b"by ann"), file_item(store, "plans/cellar", b"by ann, too")]
        else:
            added = [
                replace(item, name="anns") if item.name == "mine" and kind == "apt" else item
                for item in worlds.resolved(tmp_path / "more", kind, "2.0.0")
                if item.version.startswith("2.0") or kind == "apt"
            ]
        for item in added:
            for file in item.files if kind != "file" else ():
                held(store, (tmp_path / "more/blobs" / file.sha256).read_bytes())
            publish(store, item)
            agree(store)
        for item in added:
            with store.database.write() as connection:
                gone = contributions.remove(connection, item.kind, item.name, item.version)
                republishing.republish(store, connection, gone)
            agree(store)
        assert not [row for row in published(store)["items"] if row[5]], "all of them are gone"


def test_a_name_and_version_that_a_crate_brings_is_the_crates(tmp_path: Path, key: Key, bring: Install) -> None:
    crate = CrateMaker(tmp_path / "made", name="site")
    crate.file("notes", b"signed")
    with trusting(tmp_path / "root", key) as store:
        bring(store, crate)
        with pytest.raises(HeldByCrate, match="site 1"):
            publish(store, file_item(store, "notes", b"by ann"))
        assert served(store, "files/notes") == b"signed"


def test_a_later_crate_hides_what_people_published_and_rollback_shows_it_again(
    tmp_path: Path, key: Key, bring: Install
) -> None:
    first, second = (CrateMaker(tmp_path / f"made-{serial}", name="site", serial=serial) for serial in (1, 2))
    first.file("other", b"signed")
    second.file("plan", b"signed later")
    with trusting(tmp_path / "root", key) as store:
        bring(store, first)
        publish(store, file_item(store, "plan", b"by ann"))
        bring(store, second)
        assert served(store, "files/plan") == b"signed later"
        (hidden,) = contributions.every(store.database.reader)
        assert (hidden.holder, hidden.hidden) == ("ann", True)
        generations.rollback(store)
        assert served(store, "files/plan") == b"by ann"
        assert not contributions.every(store.database.reader)[0].hidden


def test_a_crate_is_not_kept_out_by_a_file_that_somebody_put_where_its_own_goes(
    tmp_path: Path, key: Key, bring: Install
) -> None:
    """Whatever the crate's item is called: a file's place is its path."""
    crate = CrateMaker(tmp_path / "made", name="site")
    signed = [File(crate.blob(data), len(data), path) for path, data in (("k3s/a", b"first"), ("k3s/k3s", b"signed"))]
    crate.items.append(Item("file", "a-release", "1", files=tuple(signed)))
    with trusting(tmp_path / "root", key) as store:
        publish(store, file_item(store, "k3s/k3s", b"by ann"))
        publish(store, file_item(store, "k3s/mine", b"by ann, too"))
        bring(store, crate)
        assert served(store, "files/k3s/k3s") == b"signed"
        assert served(store, "files/k3s/mine") == b"by ann, too"
        with pytest.raises(BadPublication, match="k3s/k3s"):
            publish(store, file_item(store, "k3s/k3s", b"by bob"))
        assert served(store, "files/k3s/k3s") == b"signed"


def test_a_collection_keeps_them_until_they_are_removed(tmp_path: Path, key: Key, bring: Install) -> None:
    crate = CrateMaker(tmp_path / "made", name="site")
    crate.file("notes", b"signed")
    with trusting(tmp_path / "root", key) as store:
        bring(store, crate)
        item = file_item(store, "plan", b"by ann")
        publish(store, item)
        collect(store, grace=timedelta(0))
        assert served(store, "files/plan") == b"by ann"
        with store.database.write() as connection:
            removed = contributions.remove(connection, "file", "plan", "")
            assert removed == [item]
            republishing.republish(store, connection, removed)
        with pytest.raises(AssertionError, match="not published"):
            served(store, "files/plan")
        collect(store, grace=timedelta(0))
        assert not store.blobs.holds(item.files[0].sha256)
        with store.database.write() as connection, pytest.raises(UnknownContribution):
            contributions.remove(connection, "file", "plan", "")


def test_what_cannot_be_published_leaves_everything_as_it_was(tmp_path: Path, key: Key, bring: Install) -> None:
    with trusting(tmp_path / "root", key) as store:
        bring(store, worlds.maker(tmp_path, ("pypi",), name="site"))
        before = modified(store)
        broken = Item("pypi", "mine", "3", files=(File(held(store, b"x"), 1, "no-wheel"),), publish={"files": {}})
        with pytest.raises(Exception, match="no-wheel"):
            publish(store, broken)
        assert modified(store) == before
        assert contributions.every(store.database.reader) == []

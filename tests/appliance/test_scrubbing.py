"""Scrubbing and mending: what rots on the disk is found, named, not served, and put right from wherever it is whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance import contributions
from appliance.blobs import Extent
from appliance.collect import collect
from appliance.database import Database
from appliance.doctor.examination import examine
from appliance.doctor.findings import Level
from appliance.installing import install
from appliance.scrubbing import damages, state
from appliance.scrubbing.passes import scrub
from appliance.scrubbing.repairing import repair
from appliance.store import Store
from archive.catalogue import File, Item
from archive.digests import Digest
from archive.errors import Refused
from tests.appliance.commands import command
from tests.appliance.daemon import serving
from tests.support.crates import CrateMaker, Key
from tests.support.images import make_layout
from tests.support.stores import served, trusting

NAME = "docker.io/library/held"


@pytest.fixture
def crate(tmp_path: Path, maker: CrateMaker, key: Key) -> Path:
    """Twenty files and an image."""
    maker.image(make_layout(tmp_path / "layout", f"{NAME}:1", layer_size=300_000))
    return maker.write(tmp_path / "site-1.crate", [key])[0]


@pytest.fixture
def root(tmp_path: Path, crate: Path, key: Key) -> Path:
    with trusting(tmp_path / "store", key) as store:
        install(store, [crate])
    return tmp_path / "store"


def place_of(store: Store, path: str) -> Extent:
    (raw,) = store.database.reader.execute("SELECT digest FROM published_files WHERE path = ?", (path,)).fetchone()
    extent = store.blobs.find(Digest.sha256(raw.hex()))
    assert extent
    return extent


def flip(extent: Extent, at: int = 1000) -> None:
    with extent.path.open("r+b") as file:
        file.seek(extent.offset + at)
        byte = file.read(1)
        file.seek(extent.offset + at)
        file.write(bytes([byte[0] ^ 1]))
        os.fsync(file.fileno())


def lose(extent: Extent) -> None:
    extent.path.unlink()


def cut(extent: Extent) -> None:
    os.truncate(extent.path, extent.offset + 10)


def test_a_sound_store_is_read_whole_and_nothing_is_changed(root: Path) -> None:
    with Store.open(root) as store:
        (size,) = store.database.reader.execute("SELECT sum(size) FROM blobs").fetchone()
        done = scrub(store)
        assert (done.read, done.damaged, done.begun) == (size, 0, 0)
        assert done.finished
        assert damages.every(store) == []


def test_a_flipped_byte_is_named_with_who_needs_it_and_who_brings_it(root: Path) -> None:
    with Store.open(root) as store:
        flip(place_of(store, "files/f03"))
        assert scrub(store).damaged == 1
        (found,) = damages.every(store)
        assert found.needed_by == ("file f03 1",)
        assert found.brought_by == ("site 1",)
        report = examine(store, whole=False)
        (told,) = [finding for finding in report.findings if finding.check == "damage" and finding.level is Level.FATAL]
        assert "file f03" in told.what
        assert "doctor --repair" in told.remedy
        assert "site 1" in told.remedy


@pytest.mark.parametrize("harm", [lose, cut], ids=["is gone", "is cut off"])
def test_a_pack_that(root: Path, crate: Path, harm: Callable[[Extent], None]) -> None:
    with Store.open(root) as store:
        harm(place_of(store, "files/f03"))
        assert [f.check for f in examine(store).findings if f.level is Level.FATAL and f.check == "packs and blobs"]
        assert scrub(store).damaged > 10
        done = repair(store, [crate])
        assert not done.left
        assert len(served(store, "files/f03")) == 150_003


def test_a_pack_that_is_gone_comes_back_with_the_next_installation(root: Path, crate: Path) -> None:
    with Store.open(root) as store:
        before = served(store, "files/f03")
        lose(place_of(store, "files/f03"))
        scrub(store)
        collect(store)
        install(store, [crate])
        assert served(store, "files/f03") == before
        collect(store)
        assert scrub(store).damaged == 0
        assert {f.check for f in examine(store).findings if f.level is Level.FATAL} == {"service"}


def test_a_damaged_manifest_is_never_sent_not_even_before_a_scrub(root: Path) -> None:
    with Store.open(root) as store:
        (digest,) = store.database.reader.execute(
            "SELECT digest FROM published_tags WHERE repository = ?", (NAME,)
        ).fetchone()
        extent = store.blobs.find(Digest.parse(digest))
        assert extent
        flip(extent, at=5)
    with serving.crate(root) as running:
        assert running.request("GET", f"/v2/{NAME}/manifests/1", token="").status == 404
        assert "is published, but the store lost it" in serving.log_of(root).read_text()


def test_what_is_damaged_is_lost_for_clients_and_not_served_wrong(root: Path) -> None:
    with Store.open(root) as store:
        flip(place_of(store, "files/f03"))
        layer = store.database.reader.execute(
            "SELECT digest FROM published_blobs JOIN blobs USING (digest) WHERE repository = ? ORDER BY size DESC",
            (NAME,),
        ).fetchone()[0]
        extent = store.blobs.find(Digest.sha256(layer.hex()))
        assert extent
        flip(extent)
        scrub(store)
    with serving.crate(root) as running:
        assert running.request("GET", "/files/f03", token="").status == 404
        assert running.request("GET", f"/v2/{NAME}/blobs/sha256:{layer.hex()}", token="").status == 404
        assert running.request("GET", "/files/f04", token="").status == 200


def test_installing_the_same_crate_again_mends_it(root: Path, crate: Path) -> None:
    with Store.open(root) as store:
        before = served(store, "files/f03")
        flip(place_of(store, "files/f03"))
        scrub(store)
        again = install(store, [crate])
        assert not again.activation.changed
        assert again.imports[0].written < 200_000, "nothing but what was damaged is read again"
        assert damages.every(store) == []
        assert served(store, "files/f03") == before


def test_a_stick_mends_it_without_an_installation(root: Path, crate: Path, tmp_path: Path, key: Key) -> None:
    with Store.open(root) as store:
        flip(place_of(store, "files/f03"))
        flip(place_of(store, "files/f17"))
        scrub(store)
        done = repair(store, [crate])
        assert [one.source for one in done.mended] == [crate.name, crate.name]
        assert done.left == ()
        assert scrub(store).damaged == 0
        # a collection gives the old places back, and keeps the new ones
        collect(store)
        assert len(served(store, "files/f03")) == 150_003
        assert scrub(store).damaged == 0


def test_a_stick_that_is_rotten_at_the_same_place_mends_nothing(root: Path, crate: Path) -> None:
    with Store.open(root) as store:
        extent = place_of(store, "files/f03")
        flip(extent)
        flip(Extent(crate, extent.offset, extent.size, extent.sha256))
        scrub(store)
        done = repair(store, [crate])
        assert [one.sha256 for one in done.left] == [extent.sha256]
        assert not [*(root / "loose").rglob("*.part")]


def test_a_crate_that_nobody_trusts_mends_nothing(root: Path, tmp_path: Path, maker: CrateMaker) -> None:
    (unsigned,) = maker.write(tmp_path / "other" / "site-1.crate", [])
    with Store.open(root) as store:
        flip(place_of(store, "files/f03"))
        scrub(store)
        with pytest.raises(Refused):
            repair(store, [unsigned])
        assert len(damages.every(store)) == 1


def test_a_disk_that_was_only_away_gives_back_what_it_has(root: Path) -> None:
    with Store.open(root) as store:
        extent = place_of(store, "files/f03")
        extent.path.rename(root / "away")
        assert scrub(store).damaged
        (root / "away").rename(extent.path)
        done = repair(store)
        assert done.left == ()
        assert {one.source for one in done.mended} == {"where it lies"}


def test_another_crate_mends_it_over_its_registry(root: Path, tmp_path: Path, crate: Path, key: Key) -> None:
    with trusting(tmp_path / "other", key) as store:
        install(store, [crate])
    with Store.open(root) as store:
        raws = [row[0] for row in store.database.reader.execute("SELECT digest FROM published_blobs")]
        for raw in raws:
            extent = store.blobs.find(Digest.sha256(raw.hex()))
            assert extent
            flip(extent, at=5)
        flip(place_of(store, "files/f03"))
        scrub(store)
        with serving.crate(tmp_path / "other", tls=True) as other:
            done = repair(store, crates=[other.url])
        assert done.left == ()
        assert len(done.mended) == len(raws) + 1
        assert scrub(store).damaged == 0


def test_pushed_content_is_mended_by_pushing_it_again(root: Path, tmp_path: Path) -> None:
    made = make_layout(tmp_path / "mine", "team/mine:1", layer_size=300_000)
    with serving.crate(root) as running:
        running.push(made.layout, made.digest, "team/mine", "1")
        with Store.open(root) as store:
            digest, data = serving.largest_layer(made)
            extent = store.blobs.find(Digest.parse(digest))
            assert extent
            flip(extent)
            scrub(store)
            (found,) = damages.every(store)
            assert found.needed_by == ("the pushed team/mine",)
            assert running.request("HEAD", f"/v2/team/mine/blobs/{digest}").status == 404, "so the client sends it"
            running.push_blob("team/mine", data, digest)
            assert damages.every(store) == []
        assert running.request("GET", f"/v2/team/mine/blobs/{digest}").body == data


def test_a_collection_keeps_all_of_a_repository_whose_manifest_cannot_be_read(root: Path, tmp_path: Path) -> None:
    made = make_layout(tmp_path / "mine", "team/mine:1", layer_size=30_000)
    with serving.crate(root) as running:
        running.push(made.layout, made.digest, "team/mine", "1")
    with Store.open(root) as store, store.database.write() as connection:
        connection.execute("UPDATE blobs SET touched = 0")
    with Store.open(root) as store:
        before = store.database.reader.execute("SELECT count(*) FROM blobs").fetchone()
        extent = store.blobs.find(Digest.parse(made.digest))
        assert extent
        body = extent.path.read_bytes()
        flip(extent, at=5)
        scrub(store)
        collect(store)
        again = tmp_path / "again"
        again.write_bytes(body)
        store.blobs.add_loose(again, Digest.parse(made.digest))
        assert store.database.reader.execute("SELECT count(*) FROM blobs").fetchone() == before


def test_an_interrupted_pass_goes_on_behind_what_it_has_read(root: Path) -> None:
    with Store.open(root) as store:
        (count,) = store.database.reader.execute("SELECT count(*) FROM blobs").fetchone()
        seen: list[int] = []

        def some(size: int) -> bool:
            seen.append(size)
            return len(seen) < 8

        stopped = scrub(store, pace=some)
        assert stopped.begun
        assert state.read(root) == stopped
        first = len(seen)
        done = scrub(store, pace=lambda size: seen.append(size) or True)  # type: ignore[func-returns-value]
        assert done.finished
        assert first == 8
        assert len(seen) == count + 1, "only the blob in hand was read again"


def test_what_a_collection_drops_meanwhile_is_no_damage(root: Path) -> None:
    with Store.open(root) as store:
        extent = place_of(store, "files/f03")
        flip(extent)
        place = damages.Place(bytes.fromhex(extent.sha256), extent.size, None, 0)
        assert not damages.condemn(store, place, "it was somewhere else"), "its row is another by now"
        assert store.blobs.holds(extent.sha256)


def test_what_people_published_is_named_by_what_it_is(root: Path, tmp_path: Path) -> None:
    data = b"a chart" * 1000
    path = tmp_path / "data"
    path.write_bytes(data)
    digest = Digest.parse(serving.sha256(data))
    with Store.open(root) as store:
        store.blobs.add_loose(path, digest)
        with store.database.write() as connection:
            item = Item("file", "team/data", "1", files=(File(digest.hex, len(data), "team/data"),))
            contributions.add(connection, item, "ann")
        extent = store.blobs.find(digest)
        assert extent
        flip(extent)
        scrub(store)
        (found,) = damages.every(store)
        assert found.needed_by == ("file team/data 1",)
        assert found.brought_by == ()


def test_the_verb_scrubs_repairs_and_says_so(root: Path, crate: Path) -> None:
    with Store.open(root) as store:
        flip(place_of(store, "files/f03"))
    doctor = [*command(root, "doctor", "--json", "--scrub")]
    found = json.loads(subprocess.run(doctor, capture_output=True, text=True, check=False).stdout)
    assert found["scrub"]["damaged"] == 1
    assert "damage" in {one["check"] for one in found["findings"] if one["level"] == "fatal"}
    mending = [*command(root, "doctor", "--json", "--repair", str(crate.parent))]
    mended = json.loads(subprocess.run(mending, capture_output=True, text=True, check=False).stdout)
    assert mended["repair"]["left"] == 0
    assert "damage" not in {one["check"] for one in mended["findings"] if one["level"] == "fatal"}


def test_the_daemon_scrubs_by_itself_and_stops_when_told(root: Path, tmp_path: Path) -> None:
    with Store.open(root) as store:
        flip(place_of(store, "files/f03"))
    program = (
        "import asyncio, sys; from pathlib import Path\n"
        "from appliance.store import Store; from appliance.scrubbing.background import Scrubber\n"
        "async def main():\n"
        "    with Store.open(Path(sys.argv[1])) as store:\n"
        "        task = asyncio.create_task(Scrubber(store, 100, settle=0).keep_scrubbing())\n"
        "        while not (Path(sys.argv[1]) / 'scrub.json').exists() or '\"finished\": 0' in "
        "(Path(sys.argv[1]) / 'scrub.json').read_text(): await asyncio.sleep(0.02)\n"
        "        task.cancel()\n"
        "        await asyncio.wait([task])\n"  # as the daemon does: its thread must not outlive the store
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, root], timeout=60, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "is damaged, needed by file f03" in done.stderr
    with Store.open(root) as store:
        assert len(damages.every(store)) == 1


def test_a_blob_that_comes_back_brings_its_other_digests_back(tmp_path: Path) -> None:
    database = Database(tmp_path / "crate.db")
    raw = b"r" * 32
    with database.write() as connection:
        connection.execute("INSERT INTO damaged VALUES (?, 3, NULL, 0, 0, 'rot')", (raw,))
        connection.execute("INSERT INTO damaged_aliases VALUES ('sha512:aa', ?)", (raw,))
    with database.write() as connection:
        connection.execute("INSERT OR IGNORE INTO blobs VALUES (?, 3, NULL, 0, 0)", (raw,))
    assert database.reader.execute("SELECT alias, digest FROM aliases").fetchall() == [("sha512:aa", raw)]
    assert database.reader.execute("SELECT count(*) FROM damaged").fetchone() == (0,)
    database.close()

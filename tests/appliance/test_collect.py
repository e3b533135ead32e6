"""Collection: what can be asked for stays, the rest gives its space back, whatever else goes on."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from appliance import collect as collecting
from appliance.collect import collect
from appliance.errors import StoreBusy
from appliance.installing import install
from appliance.manifest import OCI_INDEX, OCI_MANIFEST
from appliance.store import Store
from archive.digests import Digest
from tests.support.crates import CrateMaker, Key
from tests.support.images import make_layout
from tests.support.stores import served, trusting

NOW = timedelta(0)
REPOSITORY = "team/app"


def push_blob(store: Store, data: bytes, algorithm: str = "sha256") -> Digest:
    digest = Digest.of(data)
    temporary = store.uploads / f"{threading.get_ident()}-{digest.hex}"
    temporary.write_bytes(data)
    other = Digest.of(data, algorithm)
    store.blobs.add_loose(temporary, digest, [] if other == digest else [other])
    with store.database.write() as connection:
        connection.execute(
            "INSERT OR IGNORE INTO repository_blobs VALUES (?, ?)", (REPOSITORY, bytes.fromhex(digest.hex))
        )
    return other


def push_manifest(
    store: Store,
    *,
    blobs: Sequence[Digest] = (),
    children: Sequence[Digest] = (),
    subject: str = "",
    tag: str = "",
    algorithm: str = "sha256",
) -> Digest:
    """As the registry records a pushed manifest: its bytes as a blob, its row, its tag."""
    document: dict[str, object] = {"schemaVersion": 2, "mediaType": OCI_INDEX if children else OCI_MANIFEST}
    if children:
        document["manifests"] = [{"digest": str(child), "size": 1, "mediaType": OCI_MANIFEST} for child in children]
    else:
        document["layers"] = [{"digest": str(blob), "size": 1, "mediaType": "x"} for blob in blobs]
    if subject:
        document["subject"] = {"digest": subject}
    body = json.dumps(document).encode()
    digest = push_blob(store, body, algorithm)
    with store.database.write() as connection:
        connection.execute(
            "INSERT INTO manifests VALUES (?, ?, ?, ?, ?, '', '{}')",
            (REPOSITORY, str(digest), str(document["mediaType"]), len(body), subject),
        )
        if tag:
            connection.execute("INSERT OR REPLACE INTO tags VALUES (?, ?, ?, 0)", (REPOSITORY, tag, str(digest)))
    return digest


def manifests(store: Store) -> set[str]:
    return {row[0] for row in store.database.reader.execute("SELECT digest FROM manifests")}


def allocated(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_children_of_indexes_and_referrers_of_what_is_kept_stay(tmp_path: Path, algorithm: str) -> None:
    with Store.open(tmp_path) as store:
        layers = [push_blob(store, b"layer %d" % number, algorithm) for number in range(3)]
        children = [push_manifest(store, blobs=[layer], algorithm=algorithm) for layer in layers[:2]]
        inner = push_manifest(store, children=children, algorithm=algorithm)
        outer = push_manifest(store, children=[inner], tag="1", algorithm=algorithm)
        signature = push_manifest(store, subject=str(outer), blobs=[layers[2]], algorithm=algorithm)
        proof = push_manifest(store, subject=str(signature), algorithm=algorithm)
        stray_layer = push_blob(store, b"stray")
        stray = push_manifest(store, blobs=[stray_layer])
        lost = push_manifest(store, subject="sha256:" + "0" * 64)
        gone = collect(store, grace=NOW)
        assert manifests(store) == {str(digest) for digest in (*children, inner, outer, signature, proof)}
        assert all(store.blobs.find(digest) for digest in (*layers, *children, inner, outer, signature, proof))
        assert [store.blobs.find(digest) for digest in (stray, stray_layer, lost)] == [None] * 3
        assert (gone.manifests, gone.blobs) == (2, 3)
        assert len([path for path in (tmp_path / "loose").rglob("*") if path.is_file()]) == 9


def test_a_subject_may_be_named_by_its_other_digest(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        by_sha512 = push_manifest(store, tag="1", algorithm="sha512")
        extent = store.blobs.find(by_sha512)
        assert extent
        with store.database.write() as connection:  # the registry records manifests and tags by their sha256
            connection.execute("UPDATE manifests SET digest = ?", (f"sha256:{extent.sha256}",))
            connection.execute("UPDATE tags SET digest = ?", (f"sha256:{extent.sha256}",))
        signature = push_manifest(store, subject=str(by_sha512))
        collect(store, grace=NOW)
        assert store.blobs.find(signature)


def test_a_signature_pushed_for_an_image_of_a_crate_goes_with_that_image(tmp_path: Path, key: Key) -> None:
    made = make_layout(tmp_path / "layout", f"docker.io/{REPOSITORY}:1")
    first = CrateMaker(tmp_path / "blobs")
    first.image(made)
    second = CrateMaker(tmp_path / "blobs", serial=2)
    second.file("f", b"nothing else")
    with trusting(tmp_path / "root", key) as store:
        install(store, first.write(tmp_path / "site-1.crate", [key]))
        signature = push_manifest(store, subject=made.digest)
        with store.database.write() as connection:
            connection.execute("UPDATE manifests SET repository = ?", (f"docker.io/{REPOSITORY}",))
        install(store, second.write(tmp_path / "site-2.crate", [key]))
        collect(store, grace=NOW)
        assert store.blobs.find(signature), "site 1 can still be rolled back to"
        collect(store, keep=1, grace=NOW)
        assert store.blobs.find(signature) is None


def test_what_was_just_pushed_is_spared_with_all_that_it_refers_to(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        layer = push_blob(store, b"pushed long ago")
        with store.database.write() as connection:
            connection.execute("UPDATE blobs SET touched = 0")
        manifest = push_manifest(store, blobs=[layer])
        fresh = push_blob(store, b"no manifest yet")
        assert collect(store).blobs == 0
        assert all(store.blobs.find(digest) for digest in (layer, manifest, fresh))
        assert collect(store, grace=NOW).blobs == 3


def test_an_old_release_gives_its_space_back_and_the_rest_still_reads(
    tmp_path: Path, key: Key, maker: CrateMaker
) -> None:
    second = CrateMaker(maker.folder, serial=2, items=maker.items[10:], blobs=maker.blobs)
    second.file("new", random.Random(1).randbytes(200_000))
    third = CrateMaker(maker.folder, serial=3)
    third.file("other", b"other")
    with trusting(tmp_path / "root", key) as store:
        install(store, maker.write(tmp_path / "site-1.crate", [key]))
        install(store, second.write(tmp_path / "site-2.crate", [key]))
        before = allocated(store.packs)
        assert collect(store, grace=NOW).freed < 8192, "both generations are kept by default"
        gone = collect(store, keep=1, grace=NOW)
        assert gone.generations == 1
        assert before - allocated(store.packs) == gone.freed > 9 * 150_000
        assert allocated(store.packs) < sum(item.files[0].size for item in second.items) + 21 * 4096 + 64 * 1024
        for number in range(10, 20):
            data = (maker.folder / maker.items[number].files[0].sha256).read_bytes()
            assert served(store, f"files/f{number}") == data
        again = collect(store, keep=1, grace=NOW)
        assert (again.blobs, again.freed) == (0, 0), "doing it twice changes nothing"
        install(store, third.write(tmp_path / "site-3.crate", [key]))
        assert collect(store, keep=1, grace=NOW).packs == 2
        assert len(list(store.packs.iterdir())) == 1


def test_a_pushed_tag_holds_on_to_a_crate_s_blobs(tmp_path: Path, key: Key, maker: CrateMaker) -> None:
    empty = CrateMaker(maker.folder, serial=2)
    empty.file("x", b"x")
    with trusting(tmp_path / "root", key) as store:
        install(store, maker.write(tmp_path / "site-1.crate", [key]))
        layer = Digest.sha256(maker.items[3].files[0].sha256)
        push_manifest(store, blobs=[layer], tag="mine")
        install(store, empty.write(tmp_path / "site-2.crate", [key]))
        collect(store, keep=1, grace=NOW)
        assert store.blobs.read(layer, 1 << 20) == (maker.folder / layer.hex).read_bytes()
        assert store.blobs.find(Digest.sha256(maker.items[4].files[0].sha256)) is None


def test_a_release_whose_pack_has_holes_can_be_installed_again(tmp_path: Path, key: Key, maker: CrateMaker) -> None:
    (first,) = maker.write(tmp_path / "site-1.crate", [key])
    second = CrateMaker(maker.folder, serial=2, items=maker.items[10:], blobs=maker.blobs)
    (again,) = second.write(tmp_path / "site-2.crate", [key])
    with trusting(tmp_path / "root", key) as store:
        install(store, [first])
        install(store, [again])
        collect(store, keep=1, grace=NOW)
        with store.database.write() as connection:
            connection.execute("DELETE FROM floors")
        installed = install(store, [first])
        assert 9 * 150_000 < installed.imports[0].written < 12 * 150_000
        assert served(store, "files/f03") == (maker.folder / maker.items[3].files[0].sha256).read_bytes()
        assert store.pack_path(_pack_digest(store)).read_bytes() == first.read_bytes()


def _pack_digest(store: Store) -> str:
    return str(store.database.reader.execute("SELECT digest FROM packs WHERE serial = 1").fetchone()[0])


def test_an_import_that_was_not_activated_yet_is_left_alone(
    tmp_path: Path, key: Key, maker: CrateMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    (crate,) = maker.write(tmp_path / "site-1.crate", [key])

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with trusting(tmp_path / "root", key) as store:
        with monkeypatch.context() as patched:
            patched.setattr("appliance.generations.activate", stopped)
            with pytest.raises(KeyboardInterrupt):
                install(store, [crate])
        assert collect(store).packs == 0
        assert install(store, [crate]).imports[0].written == 0
        assert served(store, "files/f01")


def test_unfinished_imports_are_left_alone(tmp_path: Path, key: Key, maker: CrateMaker) -> None:
    parts = maker.write(tmp_path / "stick/site-1.crate", [key], part_size=512 * 1024)
    hidden = parts[-1].rename(tmp_path / "hidden")
    with trusting(tmp_path / "root", key) as store:
        with pytest.raises(Exception, match="missing"):
            install(store, [tmp_path / "stick"])
        collect(store, grace=NOW)
        hidden.rename(parts[-1])
        assert install(store, [tmp_path / "stick"]).imports[0].written < 600_000


def test_stopped_after_forgetting_the_next_collection_frees_the_space(
    tmp_path: Path, key: Key, maker: CrateMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = CrateMaker(maker.folder, serial=2, items=maker.items[:1], blobs=maker.blobs)
    with trusting(tmp_path / "root", key) as store:
        install(store, maker.write(tmp_path / "site-1.crate", [key]))
        install(store, empty.write(tmp_path / "site-2.crate", [key]))
        with monkeypatch.context() as patched:

            def stopped(*_: object) -> int:
                raise KeyboardInterrupt

            patched.setattr(collecting, "_sweep_loose", stopped)
            with pytest.raises(KeyboardInterrupt):
                collect(store, keep=1, grace=NOW)
        assert served(store, "files/f00")
        assert collect(store, keep=1, grace=NOW).freed > 18 * 150_000
        assert served(store, "files/f00")


def test_a_collection_waits_for_nobody_and_says_who_is_at_work(tmp_path: Path) -> None:
    with (
        Store.open(tmp_path) as store,
        Store.open(tmp_path) as other,
        other.lock("installing site-2.crate"),
        pytest.raises(StoreBusy, match=r"installing site-2\.crate"),
    ):
        collect(store)


def test_pushes_beside_collections_lose_nothing(tmp_path: Path) -> None:
    """Every pusher finds its image whole after its push, while collections run without pause."""
    stop = threading.Event()
    problems: list[str] = []

    def push(worker: int) -> None:
        with Store.open(tmp_path) as store:
            for number in range(15):
                shared = push_blob(store, b"base image %d" % (number // 3))
                own = push_blob(store, b"worker %d push %d" % (worker, number))
                manifest = push_manifest(store, blobs=[shared, own], tag=f"w{worker}")
                for digest in (shared, own, manifest):
                    if store.blobs.find(digest) is None:
                        problems.append(f"{digest} is gone")
                    else:
                        store.blobs.open(digest).file.close()

    def keep_collecting() -> None:
        with Store.open(tmp_path) as store:
            while not stop.is_set():
                collect(store, grace=timedelta(minutes=1))

    collector = threading.Thread(target=keep_collecting)
    pushers = [threading.Thread(target=push, args=(worker,)) for worker in range(3)]
    collector.start()
    for thread in pushers:
        thread.start()
    for thread in pushers:
        thread.join()
    stop.set()
    collector.join()
    assert problems == []
    with Store.open(tmp_path) as store:
        kept = {row[0] for row in store.database.reader.execute("SELECT digest FROM blobs WHERE pack IS NULL")}
        assert {bytes.fromhex(path.name) for path in (tmp_path / "loose").rglob("*") if path.is_file()} == kept


_KILLED = """
import os, signal, sys
from datetime import timedelta
from pathlib import Path
from appliance import collect
from appliance.store import Store

left = int(sys.argv[2])
def after(function):
    def counted(*words, **named):
        global left
        result = function(*words, **named)
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return counted

collect.punch = after(collect.punch)
collect._remove = after(collect._remove)
with Store.open(Path(sys.argv[1])) as store:
    collect.collect(store, keep=1, grace=timedelta(0))
"""


@pytest.mark.parametrize("steps", [1, 2, 5], ids="killed after {} removals".format)
def test_killed_while_removing_the_next_collection_finishes(
    tmp_path: Path, key: Key, maker: CrateMaker, steps: int
) -> None:
    some = CrateMaker(maker.folder, serial=2, items=maker.items[::4], blobs=maker.blobs)
    with trusting(tmp_path / "root", key) as store:
        install(store, maker.write(tmp_path / "site-1.crate", [key]))
        for number in range(3):
            push_blob(store, b"stray %d" % number)
        install(store, some.write(tmp_path / "site-2.crate", [key]))
    done = subprocess.run([sys.executable, "-c", _KILLED, tmp_path / "root", str(steps)], check=False)
    assert done.returncode == -signal.SIGKILL
    with Store.open(tmp_path / "root") as store:
        collect(store, keep=1, grace=NOW)
        assert list((tmp_path / "root/loose").rglob("?" * 64)) == []
        assert allocated(store.packs) < 5 * 160_000 + 128 * 1024
        for number in range(0, 20, 4):
            assert (
                served(store, f"files/f{number:02}")
                == (maker.folder / maker.items[number].files[0].sha256).read_bytes()
            )

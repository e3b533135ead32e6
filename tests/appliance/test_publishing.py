"""What comes out of activating crates of packages: one publication of all of them, dated by content, or none."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance import publishing
from appliance.collect import collect
from appliance.errors import BadPublication, CrateConflict
from appliance.generations import activate, rollback
from appliance.installing import install
from appliance.mirrors import ROOTS
from appliance.publication import Publication
from appliance.published import Documents, PublishedPaths, Served
from appliance.status import status
from appliance.store import Store
from archive.catalogue import File, Item
from archive.digests import Digest
from archive.errors import Problem
from mirror.ecosystem import Published
from tests.appliance import worlds
from tests.support.crates import CREATED, CrateMaker, Key
from tests.support.stores import dump, trusting
from tests.support.tools import tool

DAY = 24 * 3600
TEXT = "text/plain"


@pytest.fixture(autouse=True)
def _reproducible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1793491200")  # the same .deb whenever dpkg-deb builds it


def paths(store: Store) -> dict[tuple[str, tuple[str, ...]], Served]:
    found = PublishedPaths(store.database)
    return {(one.path, one.accepts): one for root in ROOTS for one in found.below(root)}


def body(store: Store, path: str) -> bytes:
    (served,) = [one for one in PublishedPaths(store.database).variants(path) if not one.accepts]
    if served.document is None:
        return store.blobs.read(Digest.sha256(served.sha256), 1 << 20)
    row = store.database.reader.execute("SELECT body FROM documents WHERE id = ?", (served.document,)).fetchone()
    assert len(row[0]) == served.size
    return bytes(row[0])


def crate(
    folder: Path,
    key: Key,
    kinds: Iterable[str],
    *,
    version: str = "1.0.0",
    name: str = "site",
    serial: int = 1,
    created: datetime = CREATED,
) -> tuple[Path, ...]:
    made = worlds.maker(folder / f"{name}-{serial}", kinds, version, name)
    made.serial, made.created = serial, created
    return made.write(folder / f"{name}-{serial}.crate", [key])


@pytest.mark.parametrize("kind", worlds.KINDS)
def test_two_crates_are_published_as_one(tmp_path: Path, key: Key, kind: str) -> None:
    """`mine` 1.0.0 comes with both and is the same; `yours` comes in a version with each."""
    versions = {"site": "1.0.0", "tools": "2.0.0"}
    with trusting(tmp_path / "root", key) as store:
        for name, version in versions.items():
            install(store, crate(tmp_path, key, [kind], version=version, name=name))
        told = {
            "apt": "apt/tests/dists/stable/main/binary-amd64/Packages",
            "pypi": "pypi/simple/yours/",
            "npm": "npm/@team/yours",
            "chart": "helm/index.yaml",
        }[kind]
        document = body(store, told).decode()
        for version in versions.values():
            assert version in document
        assert status(store).items == {kind: 3}


def _package(made: CrateMaker) -> None:
    data = f"package of {made.name}".encode()
    stanza = "Package: yours\nVersion: 1\nArchitecture: amd64\nFilename: x\n"
    about = {"repository": "r", "suite": "s", "component": "main", "architecture": "amd64", "source": "yours"}
    about |= {"automatic": "", "stanza": stanza}
    file = File(made.blob(data), len(data), f"r/pool/{made.name}/yours.deb")
    made.items.append(Item("apt", "yours", "1", "linux/amd64", files=(file,), publish=about))


def _chart(made: CrateMaker) -> None:
    data = f"chart of {made.name}".encode()
    file = File(made.blob(data), len(data), "web-1.0.0.tgz", "application/x-tar")
    made.items.append(
        Item("chart", "web", "1.0.0", files=(file,), publish={"metadata": {"name": "web", "version": "1.0.0"}})
    )


CLASHES: dict[str, tuple[str, Callable[[CrateMaker], object]]] = {
    "two files of one path": ("/files/tool", lambda made: made.file("tool", made.name.encode())),
    "a package in two contents": ("yours 1", _package),
    "a chart in two contents": ("web 1.0.0", _chart),
}


@pytest.mark.parametrize(("said", "fill"), CLASHES.values(), ids=CLASHES)
def test_two_crates_that_disagree_are_both_named_and_nothing_changes(
    tmp_path: Path, key: Key, said: str, fill: Callable[[CrateMaker], object]
) -> None:
    made = {name: CrateMaker(tmp_path / name, name=name) for name in ("site", "tools")}
    for one in made.values():
        fill(one)
    with trusting(tmp_path / "root", key) as store:
        install(store, made["site"].write(tmp_path / "site.crate", [key]))
        before = served_rows(store)
        with pytest.raises(CrateConflict, match=r"the crates site 1 and tools 1 disagree: .*") as caught:
            install(store, made["tools"].write(tmp_path / "tools.crate", [key]))
        assert said in caught.value.what
        assert served_rows(store) == before


def served_rows(store: Store) -> dict[str, str]:
    """All that is published, and the files of the store but its packs."""
    found = dump(store.root)
    rows = [line for line in found.pop("crate.db").splitlines() if "published_" in line or "documents" in line]
    return {path: digest for path, digest in found.items() if not path.startswith("packs/")} | {"rows": "\n".join(rows)}


HOSTILE = {
    "climbs out": "apt/../../etc/passwd",
    "is absolute": "/apt/x",
    "ends in dots": "apt/x/..",
    "has an empty part": "apt//x",
    "has a NUL": "apt/x\0y",
    "has an encoded slash": "apt/a%2fb",
    "is longer than any client asks for": "apt/" + "x" * 4096,
    "lies in another ecosystem's place": "npm/x",
    "lies in no ecosystem's place": "x",
    "is a name of Windows": "apt/con",
    "names a hostile repository": "oci/../x:1",
    "names a hostile tag": "oci/x:../1",
}


@pytest.mark.parametrize("path", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_path_stops_the_activation(
    tmp_path: Path, key: Key, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def publish(items: Iterable[Item], _: Publication) -> Iterator[Published]:
        for _item in items:
            yield Published("apt/good", TEXT, b"good")
            yield Published(path, "application/vnd.oci.image.manifest.v1+json", b'{"schemaVersion": 2}')

    made = CrateMaker(tmp_path / "made")
    _package(made)
    with trusting(tmp_path / "root", key) as store:
        install(store, crate(tmp_path, key, [], name="old"))
        before = served_rows(store)
        monkeypatch.setattr("mirror.apt.publish.publish", publish)
        with pytest.raises(Problem):
            install(store, made.write(tmp_path / "site.crate", [key]))
        assert served_rows(store) == before


INCOMPLETE = {"apt": "stanza", "pypi": "files", "npm": "packument", "chart": "metadata"}


@pytest.mark.parametrize("kind", worlds.KINDS)
def test_a_catalogue_that_does_not_say_enough_is_refused(tmp_path: Path, key: Key, kind: str) -> None:
    made = worlds.maker(tmp_path / "made", [kind])
    made.items = [
        replace(item, publish={key: value for key, value in item.publish.items() if key != INCOMPLETE[kind]})
        for item in made.items
    ]
    with trusting(tmp_path / "root", key) as store, pytest.raises(BadPublication, match=INCOMPLETE[kind]):
        install(store, made.write(tmp_path / "site.crate", [key]))


def test_a_failing_ecosystem_leaves_nothing_behind(tmp_path: Path, key: Key) -> None:
    def failing(_items: Iterable[Item], into: Publication) -> None:
        into.serve(Published("npm/x", TEXT, b"a document"))
        into.make_blob(b"a blob")
        assert into.signer.public_key()
        raise BadPublication("no")

    with trusting(tmp_path / "root", key) as store:
        install(store, crate(tmp_path, key, [], name="old"))
        install(store, crate(tmp_path, key, ["npm"]))
        pack = store.database.reader.execute("SELECT id FROM packs WHERE name = 'site'").fetchone()[0]
        rollback(store, 1)
        before = served_rows(store)
        with pytest.raises(BadPublication):
            activate(store, [pack], {**publishing.PUBLISHERS, "npm": failing})
        assert served_rows(store) == before


def test_documents_are_dated_by_content_and_always_later_than_before(tmp_path: Path, key: Key) -> None:
    def dated(store: Store) -> tuple[str, int]:
        release = body(store, "apt/tests/dists/stable/Release").decode()
        (served,) = PublishedPaths(store.database).variants("apt/tests/dists/stable/Release")
        return next(line for line in release.splitlines() if line.startswith("Date: ")), served.modified

    start = int(CREATED.timestamp())
    later = datetime.fromtimestamp(start + DAY, UTC)
    with trusting(tmp_path / "root", key) as store:
        install(store, crate(tmp_path, key, ["apt"]))
        assert dated(store) == ("Date: Sun, 01 Nov 2026 00:00:00 UTC", start)
        install(store, crate(tmp_path, key, ["apt"], version="2.0.0", serial=2, created=later))
        assert dated(store) == ("Date: Mon, 02 Nov 2026 00:00:00 UTC", start + DAY)
        rollback(store)
        assert dated(store) == ("Date: Mon, 02 Nov 2026 00:00:01 UTC", start + DAY + 1)
        # another crate, no newer than what is here, changes what is published, and so the date
        install(store, crate(tmp_path, key, ["apt"], version="3.0.0", name="tools"))
        assert dated(store) == ("Date: Mon, 02 Nov 2026 00:00:02 UTC", start + DAY + 2)


def test_what_stays_the_same_keeps_its_date(tmp_path: Path, key: Key) -> None:
    later = datetime.fromtimestamp(CREATED.timestamp() + DAY, UTC)
    with trusting(tmp_path / "root", key) as store:
        install(store, crate(tmp_path, key, ["pypi"]))
        install(store, crate(tmp_path, key, ["pypi"], version="2.0.0", serial=2, created=later))
        found = {path: served.modified for (path, accepts), served in paths(store).items() if not accepts}
    start = int(CREATED.timestamp())
    assert found["pypi/simple/mine/"] == start
    assert found["pypi/files/mine/mine-1.0.0-py3-none-any.whl"] == start
    assert found["pypi/simple/yours/"] == start + DAY


def test_a_rollback_serves_the_older_indexes_again(tmp_path: Path, key: Key) -> None:
    told = ("apt/tests/dists/stable/main/binary-amd64/Packages", "pypi/simple/yours/", "npm/@team/yours")
    with trusting(tmp_path / "root", key) as store:
        install(store, crate(tmp_path, key, worlds.KINDS))
        before = paths(store)
        install(store, crate(tmp_path, key, worlds.KINDS, version="2.0.0", serial=2))
        for path in told:
            assert b"2.0.0" in body(store, path)
        rollback(store)
        assert paths(store).keys() == before.keys()
        for path in told:
            assert b"2.0.0" not in body(store, path)
            assert b"1.0.0" in body(store, path)


def test_the_same_crates_publish_the_same_bytes_in_whatever_order_they_come(tmp_path: Path, key: Key) -> None:
    crates = [
        crate(tmp_path, key, ["pypi", "npm", "chart"], name="site"),
        crate(tmp_path, key, ["pypi", "npm", "chart"], version="2.0.0", name="tools"),
    ]
    found = []
    for number, order in enumerate([crates, crates[::-1]]):
        with trusting(tmp_path / f"root{number}", key) as store:
            install(store, [path for one in order for path in one])
            found.append({key: (one.sha256, one.modified) for key, one in paths(store).items()})
    assert found[0] == found[1]


def test_the_key_is_made_once_and_nobody_else_may_read_it(tmp_path: Path, key: Key) -> None:
    path = tmp_path / "root/trust/repository.pgp"
    with trusting(tmp_path / "root", key) as store:
        install(store, crate(tmp_path, key, ["npm"]))
        assert not path.exists()
        install(store, crate(tmp_path, key, ["apt"], name="tools"))
        kept, public = path.read_bytes(), body(store, "apt/tests.asc")
        assert path.stat().st_mode & 0o777 == 0o600
        install(store, crate(tmp_path, key, ["apt"], version="2.0.0", name="tools", serial=2))
        assert (path.read_bytes(), body(store, "apt/tests.asc")) == (kept, public)
        for name in ("Release", "Release.gpg"):
            (tmp_path / name).write_bytes(body(store, f"apt/tests/dists/stable/{name}"))
    (tmp_path / "key.asc").write_bytes(public)
    subprocess.run([tool("sqv"), "--keyring", "key.asc", "Release.gpg", "Release"], cwd=tmp_path, check=True)


def test_collection_drops_the_documents_and_artifacts_that_nothing_serves(tmp_path: Path, key: Key) -> None:
    def held(store: Store) -> tuple[int, int]:
        documents = store.database.reader.execute("SELECT count(*) FROM documents").fetchone()[0]
        return documents, len([path for path in (store.root / "loose").rglob("*") if path.is_file()])

    with trusting(tmp_path / "root", key) as store:
        install(store, crate(tmp_path, key, worlds.KINDS))
        first = held(store)
        install(store, crate(tmp_path, key, worlds.KINDS, version="2.0.0", serial=2))
        assert held(store) > first
        collect(store, keep=1, grace=timedelta())
        assert held(store) == first
        for served in paths(store).values():
            if served.document is None:
                assert store.blobs.find(Digest.sha256(served.sha256))
        for row in store.database.reader.execute("SELECT digest FROM published_blobs"):
            assert store.blobs.find(Digest.sha256(row[0].hex()))


def test_charts_become_artifacts_of_the_registry(tmp_path: Path, key: Key) -> None:
    with trusting(tmp_path / "root", key) as store:
        install(store, crate(tmp_path, key, ["chart"]))
        rows = store.database.reader.execute("SELECT repository, tag, digest FROM published_tags").fetchall()
        tags = {repository: (tag, digest) for repository, tag, digest in rows}
        assert {"charts/mine", "charts/yours"} < tags.keys()
        (upstream,) = tags.keys() - {"charts/mine", "charts/yours"}
        assert upstream.endswith("/team/yours")
        for tag, digest in tags.values():
            manifest = json.loads(store.blobs.read(Digest.parse(digest), 1 << 20))
            assert tag == "1.0.0"
            for blob in (manifest["config"], *manifest["layers"]):
                assert store.blobs.find(Digest.parse(blob["digest"]))


def test_reading_a_document_in_pieces(tmp_path: Path, key: Key) -> None:
    """Larger than one page, one piece and the cache's largest entry."""
    text = b"".join(b"%08d" % number for number in range(400_000))

    def large(items: Iterable[Item], into: Publication) -> None:
        for _ in items:
            into.serve(Published("files/large", TEXT, text))

    made = CrateMaker(tmp_path / "made")
    made.file("x", b"x")
    with trusting(tmp_path / "root", key) as store, ThreadPoolExecutor(1) as readers:
        install(store, made.write(tmp_path / "site.crate", [key]))
        made.serial = 2
        made.file("y", b"y")
        install(store, made.write(tmp_path / "site2.crate", [key]))
        pack = store.database.reader.execute("SELECT max(id) FROM packs").fetchone()[0]
        rollback(store, 1)
        activate(store, [pack], {"file": large})
        (served,) = PublishedPaths(store.database).variants("files/large")
        documents = Documents(store.database, readers)
        assert asyncio.run(documents.piece(served, 3_000_000, 1000)) == text[3_000_000:3_001_000]
        assert asyncio.run(documents.whole(served, b"")) == text

"""The doctor over real stores and daemons: well, and ill in one way after the other."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.access import Role
from appliance.blobs import Extent
from appliance.doctor import examination
from appliance.doctor.examination import Check, examine
from appliance.doctor.findings import Level, Report
from appliance.doctor.watch import Watch
from appliance.installing import install
from appliance.site.folder import SiteFolder
from appliance.store import Store
from appliance.support import secret_files
from appliance.users import Users
from archive.digests import Digest
from tests.appliance.commands import run
from tests.appliance.daemon import serving
from tests.appliance.worlds import maker as of_every_kind
from tests.support.crates import Key
from tests.support.images import make_layout
from tests.support.ports import free_port
from tests.support.stores import trusting

NAME = "docker.io/library/held"


@dataclass(frozen=True)
class Made:
    """A store that holds something of every kind, and the crate that it came with."""

    root: Path
    crate: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Made:
    folder = tmp_path_factory.mktemp("every-kind")
    maker = of_every_kind(folder)
    maker.file("tool", os.urandom(200_000))
    maker.image(make_layout(folder / "held", f"{NAME}:1", layer_size=100_000))
    (crate,) = maker.write(folder / "site-1.crate", [key])
    with trusting(folder / "store", key) as store:
        install(store, [crate])
    return Made(folder / "store", crate)


@pytest.fixture
def root(tmp_path: Path, made: Made) -> Path:
    """A copy, to be harmed."""
    return shutil.copytree(made.root, tmp_path / "store")


def levels(report: Report) -> dict[str, Level]:
    """The gravest of each check."""
    found: dict[str, Level] = {}
    for finding in report.findings:
        found[finding.check] = max(found.get(finding.check, Level.FINE), finding.level)
    return found


def test_something_of_every_kind_is_pulled_from_a_daemon_that_is_well(root: Path) -> None:
    made = make_layout(root.parent / "mine", "team/mine:1", layer_size=1000)
    with serving.crate(root, tls=True) as running, Store.open(root) as store:
        running.push(made.layout, made.digest, "team/mine", "1")
        report = examine(store)
    pulled = [finding.what for finding in report.findings if finding.check == "pulling"]
    assert pulled == [
        "over TLS comes what is asked for: apt, authority, files, helm, image, layer, npm, pushed image, pypi",
        "over the plain port comes what is asked for: apt, authority, layer",
    ]
    assert report.level is not Level.FATAL
    assert levels(report)["packs and blobs"] is Level.FINE


def test_a_daemon_that_is_closed_to_all_is_well_too(root: Path) -> None:
    with serving.crate(root, "--private", tls=True), Store.open(root) as store:
        assert levels(examine(store))["pulling"] is Level.FINE


def test_a_certificate_of_another_authority_is_noticed(root: Path) -> None:
    with serving.crate(root, tls=True), Store.open(root) as store:
        (root / "tls/ca.pem").rename(root / "tls/kept.pem")
        (root / "tls/ca.pem").write_bytes((root / "tls/server.pem").read_bytes())
        found = levels(examine(store))
        (root / "tls/kept.pem").rename(root / "tls/ca.pem")
    assert found["pulling"] is Level.FATAL
    assert found["certificates"] is Level.FATAL


def of_pack(store: Store) -> Extent:
    (raw,) = store.database.reader.execute("SELECT digest FROM published_files WHERE path = 'files/tool'").fetchone()
    extent = store.blobs.find(Digest.sha256(raw.hex()))
    assert extent
    return extent


def lose_the_pack(root: Path) -> None:
    with Store.open(root) as store:
        of_pack(store).path.unlink()


def lose_a_row(root: Path) -> None:
    with Store.open(root) as store:
        raw = bytes.fromhex(of_pack(store).sha256)
        with store.database.write() as connection:
            connection.execute("DELETE FROM blobs WHERE digest = ?", (raw,))


def lose_a_pushed_manifest(root: Path) -> None:
    with Store.open(root) as store, store.database.write() as connection:
        connection.execute(
            "INSERT INTO manifests (repository, digest, media_type, size) VALUES ('team/mine', ?, 'x', 1)",
            (f"sha256:{'ab' * 32}",),
        )


def shorten_a_loose_blob(root: Path) -> None:
    with Store.open(root) as store:
        (root.parent / "blob").write_bytes(b"1234567")
        digest = Digest.parse(serving.sha256(b"1234567"))
        store.blobs.add_loose(root.parent / "blob", digest)
        store.blobs.loose_path(digest.hex).write_bytes(b"123")


def contradict(root: Path) -> None:
    with sqlite3.connect(root / "crate.db") as connection:
        connection.execute("INSERT INTO generation_packs VALUES (1, 4711, 1)")


def leave_a_pack(root: Path) -> None:
    (root / "packs" / f"{'0' * 64}.crate").write_bytes(b"!" * 10_000)


def leave_a_loose_file(root: Path) -> None:
    folder = root / "loose/sha256/ab"
    folder.mkdir(exist_ok=True)
    (folder / ("ab" * 32)).write_bytes(b"!" * 10_000)


def leave_an_upload(root: Path) -> None:
    (root / "uploads/cut").write_bytes(b"!" * 10_000)


def ask_for_what_is_not_there(root: Path) -> None:
    with Store.open(root) as store, store.database.write() as connection:
        connection.execute("INSERT INTO requests VALUES ('image', 'x', 1, 0, 0, 'a', 'a')")


def lose_the_authoritys_key(root: Path) -> None:
    with serving.crate(root, tls=True):
        pass
    (root / "tls/ca.key").unlink()


def come_from_the_future(root: Path) -> None:
    SiteFolder(root).ensure()
    SiteFolder(root).clock.write_text("4000000000\n")


def lose_a_node(root: Path) -> None:
    SiteFolder(root).ensure()
    SiteFolder(root).site.write_text(
        f'[site]\nname = "x"\naddress = "127.0.0.1"\nnetwork = "127.0.0.0/24"\n'
        f"names = false\ntime = false\n[ssh]\nport = {free_port()}\n"
        '[[nodes]]\nname = "n1"\naddress = "127.0.0.1"\nrole = "server"\n'
    )


ILLS: dict[str, tuple[Callable[[Path], None], str, Level]] = {
    "whose pack is gone": (lose_the_pack, "packs and blobs", Level.FATAL),
    "that lost a blob without knowing": (lose_a_row, "lost content", Level.FATAL),
    "that lost a pushed manifest": (lose_a_pushed_manifest, "lost content", Level.FATAL),
    "with a loose blob that is too short": (shorten_a_loose_blob, "packs and blobs", Level.FATAL),
    "whose database contradicts itself": (contradict, "database", Level.FATAL),
    "with a pack that is nobody's": (leave_a_pack, "leftovers", Level.WARNING),
    "with a loose file that is nobody's": (leave_a_loose_file, "leftovers", Level.WARNING),
    "with half a push": (leave_an_upload, "leftovers", Level.WARNING),
    "that was asked for more than it has": (ask_for_what_is_not_there, "requests", Level.FINE),
    "without its authority's key": (lose_the_authoritys_key, "certificates", Level.FATAL),
    "whose clock went back": (come_from_the_future, "clock", Level.FATAL),
    "whose node is off": (lose_a_node, "nodes", Level.WARNING),
}


@pytest.mark.parametrize(("harm", "check", "level"), ILLS.values(), ids=ILLS)
def test_a_store(root: Path, harm: Callable[[Path], None], check: str, level: Level) -> None:
    with Store.open(root) as store:
        before = levels(examine(store))
    harm(root)
    with Store.open(root) as store:
        after = examine(store)
    assert before.get(check, Level.FINE) is Level.FINE
    assert levels(after)[check] is level
    assert {one for one, found in levels(after).items() if found is Level.FATAL} <= {check, "service"}
    assert all(finding.remedy for finding in after.findings if finding.level is not Level.FINE)


def test_a_check_that_fails_is_a_finding_and_ends_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_store: Store) -> list[object]:
        raise sqlite3.DatabaseError("database disk image is malformed")

    checks = (Check("first", fails), *examination.CHECKS)  # type: ignore[arg-type]
    monkeypatch.setattr(examination, "CHECKS", checks)
    with Store.open(root) as store:
        report = examine(store, whole=False)
    assert levels(report)["first"] is Level.FATAL
    assert levels(report)["disk space"] is not None


def test_the_daemons_own_look_is_there_for_whoever_asks(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.doctor.watch._FIRST", 0.0)

    async def look() -> Report:
        with Store.open(root) as store:
            watch = Watch(store)
            task = asyncio.create_task(watch.keep_watching())
            while watch.report is None:  # noqa: ASYNC110 - it is asked, as the page asks
                await asyncio.sleep(0.01)
            task.cancel()
            return watch.report

    report = asyncio.run(look())
    assert not report.whole
    assert "service" in levels(report)


def test_the_verb_ends_with_1_when_something_is_fatal_and_says_what_to_do(root: Path) -> None:
    found = run(root, "doctor")
    assert found.returncode == 1
    assert "FATAL    service: nobody serves the store" in found.stdout
    assert "remedy: " in found.stdout
    with serving.crate(root, tls=True):
        well = run(root, "doctor", "--json")
    assert well.returncode == 0, well.stdout
    assert json.loads(well.stdout)["level"] == "warning", "no service here starts it at boot"


def test_the_support_archive_holds_no_secret_of_the_store(root: Path, tmp_path: Path) -> None:
    site = SiteFolder(root)
    site.ensure_key()
    token = site.cluster_token()
    site.write(site.server_token, b"K10abcdef0123456789::server:0123456789abcdef\n")
    site.write(site.kubeconfig, b"users:\n- user:\n    client-key-data: c2VjcmV0LXNlY3JldC1zZWNyZXQ=\n")
    site.write(site.journal, f'{{"said": "joined with {token} at https://ann:hunter22@10.0.0.1/"}}\n'.encode())
    site.write(
        site.site,
        b'[site]\nname = "x"\naddress = "127.0.0.1"\nnetwork = "127.0.0.0/24"\nnames = false\n'
        b"time = false\n[cluster.settings]\n"
        b'datastore-password = "typed by a person"\n[[nodes]]\nname = "n1"\naddress = "127.0.0.1"\nrole = "server"\n',
    )
    with Store.open(root) as store:
        Users(store.database).add("ann", "ann's password", Role.OPERATOR)
        hashes = [row[0] for row in store.database.reader.execute("SELECT password FROM users")]
    secret = serving.make_token(root, Role.OPERATOR)
    with serving.crate(root, tls=True):
        done = run(root, "doctor", "--bundle", tmp_path / "support.tar.gz")
    assert "no secret" in done.stdout, done.stderr
    texts = {}
    with tarfile.open(tmp_path / "support.tar.gz") as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file
            texts[member.name] = file.read().decode()
    assert {"support/findings.txt", "support/status.json", "support/site/site.toml", "support/versions.txt"} <= {*texts}
    everything = "\n".join(texts.values())
    kept = [path.read_text(errors="replace") for path in secret_files(root) if path.exists()]
    assert len(kept) >= 7
    for line in "\n".join(kept).splitlines():
        if len(line) >= 12 and not line.startswith("-----") and not line.rstrip().endswith(":"):
            assert line.strip() not in everything
    for text in (
        *hashes,
        secret,
        token,
        "c2VjcmV0LXNlY3JldC1zZWNyZXQ=",
        "hunter22",
        "typed by a person",
        "PRIVATE KEY",
    ):
        assert text not in everything, text
    assert "[struck out]" in texts["support/site/journal.jsonl"]
    assert "10.0.0.1" in texts["support/site/journal.jsonl"]

"""Backups: what clients see before a board dies and after its successor was restored is the same."""

from __future__ import annotations

import io
import json
import random
import shutil
import sqlite3
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance import contributions, generations
from appliance.access import Role
from appliance.backup import age, contents
from appliance.backup.restoring import restore
from appliance.backup.saving import save
from appliance.doctor.examination import examine
from appliance.doctor.findings import Level
from appliance.errors import BadBackup, DamagedContent, StoreInUse, WrongPassphrase
from appliance.installing import install
from appliance.scrubbing.passes import scrub
from appliance.site.folder import SiteFolder
from appliance.store import Store
from appliance.tokens import Tokens
from appliance.users import Users
from archive.catalogue import File, Item
from archive.digests import Digest
from archive.errors import Problem
from tests.appliance.commands import run
from tests.appliance.daemon import serving
from tests.support.crates import CrateMaker, Key
from tests.support.images import MadeImage, make_layout
from tests.support.stores import dump, trusting
from tests.support.tools import tool

WORDS = "correct horse battery"
HELD = "docker.io/library/held"


@dataclass(frozen=True)
class Crate:
    """A crate with a history: a stick, a pushed image, a user, a contribution, a site."""

    root: Path
    stick: Path
    pushed: MadeImage


@pytest.fixture(scope="module")
def crate(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Crate:
    folder = tmp_path_factory.mktemp("crate")
    maker, noise = CrateMaker(folder / "blobs"), random.Random(2)
    for number in range(5):
        maker.file(f"f{number:02}", noise.randbytes(150_000 + number))
    maker.image(make_layout(folder / "held", f"{HELD}:1", layer_size=100_000))
    (stick,) = maker.write(folder / "site-1.crate", [key])
    pushed = make_layout(folder / "mine", "team/mine:1", layer_size=300_000)
    root = folder / "store"
    with trusting(root, key) as store:
        install(store, [stick])
        Users(store.database).add("ann", "ann's password", Role.PUBLISHER)
        data = b"what a team made" * 100
        (folder / "data").write_bytes(data)
        digest = Digest.parse(serving.sha256(data))
        store.blobs.add_loose(folder / "data", digest)
        with store.database.write() as connection:
            item = Item("file", "team/data", "1", files=(File(digest.hex, len(data), "team/data"),))
            contributions.add(connection, item, "ann")
            generations.republish(store, connection, "file")
        site = SiteFolder(root)
        site.ensure_key()
        site.cluster_token()
    with serving.crate(root, tls=True) as running:
        running.push(pushed.layout, pushed.digest, "team/mine", "1")
    return Crate(root, stick, pushed)


@pytest.fixture
def root(tmp_path: Path, crate: Crate) -> Path:
    """A copy of its store, to be harmed."""
    return shutil.copytree(crate.root, tmp_path / "store")


@pytest.fixture
def stick(crate: Crate) -> Path:
    return crate.stick


@pytest.fixture
def pushed(crate: Crate) -> MadeImage:
    return crate.pushed


def saved(root: Path, to: Path, words: str = WORDS) -> Path:
    with Store.open(root) as store:
        save(store, to, words)
    return to


def seen(running: serving.Crate, pushed: MadeImage, token: str) -> dict[str, Any]:
    """What a client that trusts the authority of before, with the token of before, is answered."""
    layer, _ = serving.largest_layer(pushed)
    asked = {
        path: running.request("GET", path, token=token)
        for path in (
            "/ca.pem",
            "/files/",
            "/files/f03",
            "/files/team/data",
            f"/v2/{HELD}/manifests/1",
            f"/v2/{HELD}/tags/list",
            "/v2/team/mine/manifests/1",
            f"/v2/team/mine/blobs/{layer}",
            "/v2/_catalog",
        )
    }
    return {path: (answer.status, answer.body) for path, answer in asked.items()}


def test_a_restored_board_is_to_its_clients_what_the_dead_one_was(
    tmp_path: Path, root: Path, stick: Path, pushed: MadeImage
) -> None:
    token = serving.make_token(root)
    with serving.crate(root, tls=True) as running:
        before = seen(running, pushed, token)
    assert {status for status, _ in before.values()} == {200}
    backup = saved(root, tmp_path / "crate.backup")
    secrets = {path.name: path.read_bytes() for path in (root / "tls").iterdir()}
    fresh = tmp_path / "fresh"
    done = restore(fresh, backup, WORDS)
    assert done.crates == ("site 1",)
    with Store.open(fresh) as store:
        assert Users(store.database).find("ann")
        install(store, [stick])
        assert scrub(store).damaged == 0
        fatal = {one.check for one in examine(store).findings if one.level is Level.FATAL}
        assert fatal == {"service"}, "nobody serves it yet"
    assert {path.name: path.read_bytes() for path in (fresh / "tls").iterdir()} == secrets
    assert SiteFolder(fresh).cluster_token() == SiteFolder(root).cluster_token()
    assert SiteFolder(fresh).key.read_bytes() == SiteFolder(root).key.read_bytes()
    with serving.crate(fresh, tls=True) as running:
        (tmp_path / "ca.pem").write_bytes(before["/ca.pem"][1])
        client = serving.Crate(**{**vars_of(running), "ca": tmp_path / "ca.pem"})
        assert seen(client, pushed, token) == before


def vars_of(running: serving.Crate) -> dict[str, Any]:
    return {name: getattr(running, name) for name in ("root", "port", "plain", "token", "pid", "ca")}


def test_what_people_brought_is_served_before_the_stick_is_there(tmp_path: Path, root: Path, pushed: MadeImage) -> None:
    fresh = tmp_path / "fresh"
    assert restore(fresh, saved(root, tmp_path / "backup"), WORDS).warnings == ()
    with serving.crate(fresh) as running:
        assert running.request("GET", "/files/team/data").status == 200
        assert running.request("GET", "/v2/team/mine/manifests/1").status == 200
        assert running.request("GET", "/files/f03").status == 404


def test_documents_of_the_next_installation_are_dated_later_than_all_that_clients_have(
    tmp_path: Path, root: Path, stick: Path
) -> None:
    with Store.open(root) as store:
        (before,) = store.database.reader.execute("SELECT max(dated) FROM generations").fetchone()
    fresh = tmp_path / "fresh"
    restore(fresh, saved(root, tmp_path / "backup"), WORDS)
    with Store.open(fresh) as store:
        install(store, [stick])
        (after,) = store.database.reader.execute("SELECT dated FROM generations WHERE active = 1").fetchone()
    assert after > before


def test_every_table_is_taken_or_known_to_be_made_again(root: Path) -> None:
    with Store.open(root) as store:
        rows = store.database.reader.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
        tables = sorted(row[0] for row in rows)
    assert sorted([*contents.KEPT, *contents.PARTLY, *contents.DERIVED]) == tables


def test_age_opens_it_and_tar_reads_it(tmp_path: Path, root: Path) -> None:
    """`age` asks a terminal for the passphrase, so it is given one by script(1)."""
    backup, out = saved(root, tmp_path / "backup"), tmp_path / "out.tar"
    asked = subprocess.run(
        [tool("script"), "-qec", f"{tool('age')} -d -o {out} {backup}", "/dev/null"],
        input=f"{WORDS}\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert out.exists(), asked.stdout
    with tarfile.open(out) as archive:
        names = archive.getnames()
        first = archive.extractfile("backup.json")
        assert first
        assert json.load(first)["crates"] == ["site 1"]
    assert names[0] == "backup.json"
    assert names[-1] == "end.json"
    assert {"store/tls/ca.key", "store/session.key", "store/trust/repository.pgp"} & {*names} == {
        f"store/{name}" for name in ("tls/ca.key", "session.key", "trust/repository.pgp") if (root / name).exists()
    }


def test_what_age_encrypts_opens_here(tmp_path: Path) -> None:
    body = random.Random(5).randbytes(200_000)
    (tmp_path / "plain").write_bytes(body)
    subprocess.run(
        [tool("script"), "-qec", f"{tool('age')} -p -o {tmp_path}/sealed {tmp_path}/plain", "/dev/null"],
        input=f"{WORDS}\n{WORDS}\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    with (tmp_path / "sealed").open("rb") as file:
        assert age.Reader(file, WORDS).read() == body


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 131_072, 400_000])
def test_every_size_comes_back(size: int) -> None:
    body = random.Random(size).randbytes(size)
    sealed = io.BytesIO()
    writer = age.Writer(sealed, WORDS)
    for start in range(0, size, 10_007):
        writer.write(body[start : start + 10_007])
    writer.finish()
    sealed.seek(0)
    assert age.Reader(sealed, WORDS).read() == body


def cut(data: bytes) -> bytes:
    return data[:-20]


def cut_at_a_chunk(data: bytes) -> bytes:
    """So that what is left ends with a whole chunk."""
    head = data.index(b"\n", data.index(b"\n---") + 1) + 1 + 16
    return data[: head + 2 * (65_536 + 16)]


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def flip_head(data: bytes) -> bytes:
    at = data.index(b"--- ") + 10
    return data[:at] + (b"A" if data[at : at + 1] != b"A" else b"B") + data[at + 1 :]


def costlier(data: bytes) -> bytes:
    return data.replace(b" 16\n", b" 29\n", 1)


BROKEN: dict[str, tuple[Callable[[bytes], bytes], type[Problem]]] = {
    "cut off": (cut, BadBackup),
    "cut off between two chunks": (cut_at_a_chunk, BadBackup),
    "changed in the middle": (flip, BadBackup),
    "changed in its head": (flip_head, BadBackup),
    "made to cost more memory than there is": (costlier, BadBackup),
    "nothing of the kind": (lambda _: b"hello\n" * 1000, BadBackup),
    "empty": (lambda _: b"", BadBackup),
}


@pytest.mark.parametrize(("change", "problem"), BROKEN.values(), ids=BROKEN)
def test_a_backup_that_is(tmp_path: Path, root: Path, change: Callable[[bytes], bytes], problem: type[Problem]) -> None:
    backup = saved(root, tmp_path / "backup")
    backup.write_bytes(change(backup.read_bytes()))
    fresh = tmp_path / "fresh"
    with pytest.raises(problem):
        restore(fresh, backup, WORDS)
    assert not (fresh / "crate.db").exists()
    assert not [*fresh.glob("*/*")]


def test_the_wrong_passphrase_opens_nothing(tmp_path: Path, root: Path) -> None:
    with pytest.raises(WrongPassphrase):
        restore(tmp_path / "fresh", saved(root, tmp_path / "backup"), "another one")


def rewritten(backup: Path, change: Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes]]) -> None:
    out = io.BytesIO()
    with tarfile.open(backup) as old, tarfile.open(fileobj=out, mode="w") as new:
        for member in old:
            file = old.extractfile(member)
            assert file
            changed, body = change(member, file.read())
            changed.size = len(body)
            new.addfile(changed, io.BytesIO(body))
    backup.write_bytes(out.getvalue())


def outside(member: tarfile.TarInfo, body: bytes) -> tuple[tarfile.TarInfo, bytes]:
    if member.name == "store/session.key":
        member.name = "store/../../evil"
    return member, body.replace(b'"store/session.key"', b'"store/../../evil"')


def other_blob(member: tarfile.TarInfo, body: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return member, body + b"!" if member.name.startswith("blobs/") else body


def other_file(member: tarfile.TarInfo, body: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return member, body + b"!" if member.name == "store/tls/ca.pem" else body


def newer(member: tarfile.TarInfo, body: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return member, body.replace(b'"format": 1', b'"format": 2') if member.name == "backup.json" else body


def stranger(member: tarfile.TarInfo, body: bytes) -> tuple[tarfile.TarInfo, bytes]:
    if member.name == "end.json":
        member.name = "store/cron.d"
    return member, body


CHANGED = {
    "a file outside of the store": outside,
    "a blob that is another": other_blob,
    "a file that is another": other_file,
    "a format of its own": newer,
    "a file that it does not name": stranger,
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_an_unencrypted_backup_with(
    tmp_path: Path, root: Path, change: Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes]]
) -> None:
    backup = saved(root, tmp_path / "backup", "")
    rewritten(backup, change)
    with pytest.raises(BadBackup):
        restore(tmp_path / "fresh", backup, "")
    assert not (tmp_path / "evil").exists()
    assert not (tmp_path / "fresh" / "crate.db").exists()


def test_a_store_in_use_is_left_alone(tmp_path: Path, root: Path) -> None:
    backup = saved(root, tmp_path / "backup")
    before = dump(root)
    with pytest.raises(StoreInUse, match="authority"):
        restore(root, backup, WORDS)
    # who held it last stands in the lock
    assert {**dump(root), "daemon.lock": ""} == {**before, "daemon.lock": ""}
    with serving.crate(root) as _running, pytest.raises(StoreInUse, match="in use"):
        restore(root, backup, WORDS, force=True)


def test_by_force_what_was_there_is_moved_aside(tmp_path: Path, root: Path, key: Key) -> None:
    backup = saved(root, tmp_path / "backup")
    other = tmp_path / "other"
    with trusting(other, key) as store:
        Tokens(store.database).create(Role.OPERATOR)
    done = restore(other, backup, WORDS, force=True)
    assert done.replaced
    with sqlite3.connect(done.replaced / "crate.db") as connection:
        assert connection.execute("SELECT count(*) FROM tokens").fetchone() == (1,)
    with Store.open(other) as store:
        assert Users(store.database).find("ann")


def test_a_board_that_was_only_told_whom_to_trust_takes_a_backup(tmp_path: Path, root: Path, key: Key) -> None:
    """That is how install.sh leaves it."""
    trusting(tmp_path / "fresh", key, "somebody").close()
    assert restore(tmp_path / "fresh", saved(root, tmp_path / "backup"), WORDS).replaced is None


def test_damaged_content_is_not_saved_as_if_it_were_whole(tmp_path: Path, root: Path, pushed: MadeImage) -> None:
    digest, _ = serving.largest_layer(pushed)
    with Store.open(root) as store:
        extent = store.blobs.find(Digest.parse(digest))
        assert extent
        body = extent.path.read_bytes()
        extent.path.write_bytes(b"?" + body[1:])
        with pytest.raises(DamagedContent):
            save(store, tmp_path / "backup", WORDS)
        assert [*tmp_path.glob("*backup*")] == []
        scrub(store)
        told = save(store, tmp_path / "backup", WORDS)
        assert told.lost == 1
    restore(tmp_path / "fresh", tmp_path / "backup", WORDS)


def test_the_verbs(tmp_path: Path, root: Path) -> None:
    (tmp_path / "words").write_text(f"{WORDS}\n")
    (tmp_path / "short").write_text("short\n")
    given: list[str | Path] = ["--passphrase-file", tmp_path / "words"]
    refused = run(root, "backup", tmp_path / "b", "--passphrase-file", tmp_path / "short")
    assert refused.returncode == 2
    assert run(root, "backup", tmp_path / "b").returncode == 2, "nobody is there to type a passphrase"
    made = run(root, "backup", tmp_path / "b", *given, "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["crates"] == ["site 1"]
    assert (tmp_path / "b").stat().st_mode & 0o077 == 0
    restored = run(tmp_path / "fresh", "restore", tmp_path / "b", *given)
    assert restored.returncode == 0, restored.stderr
    assert "site 1" in restored.stdout
    again = run(tmp_path / "fresh", "restore", tmp_path / "b", *given)
    assert again.returncode == 2
    assert "--force" in again.stderr

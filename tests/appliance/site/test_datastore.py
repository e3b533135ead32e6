"""The cluster's datastore, fetched from a real machine over ssh while somebody writes to it."""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from appliance.backup.datastore import ETCD, SQLITE
from appliance.backup.restoring import restore
from appliance.site.folder import SiteFolder
from appliance.store import Store
from tests.appliance.site.files import site
from tests.support.lab import Lab, Spec, lab
from tests.support.lab.machine import Told

_MAIN = "from appliance.cli import main; main()"
_DB = "/var/lib/rancher/k3s/server/db"
_ROWS = 2000


class Kine:
    """Stands for k3s on its SQLite datastore: a database in WAL mode in which rows come all the time, in pairs."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / SQLITE
        folder.mkdir(parents=True)
        with closing(sqlite3.connect(self._path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE kine (id INTEGER PRIMARY KEY, value BLOB)")
            connection.executemany("INSERT INTO kine (value) VALUES (?)", [(b"v" * 500,) for _ in range(_ROWS)])
            connection.commit()
        self._stop = threading.Event()
        self._writing = threading.Thread(target=self._write)
        self._writing.start()

    def _write(self) -> None:
        with closing(sqlite3.connect(self._path, timeout=20)) as connection:
            while not self._stop.wait(0.002):
                connection.execute("INSERT INTO kine (value) VALUES (randomblob(300)), (randomblob(300))")
                connection.commit()

    def stop(self) -> None:
        self._stop.set()
        self._writing.join()


@pytest.fixture(scope="module")
def room() -> Iterator[Lab]:
    """n1, a server whose datastore this machine writes to."""
    with lab([Spec("n1")]) as made:
        kine = Kine(made["n1"].media / "db")
        made["n1"].run(f"mkdir -p {_DB.rpartition('/')[0]} && ln -s /media/db {_DB}")
        try:
            yield made
        finally:
            kine.stop()


@pytest.fixture
def root(room: Lab, tmp_path: Path) -> Path:
    """A store with the site in force, and n1's host key pinned."""
    root = tmp_path / "root"
    Store.open(root).close()
    folder = SiteFolder(root)
    folder.write(folder.site, site(1).encode())
    folder.write(folder.key, room.key.read_bytes())
    folder.write(folder.public_key, room.key.with_suffix(".pub").read_bytes())
    shown = room["n1"].run("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").stdout.split()[1]
    assert appliance(room, root, "nodes", "pin", "n1", "--fingerprint", shown).returncode == 0
    (tmp_path / "words").write_text("correct horse battery\n")
    return root


def appliance(room: Lab, root: Path, *words: str) -> Told:
    done = room.here([sys.executable, "-c", _MAIN, "--root", root, *words], check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def backup(room: Lab, root: Path, *options: str) -> Told:
    words = ("--passphrase-file", str(root.parent / "words"), "--json", *options)
    return appliance(room, root, "backup", str(root.parent / "backup"), *words)


def test_the_datastore_of_a_server_at_work_comes_along_whole(room: Lab, root: Path, tmp_path: Path) -> None:
    done = backup(room, root)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["datastore"] is True
    fresh = tmp_path / "fresh"
    restore(fresh, tmp_path / "backup", "correct horse battery")
    with closing(sqlite3.connect(fresh / "site/datastore" / SQLITE)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM kine").fetchone()
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert count > _ROWS, "what was in the log only is there, too"
    assert (count - _ROWS) % 2 == 0, "no transaction is torn"
    assert room["n1"].run(f"ls -A {_DB}/ | grep backup || echo none").stdout.strip() == "none"
    assert not [*root.glob(".datastore-*")]


# Stands for k3s with embedded etcd, as far as a backup asks it.
_ETCD = f"""#!/bin/sh
case "$1 $2 $3" in
"etcd-snapshot save --name") mkdir -p {_DB}/snapshots; echo "the state of etcd" >{_DB}/snapshots/$4-n1-1700000000 ;;
"--version  ") echo "k3s version v1.30.4+k3s1 (0123456)" ;;
*) exit 1 ;;
esac
"""


def test_embedded_etcd_takes_its_own_snapshot(room: Lab, root: Path, tmp_path: Path) -> None:
    room["n1"].write("/usr/local/bin/k3s", _ETCD, mode=0o755)
    room["n1"].run(f"mkdir {_DB}/etcd")
    try:
        done = backup(room, root)
    finally:
        room["n1"].run(f"rmdir {_DB}/etcd; rm /usr/local/bin/k3s")
    assert done.returncode == 0, done.stderr
    restore(tmp_path / "fresh", tmp_path / "backup", "correct horse battery")
    kept = tmp_path / "fresh/site/datastore"
    assert (kept / ETCD).read_text() == "the state of etcd\n"
    assert "v1.30.4+k3s1" in (kept / "version").read_text()
    assert room["n1"].run(f"ls {_DB}/snapshots").stdout == "", "a snapshot that was taken along is not left behind"


def test_without_a_server_all_else_is_saved_and_said_so(room: Lab, root: Path, tmp_path: Path) -> None:
    SiteFolder(root).known_hosts.unlink()
    done = backup(room, root)
    assert done.returncode == 1
    assert "datastore cannot be had" in done.stderr
    assert "nobody has confirmed" in done.stderr
    assert json.loads(done.stdout)["datastore"] is False
    restore(tmp_path / "fresh", tmp_path / "backup", "correct horse battery")
    assert SiteFolder(tmp_path / "fresh").key.exists()
    assert backup(room, root, "--no-datastore").returncode == 0

"""The cluster's datastore, fetched from a server over ssh while it goes on working.

Embedded etcd takes its own snapshot. SQLite's file is copied together with its log; when the file did not change while
both were copied, no checkpoint came in between, and what the log holds up to its last whole transaction is one moment
of the database (sqlite.org/wal.html). It is opened and checked here before it counts.
"""

from __future__ import annotations

import shlex
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

from appliance.errors import NoDatastore
from appliance.site.contact import contact, sudo
from appliance.site.folder import SiteFolder
from appliance.site.known_hosts import KnownHosts
from appliance.site.model import Node, Site
from archive.errors import Problem

SQLITE, ETCD = "state.db", "etcd-snapshot"
_SNAPSHOT = "buzzcrate-backup"

# Prints a tar of what it found. A copy is tried again while the database changes under it.
_SCRIPT = f"""set -eu
db=/var/lib/rancher/k3s/server/db
[ -d "$db" ] || {{ echo "there is no k3s server here" >&2; exit 3; }}
copy=$(mktemp -d "$db/.backup.XXXXXX")
trap 'rm -rf "$copy"' EXIT
if [ -d "$db/etcd" ]; then
  name={_SNAPSHOT}-$(date +%s)
  k3s etcd-snapshot save --name "$name" >&2
  mv "$db/snapshots/$name"* "$copy/{ETCD}"
else
  tries=0
  while :; do
    before=$(stat -c '%i %s %y' "$db/{SQLITE}")
    cp "$db/{SQLITE}" "$copy/{SQLITE}"
    rm -f "$copy/{SQLITE}-wal"
    [ ! -f "$db/{SQLITE}-wal" ] || cp "$db/{SQLITE}-wal" "$copy/{SQLITE}-wal"
    [ "$before" != "$(stat -c '%i %s %y' "$db/{SQLITE}")" ] || break
    tries=$((tries + 1))
    [ "$tries" -lt 10 ] || {{ echo "the database changes too fast to be copied" >&2; exit 4; }}
    sleep 1
  done
fi
k3s --version >"$copy/version" 2>/dev/null || true
tar -C "$copy" -cf - .
"""
_NAMES = {SQLITE, f"{SQLITE}-wal", ETCD, "version"}


def fetch_datastore(folder: SiteFolder, into: Path) -> Node:
    """Fetches it from the first server that gives it; returns which. Raises `NoDatastore` with all reasons."""
    reasons = []
    try:
        site = folder.in_force(draft=True)
    except Problem as problem:
        raise NoDatastore(
            f"the site file cannot be read: {problem.what}", hint="--no-datastore leaves it out"
        ) from problem
    for node in site.nodes:
        if node.role == "server":
            try:
                _fetch(site, folder, node, into)
            except Problem as problem:
                reasons.append(problem.what)
            else:
                return node
    raise NoDatastore(
        f"the cluster's datastore cannot be had: {'; '.join(reasons) or 'the site has no server'}",
        hint="crate-appliance nodes check; --no-datastore leaves it out",
    )


def _fetch(site: Site, folder: SiteFolder, node: Node, into: Path) -> None:
    pinned = KnownHosts(folder).pinned(node)
    received = into / "received.tar"
    with contact(node, pinned, site.ssh, key=folder.key_for(site)) as session:
        command = f"sh -c {shlex.quote(_SCRIPT)}"
        if sudo(session, node, site.ssh) != "root":
            command = f"sudo -n {command}"
        with received.open("wb") as file:
            done = session.fetch(command, file)
    try:
        if done.code:
            raise NoDatastore(f"{node.name}: {done.errors.strip() or f'it ended with {done.code}'}")
        _unpack(node, received, into)
    finally:
        received.unlink()
    if (into / SQLITE).exists():
        _settle(node, into / SQLITE)


def _unpack(node: Node, received: Path, into: Path) -> None:
    try:
        with tarfile.open(received) as archive:
            for member in archive:
                name = Path(member.name).name
                content = archive.extractfile(member) if member.isreg() and name in _NAMES else None
                if content is not None:
                    with (into / name).open("wb") as file:
                        while piece := content.read(1 << 20):
                            file.write(piece)
    except tarfile.TarError as error:
        raise NoDatastore(f"{node.name}: what it sent is broken: {error}") from error
    if not (into / SQLITE).exists() and not (into / ETCD).exists():
        raise NoDatastore(f"{node.name} has no datastore")


def _settle(node: Node, database: Path) -> None:
    """Takes the log into the database, and checks the whole."""
    try:
        with closing(sqlite3.connect(database)) as connection:
            told = connection.execute("PRAGMA integrity_check(1)").fetchone()
            connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise NoDatastore(f"{node.name}: the copy of its datastore does not open: {error}") from error
    if told != ("ok",):
        raise NoDatastore(f"{node.name}: the copy of its datastore is damaged: {told[0]}")

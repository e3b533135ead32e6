"""A crate as people come to see it: two releases, things with odd and hostile names, people, a site and a run."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from appliance import contributions, generations
from appliance.access import Rights, Role
from appliance.cluster.journal import Journal
from appliance.installing import install
from appliance.requests import Requests
from appliance.rules import close_name
from appliance.site.folder import SiteFolder
from appliance.site.model import Site
from appliance.store import Store
from appliance.users import Users
from archive.catalogue import File, Item
from deploys.events import EVENT
from tests.appliance.cluster.runs import SITE, wave
from tests.appliance.test_contributions import held
from tests.support.crates import CrateMaker, Key
from tests.support.images import make_layout
from tests.support.stores import trusting

NGINX = "docker.io/library/nginx"
SECRET = "team-s/secret-plan"
HOSTILE = "<script>alert(1)</script>\"'&{{7*7}}"
PASSWORD = "correct horse battery staple"
RUN = {
    "task": "deploy",
    "began": "2026-11-23T09:00:00Z",
    "nodes": ["n1", "n2"],
    "waves": ["preflight", "base", "agents", "verify"],
    "k3s": "v1.36.4+k3s1",
}


def build(folder: Path, key: Key) -> Path:
    """Returns the root of the store."""
    root = folder / "store"
    crate = CrateMaker(folder / "blobs", name="workshop")
    crate.file("k9s/1.0/k9s-arm64", b"an older k9s")
    crate.image(make_layout(folder / "nginx", f"{NGINX}:1.27"))
    with trusting(root, key, "release@workshop") as store:
        install(store, crate.write(folder / "one.crate", [key]))
        crate.serial += 1
        crate.file("k9s/2.0/k9s-arm64", b"a newer k9s")
        install(store, crate.write(folder / "two.crate", [key]))
        data = b"not for everybody"
        for path in (SECRET, "plain.txt"):
            item = Item("file", path, "1", files=(File(held(store, data), len(data), path),))
            with store.database.write() as connection:
                contributions.add(connection, item, "ann")
                generations.republish(store, connection, "file")
        _list_hostile(store)
        close_name(store.database, "files/team-s/*")
        users = Users(store.database)
        users.add("olga", PASSWORD, Role.OPERATOR)
        users.add("rita", PASSWORD, Role.READER)
        users.add("sam", PASSWORD, Role.READER, Rights(read=("files/team-s/*",)))
        requests = Requests(store.database)
        requests.record("image", "docker.io/library/postgres:17", "10.77.0.11")
        requests.record("file", SECRET + "-2", "10.77.0.12")
        requests.record("path", HOSTILE, "10.77.0.13")
        requests.flush()
    return root


def _list_hostile(store: Store) -> None:
    """A row that no catalogue would bring past the archive's rules for names."""
    with store.database.write() as connection:
        connection.execute(
            "INSERT INTO items SELECT id, 'pypi', ?, ?, '', ?, 1, ?, 0, 'pypi/files/x/x.whl', '' FROM generations"
            " WHERE active = 1",
            (HOSTILE, HOSTILE, HOSTILE, HOSTILE),
        )


def begin_run(root: Path) -> Journal:
    """A site in force, and a run that has come through its first wave."""
    folder = SiteFolder(root)
    folder.keep(Site.parse(root / "site.toml", SITE.format(more="")))
    folder.learn_facts("n1", {"architecture": "arm64", "os": "Debian", "memory": 8064, "free": 51200, "k3s": "v1.36.4"})
    journal = Journal(folder.journal, RUN)
    more(journal, *wave("preflight", "n1", "n2"))
    return journal


def more(journal: Journal, *steps: object) -> None:
    for step in steps:
        journal.add(EVENT.validate_python(step))


def many_items(root: Path, count: int) -> None:
    """So many rows beside what is there, without blobs: what is listed, not what is served."""
    rows = []
    for number in range(count):
        kind = ("apt", "npm", "pypi")[number % 3]
        name, version = f"lib-number-{number // 2}", f"{number}.0"
        path = f"{kind}/somewhere/{name}-{version}"
        rows.append((kind, name, version, "linux/arm64", "https://mirror.example.org/", 1000, "big 1", path))
    with Store.open(root) as store, store.database.write() as connection:
        (generation,) = connection.execute("SELECT id FROM generations WHERE active = 1").fetchone()
        connection.executemany(
            f"INSERT INTO items VALUES ({generation}, ?, ?, ?, ?, ?, ?, ?, 0, ?, '')",  # noqa: S608 - a number
            rows,
        )


def logged(root: Path) -> list[dict[str, object]]:
    """The lines of the access log."""
    found = []
    for path in sorted((root / "logs").glob("access.jsonl*")):
        for line in path.read_text().splitlines():
            with suppress(ValueError):
                found.append(json.loads(line))
    return found

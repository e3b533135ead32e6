"""What the crate holds is found by any part of a name, and told to those alone who may know of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.access import ANYBODY, Access, Caller, Rights, Role
from appliance.items import Held, Items, path_of, platforms_of
from appliance.store import Store
from archive.catalogue import File, Item

OPEN = Access()
ROWS = (
    ("image", "docker.io/library/nginx", "1.27", "", "docker.io/library/nginx", "linux/amd64 linux/arm64"),
    ("image", "ghcr.io/somebody/nginx-exporter", "2.0", "", "ghcr.io/somebody/nginx-exporter", ""),
    ("apt", "nginx", "1.22.1-9", "linux/amd64", "apt/debian/pool/main/nginx/ab/nginx_1.22.1-9_amd64.deb", ""),
    ("apt", "nginx", "1.22.1-9", "linux/arm64", "apt/debian/pool/main/nginx/cd/nginx_1.22.1-9_arm64.deb", ""),
    ("apt", "libnginx-mod", "1.0", "linux/arm64", "apt/team/pool/main/l/ef/libnginx-mod_1.0_arm64.deb", ""),
    ("pypi", "Flask", "3.0.0", "", "pypi/files/Flask/flask-3.0.0-py3-none-any.whl", ""),
    ("npm", "@scope/left_pad", "1.3.0", "", "npm/@scope/left_pad/-/left_pad-1.3.0.tgz", ""),
    ("file", "team-s/plan.pdf", "", "", "files/team-s/plan.pdf", ""),
    ("boot", "pip", "25.0", "", "", ""),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as opened:
        with opened.database.write() as connection:
            connection.execute("INSERT INTO generations VALUES (1, 0, 0, 1)")
            connection.executemany(
                "INSERT INTO items VALUES (1, ?, ?, ?, ?, 'https://mirror.example.org/', 10, 'site 7', 0, ?, ?)", ROWS
            )
            connection.execute("INSERT INTO tags VALUES ('team-a/app', 'latest', 'sha256:0', 0)")
        yield opened


def names(store: Store, text: str, access: Access = OPEN, caller: Caller = ANYBODY, *, kind: str = "") -> list[str]:
    return [held.name for held in Items(store.database).search(access, caller, text, kind=kind).items]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nginx", ["nginx", "docker.io/library/nginx", "ghcr.io/somebody/nginx-exporter", "libnginx-mod"]),
        ("NGINX exporter", ["ghcr.io/somebody/nginx-exporter"]),
        ("nginx 1.22", ["nginx"]),
        ("flask", ["Flask"]),
        ("left_pad", ["@scope/left_pad"]),
        ("left%pad", []),
        ("leftxpad", []),
        ("app", ["team-a/app"]),
        ("pip", []),
        ("' OR 1=1 --", []),
    ],
    ids=[
        "what is called so comes first, then what ends so, then what begins so",
        "every word counts, in any case",
        "versions are searched, too",
        "names in capitals are found",
        "an underscore is one",
        "a percent sign is one",
        "an underscore means no other sign",
        "what people pushed is found",
        "what is only carried is not listed",
        "a quotation mark is one",
    ],
)
def test_what_is_found(store: Store, text: str, found: list[str]) -> None:
    assert names(store, text) == found


def test_one_version_of_all_platforms_is_one(store: Store) -> None:
    (held,) = Items(store.database).search(OPEN, ANYBODY, "nginx", kind="apt", size=1).items
    assert (held.platforms, held.size, held.brought_by) == (("linux/amd64", "linux/arm64"), 20, "site 7")
    (image,) = Items(store.database).versions(OPEN, ANYBODY, "image", "docker.io/library/nginx")
    assert image.platforms == ("linux/amd64", "linux/arm64")


def test_pages_and_counts(store: Store) -> None:
    items = Items(store.database)
    shown: list[Held] = []
    for page in (1, 2, 3):
        found = items.search(OPEN, ANYBODY, page=page, size=3)
        assert (found.page, found.pages, found.total) == (page, 3, 8)
        assert found.counts == {"image": 3, "apt": 2, "pypi": 1, "npm": 1, "file": 1}
        shown += found.items
    assert len({(held.kind, held.name) for held in shown}) == 8
    assert items.search(OPEN, ANYBODY, page=99, size=3).page == 3
    assert items.search(OPEN, ANYBODY, "nginx", kind="image").counts == {"image": 2, "apt": 2}


@pytest.mark.parametrize(
    ("pattern", "hidden"),
    [
        ("files/team-s/*", "team-s/plan.pdf"),
        ("apt/team/*", "libnginx-mod"),
        ("apt/team", "libnginx-mod"),
        ("pypi/Flask", "Flask"),
        ("pypi/simple/Flask/*", "Flask"),
        ("npm/@scope/left_pad", "@scope/left_pad"),
        ("docker.io/library/*", "docker.io/library/nginx"),
        ("team-a/*", "team-a/app"),
    ],
)
def test_what_is_private_is_told_to_few(store: Store, pattern: str, hidden: str) -> None:
    access = Access(private=(pattern,))
    items = Items(store.database)
    assert hidden not in names(store, "", access)
    assert hidden in names(store, "")
    assert hidden in names(store, "", access, Caller(Role.OPERATOR))
    assert hidden in names(store, "", access, Caller(Role.READER, "sam", Rights(read=(pattern, "*"))))
    kind = next((row[0] for row in ROWS if row[1] == hidden), "image")
    assert items.versions(access, ANYBODY, kind, hidden) == ()
    assert items.search(access, ANYBODY).total == 7


def test_nothing_is_told_where_pulls_are_closed(store: Store) -> None:
    closed = Access(open_pulls=False)
    assert names(store, "", closed) == []
    assert "nginx" in names(store, "nginx", closed, Caller(Role.READER))


def test_another_publication_is_seen_at_once(store: Store) -> None:
    items = Items(store.database)
    assert items.search(OPEN, ANYBODY, "flask").total == 1
    with store.database.write() as connection:
        connection.execute("DELETE FROM items WHERE kind = 'pypi'")
        connection.execute("UPDATE generations SET dated = dated + 1")
    assert items.search(OPEN, ANYBODY, "flask").total == 0


@pytest.mark.parametrize(
    ("item", "path"),
    [
        (Item("image", "docker.io/a", "1", publish={"repository": "docker.io/a"}), "docker.io/a"),
        (Item("pypi", "flask", "3", files=(File("0" * 64, 1, "f.whl"),)), "pypi/files/flask/f.whl"),
        (Item("chart", "podinfo", "6", files=(File("0" * 64, 1, "podinfo-6.tgz"),)), "helm/charts/podinfo-6.tgz"),
        (Item("profile", "demo", files=(File("0" * 64, 1, "x"),)), ""),
        (Item("file", "k9s"), ""),
    ],
    ids=["an image", "a wheel", "a chart", "what is only carried", "an item without files"],
)
def test_where_items_are_served(item: Item, path: str) -> None:
    assert path_of(item) == path
    assert platforms_of(item) == ""

"""The published registry, document by document; `test_clients.py` lets npm loose on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from archive.catalogue import File, Item
from archive.errors import Problem
from mirror.ecosystem import ORIGIN, Published
from mirror.errors import PublicationClash
from mirror.npm.names import tarball_path
from mirror.npm.publish import ABBREVIATED, publish
from tests.mirror.serve import Blobs

SHORT, FULL = (ABBREVIATED,), ()


def item(name: str, version: str, *, tags: tuple[str, ...] = (), sha256: str = "a" * 64, **manifest: Any) -> Item:
    return Item(
        "npm",
        name,
        version,
        files=(File(sha256, 10, path=f"{name}/-/x.tgz"),),
        publish={
            "packument": {
                "name": name,
                "version": version,
                "dist": {"fileCount": 3, "tarball": "https://x"},
                **manifest,
            },
            "integrity": f"sha512-{name}{version}",
            "shasum": "b" * 40,
            "tags": list(tags),
        },
    )


def published(*items: Item) -> dict[tuple[str, tuple[str, ...]], Published]:
    return {(each.path, each.accepts): each for each in publish(items, Blobs(Path()))}


def packument(*items: Item, accepts: tuple[str, ...] = FULL) -> dict[str, Any]:
    name = items[0].name
    document: dict[str, Any] = json.loads(published(*items)[f"npm/{name}", accepts].body)
    return document


def test_a_tarball_is_addressed_below_the_clients_own_origin() -> None:
    found = published(item("@scope/lib", "1.0.0"))["npm/@scope/lib", FULL]
    assert found.origin_bound
    dist = json.loads(found.body)["versions"]["1.0.0"]["dist"]
    assert dist["tarball"] == f"{ORIGIN.decode()}/npm/@scope/lib/-/lib-1.0.0.tgz"
    assert (dist["integrity"], dist["shasum"], dist["fileCount"]) == ("sha512-@scope/lib1.0.0", "b" * 40, 3)


def test_the_abbreviated_form_leaves_out_what_no_installation_needs() -> None:
    told = item("lib", "1.0.0", dependencies={"a": "1"}, scripts={"x": "y"}, description="prose", os=["linux"])
    short = packument(told, accepts=SHORT)["versions"]["1.0.0"]
    full = packument(told)["versions"]["1.0.0"]
    assert short.keys() == {"name", "version", "dist", "dependencies", "os"}
    assert full.keys() == short.keys() | {"scripts", "description"}


LATEST = [
    (
        "upstream's own where it is here",
        [("1.0.0", ("latest",)), ("2.0.0", ("next",))],
        {"latest": "1.0.0", "next": "2.0.0"},
    ),
    ("the newest release where it is not", [("1.9.0", ()), ("1.10.0", ())], {"latest": "1.10.0"}),
    ("a release before a pre-release", [("1.0.0", ()), ("2.0.0-rc.1", ())], {"latest": "1.0.0"}),
    ("a pre-release where there is nothing else", [("2.0.0-rc.2", ()), ("2.0.0-rc.10", ())], {"latest": "2.0.0-rc.10"}),
    ("the newer of what two crates call so", [("3.0.0", ("latest",)), ("2.0.0", ("latest",))], {"latest": "3.0.0"}),
]


@pytest.mark.parametrize(("_sentence", "versions", "tags"), LATEST, ids=[sentence for sentence, _, _ in LATEST])
def test_latest_is(_sentence: str, versions: list[tuple[str, tuple[str, ...]]], tags: dict[str, str]) -> None:
    document = packument(*(item("lib", version, tags=tagged) for version, tagged in versions))
    assert document["dist-tags"] == tags


def test_the_same_items_in_any_order_are_the_same_bytes() -> None:
    items = [item("lib", "1.10.0"), item("lib", "1.9.0"), item("a", "1.0.0")]
    assert published(*items) == published(*items[::-1])
    assert list(packument(*items[:2])["versions"]) == ["1.10.0", "1.9.0"]


def test_two_crates_may_hold_the_same_tarball() -> None:
    assert published(item("lib", "1.0.0"), item("lib", "1.0.0")) == published(item("lib", "1.0.0"))


def test_two_crates_may_not_hold_different_tarballs_of_one_version() -> None:
    with pytest.raises(PublicationClash, match=r"lib 1\.0\.0"):
        published(item("lib", "1.0.0"), item("lib", "1.0.0", sha256="c" * 64))


@pytest.mark.parametrize("name", ["../x", "/x", "@a/../b", "a\0", "n" * 4096, "a%2f..", "@a/b/c", "", "con", "a/-/b"])
def test_hostile_names_are_never_published(name: str) -> None:
    with pytest.raises(Problem):
        published(item(name, "1.0.0"))
    with pytest.raises(Problem):
        tarball_path(name, "1.0.0")

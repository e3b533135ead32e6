"""The published charts; `test_clients.py` lets helm loose on them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from archive.catalogue import File, Item
from archive.errors import Problem
from mirror.ecosystem import Published
from mirror.errors import PublicationClash
from mirror.helm import oci
from mirror.helm.publish import publish
from tests.mirror.serve import Blobs


def item(name: str, version: str, *, sha256: str = "a" * 64, path: str = "", **more: Any) -> Item:
    return Item(
        "chart",
        name,
        version,
        origin="https://charts.example.org/x.tgz",
        files=(File(sha256, 10, path=path or f"{name}-{version}.tgz", media_type=oci.CONTENT),),
        publish={"metadata": {"apiVersion": "v2", "name": name, "version": version}, **more},
    )


def published(*items: Item) -> dict[str, Published]:
    return {each.path: each for each in publish(items, Blobs(Path()))}


def test_the_index_lists_the_newest_first_at_relative_addresses() -> None:
    items = [item("app", version) for version in ("1.9.0", "1.10.0", "1.10.0-rc.1")]
    index = json.loads(published(*items)["helm/index.yaml"].body)
    assert [entry["version"] for entry in index["entries"]["app"]] == ["1.10.0", "1.10.0-rc.1", "1.9.0"]
    assert index["entries"]["app"][0] == {
        "apiVersion": "v2",
        "name": "app",
        "version": "1.10.0",
        "urls": ["charts/app-1.10.0.tgz"],
        "digest": "a" * 64,
        "created": "2026-01-01T00:00:00Z",
    }


def test_a_chart_keeps_the_date_that_upstream_gave_it() -> None:
    index = json.loads(published(item("app", "1.0.0", created="2020-02-03T04:05:06Z"))["helm/index.yaml"].body)
    assert index["entries"]["app"][0]["created"] == "2020-02-03T04:05:06Z"


def test_every_chart_is_an_artifact_too() -> None:
    found = published(item("app", "1.0.0+b"))
    manifest = json.loads(found["oci/charts/app:1.0.0_b"].body)
    config = found[f"oci/charts/app@{manifest['config']['digest']}"]
    assert manifest["config"]["mediaType"] == oci.CONFIG
    assert manifest["config"]["digest"] == f"sha256:{hashlib.sha256(config.body).hexdigest()}"
    assert [layer["mediaType"] for layer in manifest["layers"]] == [oci.CONTENT]
    assert found[f"oci/charts/app@sha256:{'a' * 64}"].sha256 == "a" * 64


def test_the_same_items_in_any_order_are_the_same_bytes() -> None:
    items = [item("b", "1.0.0"), item("a", "2.0.0"), item("a", "1.0.0")]
    assert published(*items) == published(*items[::-1])


def test_no_chart_at_all_is_an_empty_index() -> None:
    assert json.loads(published()["helm/index.yaml"].body)["entries"] == {}


def test_two_different_charts_of_one_name_are_refused() -> None:
    with pytest.raises(PublicationClash, match=r"app 1\.0\.0"):
        published(item("app", "1.0.0"), item("app", "1.0.0", sha256="b" * 64))


@pytest.mark.parametrize(
    ("name", "version", "path"),
    [
        ("../x", "1", ""),
        ("a/b", "1", ""),
        ("app", "../1", ""),
        ("app", "1", "../x.tgz"),
        ("app", "1", "/etc/x"),
        ("", "1", ""),
    ],
)
def test_hostile_names_are_never_published(name: str, version: str, path: str) -> None:
    with pytest.raises(Problem):
        published(item(name, version, path=path))

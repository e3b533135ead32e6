"""The published index, page by page; `test_clients.py` lets pip and uv loose on it."""

from __future__ import annotations

import hashlib
import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from archive.catalogue import File, Item
from archive.errors import Problem
from mirror.ecosystem import Published
from mirror.errors import BadIndex, PublicationClash
from mirror.pypi.publish import JSON, publish
from mirror.pypi.wheels import read_wheel
from tests.mirror.pypi.index import Made, sdist, wheel
from tests.mirror.serve import Blobs


def item(blobs: Path, made: Made, **about: Any) -> Item:
    (blobs / made.sha256).write_bytes(made.content)
    if made.file.endswith(".whl"):
        about.setdefault("metadata_sha256", read_wheel(io.BytesIO(made.content), made.file).sha256)
    return Item(
        kind="pypi",
        name=made.project,
        version=made.file.split("-")[1],
        files=(File(made.sha256, len(made.content), path=made.file),),
        publish={"files": {made.file: about}},
    )


def pages(items: list[Item], blobs: Path) -> dict[tuple[str, bool], Published]:
    return {(each.path, bool(each.accepts)): each for each in publish(items, Blobs(blobs))}


class Links(HTMLParser):
    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found.append(dict(attrs))


def test_a_project_page_says_the_same_in_html_and_json(tmp_path: Path) -> None:
    made = wheel("Foo.Bar", "1.0+site", python=">=3.8")
    told = item(tmp_path, made, requires_python=">=3.8,<4", yanked='it "eats" <data>', uploaded="2026-01-02T03:04:05Z")
    found = pages([told], tmp_path)
    document = json.loads(found["pypi/simple/foo-bar/", True].body)
    (file,) = document["files"]
    (link,) = Links(found["pypi/simple/foo-bar/", False].body).found
    assert document["versions"] == ["1.0+site"]
    assert link["href"] == f"{file['url']}#sha256={made.sha256}"
    assert file["hashes"] == {"sha256": made.sha256}
    assert link["data-requires-python"] == file["requires-python"] == ">=3.8,<4"
    assert link["data-yanked"] == file["yanked"] == 'it "eats" <data>'
    assert link["data-core-metadata"] == link["data-dist-info-metadata"] == f"sha256={file['core-metadata']['sha256']}"
    assert "%2B" in file["url"]
    assert file["upload-time"] == "2026-01-02T03:04:05Z"


def test_metadata_beside_a_wheel_is_the_one_inside(tmp_path: Path) -> None:
    found = pages([item(tmp_path, wheel("app", "1", ["lib"]))], tmp_path)
    metadata = found["pypi/files/app/app-1-py3-none-any.whl.metadata", False].body
    (file,) = json.loads(found["pypi/simple/app/", True].body)["files"]
    assert b"Requires-Dist: lib" in metadata
    assert file["core-metadata"]["sha256"] == hashlib.sha256(metadata).hexdigest()


def test_a_source_distribution_has_no_metadata_beside_it(tmp_path: Path) -> None:
    found = pages([item(tmp_path, sdist("app", "1"))], tmp_path)
    assert ("pypi/files/app/app-1.tar.gz", False) in found
    assert ("pypi/files/app/app-1.tar.gz.metadata", False) not in found


def test_the_index_lists_projects_by_their_normalised_names(tmp_path: Path) -> None:
    found = pages([item(tmp_path, wheel("Foo_Bar", "1")), item(tmp_path, wheel("app", "1"))], tmp_path)
    assert json.loads(found["pypi/simple/", True].body)["projects"] == [{"name": "app"}, {"name": "foo-bar"}]
    assert found["pypi/simple/", True].accepts[0] == JSON
    assert [link["href"] for link in Links(found["pypi/simple/", False].body).found] == ["app/", "foo-bar/"]


def test_the_same_items_in_any_order_are_the_same_bytes(tmp_path: Path) -> None:
    items = [item(tmp_path, wheel("app", version)) for version in ("1.10", "1.9", "1.0")]
    assert pages(items, tmp_path) == pages(items[::-1], tmp_path)
    (page,) = [each for (path, is_json), each in pages(items, tmp_path).items() if path.endswith("/app/") and is_json]
    assert json.loads(page.body)["versions"] == ["1.0", "1.9", "1.10"]


def test_two_crates_may_hold_the_same_file(tmp_path: Path) -> None:
    told = item(tmp_path, wheel("app", "1"))
    assert pages([told, told], tmp_path) == pages([told], tmp_path)


def test_two_crates_may_not_hold_different_files_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(PublicationClash, match="app-1-py3-none-any"):
        pages([item(tmp_path, wheel("app", "1")), item(tmp_path, wheel("app", "1", ["lib"]))], tmp_path)


HOSTILE = {
    "a path": "../../etc/app-1-py3-none-any.whl",
    "an absolute path": "/app-1-py3-none-any.whl",
    "a NUL": "app-1\0-py3-none-any.whl",
    "four thousand letters": "a" * 4096 + "-1-py3-none-any.whl",
    "markup": "app-1-<script>-py3-none-any.whl",
    "an encoded slash": "app-1-..%2f-py3-none-any.whl",
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_file_names_are_never_published(name: str, tmp_path: Path) -> None:
    told = Item("pypi", "app", "1", files=(File("0" * 64, 1, path=name),), publish={"files": {}})
    with pytest.raises(Problem):
        pages([told], tmp_path)


def test_a_wheel_whose_metadata_is_not_the_locked_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadIndex, match="not the one that was locked"):
        pages([item(tmp_path, wheel("app", "1"), metadata_sha256="0" * 64)], tmp_path)

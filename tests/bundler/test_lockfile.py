"""The lock reads back as it was written, changes by the line, and is not believed when it lies."""

from __future__ import annotations

import difflib
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from archive.catalogue import File, Item
from archive.platforms import Platform
from bundler import lockfile
from bundler.errors import LockInvalid
from bundler.lockfile import Lock, Request, path_for
from mirror.ecosystem import Asked

FILES = tuple(File(f"{n:064x}", n + 1, media_type="application/x") for n in range(5))
IMAGE = Item(
    "image",
    "docker.io/library/x",
    "1",
    origin="docker://docker.io/library/x:1",
    files=FILES,
    publish={"tags": ["1"], "root": {"digest": f"sha256:{0:064x}", "size": 1}, "repository": "docker.io/library/x"},
)
TOOL = Item("file", "tool", files=(File("f" * 64, 9, path="tool", aliases=(f"sha512:{'a' * 128}",)),))
LOCK = Lock(
    name="lab",
    channel="stable",
    serial=7,
    created=datetime(2026, 11, 23, 9, tzinfo=UTC),
    expires=None,
    writer="buzzcrate 0",
    recipe="e" * 64,
    platforms=(Platform("linux", "amd64"),),
    requests=(Request("images", "docker.io/library/x:1", "d" * 64, ("image docker.io/library/x 1 ",)),),
    items=(TOOL, IMAGE),
)


def changed_lines(old: Lock, new: Lock) -> list[str]:
    lines = difflib.unified_diff(old.to_bytes().decode().splitlines(), new.to_bytes().decode().splitlines(), n=0)
    return [line for line in lines if line[0] in "+-" and line[:3] not in {"+++", "---"}]


def test_it_reads_back_as_it_was_written() -> None:
    assert Lock.parse(LOCK.to_bytes(), "x") == LOCK
    dated = replace(LOCK, expires=datetime(2027, 1, 1, tzinfo=UTC))
    assert Lock.parse(dated.to_bytes(), "x") == dated


def test_the_order_of_items_and_requests_does_not_matter() -> None:
    assert replace(LOCK, items=(IMAGE, TOOL)).to_bytes() == LOCK.to_bytes()


def test_keys_are_sorted_everywhere() -> None:
    def sorted_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert [key for key, _ in pairs] == sorted(key for key, _ in pairs)
        return dict(pairs)

    assert json.loads(LOCK.to_bytes(), object_pairs_hook=sorted_keys)["serial"] == 7


def test_a_changed_blob_is_one_changed_line() -> None:
    files = (*FILES[:2], replace(FILES[2], sha256="a" * 64), *FILES[3:])
    gone, come = changed_lines(LOCK, replace(LOCK, items=(TOOL, replace(IMAGE, files=files))))
    assert FILES[2].sha256 in gone
    assert "a" * 64 in come


def test_a_new_root_is_one_changed_line() -> None:
    publish = {**IMAGE.publish, "root": {"digest": f"sha256:{1:064x}", "size": 2}}
    assert len(changed_lines(LOCK, replace(LOCK, items=(TOOL, replace(IMAGE, publish=publish))))) == 2


def test_a_new_blob_is_one_new_line() -> None:
    files = (*FILES[:2], File("b" * 64, 3), *FILES[2:])
    (line,) = changed_lines(LOCK, replace(LOCK, items=(TOOL, replace(IMAGE, files=files))))
    assert line.startswith("+")


def test_what_resolving_said_reads_back_and_a_new_chain_is_one_new_line() -> None:
    (request,) = LOCK.requests
    said = replace(
        request, asked=(Asked("x>=1", ("y",), 9),), why=(("x>=1", "x"), ("x>=1", "x", "y")), notes=("y is old",)
    )
    lock = replace(LOCK, requests=(said,))
    assert Lock.parse(lock.to_bytes(), "bundle.lock") == lock
    more = replace(said, why=(*said.why, ("x>=1", "x", "z")))
    assert len([line for line in changed_lines(lock, replace(lock, requests=(more,))) if '"z"' in line]) == 1


def test_a_long_list_takes_a_line_for_each() -> None:
    (request,) = LOCK.requests
    items = tuple(replace(TOOL, name=f"tool-{n:03}", files=(File(f"{n:064x}", 1, path=f"t{n}"),)) for n in range(100))
    lock = replace(
        LOCK, items=(*items, IMAGE), requests=(replace(request, items=tuple(" ".join(it.key) for it in items)),)
    )
    less = replace(lock, requests=(replace(request, items=lock.requests[0].items[1:]),))
    (line,) = changed_lines(lock, less)
    assert "tool-000" in line


def test_items_of_one_key_are_kept_apart_by_content() -> None:
    other = replace(TOOL, files=(replace(TOOL.files[0], sha256="a" * 64),))
    found = lockfile.keyed([TOOL, other, IMAGE])
    assert sorted(found.values(), key=str) == sorted([TOOL, other, IMAGE], key=str)
    assert " ".join(IMAGE.key) in found
    assert all(key.startswith(" ".join(TOOL.key)) for key, item in found.items() if item is not IMAGE)
    assert lockfile.ordered([other, IMAGE, TOOL, other]) == lockfile.ordered([TOOL, IMAGE, other])


def broken(**changes: Any) -> bytes:
    value = json.loads(LOCK.to_bytes())
    for path, change in changes.items():
        at: Any = value
        *steps, last = [int(step) if step.isdigit() else step for step in path.split("__")]
        for step in steps:
            at = at[step]
        at[last] = change
    return json.dumps(value).encode()


BROKEN = {
    "no JSON": b"<<<<<<< HEAD",
    "another version": broken(lock=2),
    "not an object": b"[]",
    "a field that is missing": b'{"lock":1}',
    "one key twice": b'{"lock":1,"lock":1}',
    "a digest that climbs out of the cache": broken(items__0__files__0__sha256="../../../../etc/passwd"),
    "a file name that climbs": broken(items__0__files__0__path="../x"),
    "an alias that is no digest": broken(items__0__files__0__aliases=["sha512:x"]),
    "a size below zero": broken(items__0__files__0__size=-1),
    "a size in words": broken(items__0__files__0__size="9"),
    "a request for an item that is not there": broken(requests__0__items=["image nowhere 1 "]),
    "a platform that is none": broken(platforms=["linux/"]),
    "a time that is none": broken(created="today"),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_refused(data: bytes) -> None:
    with pytest.raises(LockInvalid, match=r"bundle\.lock") as caught:
        Lock.parse(data, "bundle.lock")
    assert caught.value.exit_code == 2
    assert "crate-bundle lock" in caught.value.hint


def test_it_lies_beside_its_recipe(tmp_path: Path) -> None:
    assert path_for(tmp_path / "site.toml") == tmp_path / "site.lock"
    assert Lock.load(tmp_path / "site.lock") is None

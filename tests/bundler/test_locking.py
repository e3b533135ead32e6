"""Locks made against a real registry and local layouts: what is asked for is pinned whole, and nothing else moves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from archive.catalogue import Item
from archive.digests import Digest
from archive.errors import InvalidValue, Problem
from archive.progress import SILENT
from bundler import locking
from bundler.connection import connect
from bundler.errors import BlobTooLarge, ImageInvalid, LayoutInvalid, PlatformMissing, SeveralFailed, UnknownName
from bundler.lockfile import Lock
from bundler.locking import Locked
from bundler.recipe import Recipe
from tests.support.images import BOTH, Layout, MadeImage, make_layout, random_layer
from tests.support.registries import Registry

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
THREE = (*BOTH, "linux/arm/v7")


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "SOURCE_DATE_EPOCH"):
        monkeypatch.delenv(name, raising=False)


def lock(
    folder: Path, recipe: str, previous: Lock | None = None, update: Collection[str] = (), now: datetime = NOW
) -> Locked:
    path = folder / "bundle.toml"
    path.write_text('[crate]\nname = "lab"\n' + recipe)
    read = Recipe.load(path)

    async def make() -> Locked:
        async with connect(read, SILENT) as connection:
            return await locking.make(read, connection, previous, update, now=now)

    return asyncio.run(make())


def upstreams(registry: Registry) -> str:
    return f'[upstreams]\n"docker.io" = "{registry.url}"\n'


def push(registry: Registry, made: MadeImage, name: str, tag: str = "1") -> None:
    registry.push(made.layout, made.digest, f"library/{name}", tag)
    for artifact in made.referrers:
        registry.push(made.layout, artifact["digest"], f"library/{name}")


def digests(item: Item) -> set[str]:
    return {f"sha256:{file.sha256}" for file in item.files}


def reachable(layout: Layout, digest: str) -> set[str]:
    """Everything below a manifest that the layout holds, itself included."""
    found = {digest}
    document = json.loads(layout.path(digest).read_bytes())
    for child in document.get("manifests", ()):
        found |= reachable(layout, child["digest"])
    for blob in (*filter(None, [document.get("config")]), *document.get("layers", ())):
        if layout.path(blob["digest"]).exists():
            found.add(blob["digest"])
    return found


def test_an_image_with_all_its_platforms_is_pinned_whole(registry: Registry, tmp_path: Path) -> None:
    made = make_layout(tmp_path / "made", "demo:1", BOTH, nested=True, attestations=True)
    push(registry, made, "demo")
    (item,) = lock(tmp_path, '[[images]]\nref = "demo:1"\n' + upstreams(registry)).lock.items
    assert item.key == ("image", "docker.io/library/demo", "1", "")
    assert item.origin == "docker://docker.io/library/demo:1"
    assert digests(item) == reachable(made.layout, made.digest)
    assert item.publish["root"]["digest"] == made.digest
    assert item.publish["platforms"] == list(BOTH)
    assert item.publish["tags"] == ["1"]
    assert "original" not in item.publish


@pytest.mark.parametrize("nested", [False, True], ids=["a plain index", "an index within an index"])
def test_a_platform_left_out_leaves_out_its_blobs_and_keeps_the_original_index(
    nested: bool, registry: Registry, tmp_path: Path
) -> None:
    made = make_layout(tmp_path / "made", "demo:1", THREE, attestations=True, nested=nested)
    push(registry, made, "demo")
    (item,) = lock(tmp_path, '[[images]]\nref = "demo:1"\n' + upstreams(registry)).lock.items
    left_out = reachable(made.layout, made.manifests["linux/arm/v7"]["digest"])
    left_out |= reachable(made.layout, made.attestations[2]["digest"])
    kept = {child for platform in BOTH for child in reachable(made.layout, made.manifests[platform]["digest"])}
    own = {f"sha256:{file.sha256}" for file in item.files if file.origin == "made:prune"}
    assert item.publish["original"] == made.digest
    assert item.publish["root"]["digest"] in own
    assert digests(item) - own == reachable(made.layout, made.digest) - (left_out - kept - _shared(made))
    assert digests(item).isdisjoint({made.manifests["linux/arm/v7"]["digest"], made.attestations[2]["digest"]})


def _shared(made: MadeImage) -> set[str]:
    """What the attestations of all platforms have in common."""
    return set.intersection(*(reachable(made.layout, it["digest"]) for it in made.attestations))


def test_a_platform_that_is_not_offered_fails_naming_image_and_offer(registry: Registry, tmp_path: Path) -> None:
    push(registry, make_layout(tmp_path / "made", "demo:1", ["linux/amd64"]), "demo")
    with pytest.raises(PlatformMissing) as caught:
        lock(tmp_path, '[[images]]\nref = "demo:1"\n' + upstreams(registry))
    assert caught.value.what == "docker.io/library/demo:1 does not exist for linux/arm64; it is offered for linux/amd64"
    only = '[[images]]\nref = "demo:1"\nplatforms = ["linux/amd64"]\n'
    (item,) = lock(tmp_path, only + upstreams(registry)).lock.items
    assert item.publish["platforms"] == ["linux/amd64"]


def test_all_that_fails_is_named_at_once(registry: Registry, tmp_path: Path) -> None:
    push(registry, make_layout(tmp_path / "made", "demo:1", ["linux/amd64"]), "demo")
    recipe = '[[images]]\nref = "demo:1"\n[[images]]\nref = "absent:1"\n'
    with pytest.raises(SeveralFailed) as caught:
        lock(tmp_path, recipe + upstreams(registry))
    assert "docker.io/library/demo:1 does not exist for linux/arm64" in caught.value.what
    assert "docker.io/library/absent:1 does not exist" in caught.value.what


def test_foreign_layers_are_skipped_and_recorded(registry: Registry, tmp_path: Path) -> None:
    made = make_layout(tmp_path / "made", "demo:1", BOTH, foreign=True, docker=True)
    push(registry, made, "demo")
    (item,) = lock(tmp_path, '[[images]]\nref = "demo:1"\n' + upstreams(registry)).lock.items
    (skipped,) = item.publish["skipped"]
    assert skipped["urls"] == ["https://mirror.example.org/base-layer.tar.gz"]
    assert skipped["digest"] not in digests(item)
    assert {file.media_type for file in item.files} >= {"application/vnd.docker.distribution.manifest.list.v2+json"}


def test_what_is_attached_comes_along_when_asked_for(registry: Registry, tmp_path: Path) -> None:
    made = make_layout(tmp_path / "made", "demo:1", BOTH, referrers=["application/spdx+json", "application/x-sig"])
    push(registry, made, "demo")
    fallback = {"schemaVersion": 2, "mediaType": made.layout.types.index, "manifests": list(made.referrers)}
    registry.put_manifest("library/demo", made.digest.replace(":", "-"), json.dumps(fallback).encode())
    signature = make_layout(tmp_path / "signature", "sig", ["linux/amd64"], seed="signature")
    cosign = f"{made.digest.replace(':', '-')}.sig"
    registry.push(signature.layout, signature.digest, "library/demo", cosign)

    without = lock(tmp_path, '[[images]]\nref = "demo:1"\n' + upstreams(registry)).lock
    assert [item.version for item in without.items] == ["1"]
    items = lock(tmp_path, '[[images]]\nref = "demo:1"\nreferrers = true\n' + upstreams(registry)).lock.items
    image, tied = items
    assert image.publish["referrers"] == sorted(artifact["digest"] for artifact in made.referrers)
    assert {blob for it in made.referrers for blob in reachable(made.layout, it["digest"])} <= digests(image)
    assert (tied.name, tied.version) == ("docker.io/library/demo", cosign)
    assert tied.publish["root"]["digest"] == signature.digest
    assert digests(tied) == reachable(signature.layout, signature.digest)


def test_an_image_by_digest_keeps_it(registry: Registry, tmp_path: Path) -> None:
    first, second = (make_layout(tmp_path / name, "demo:1", BOTH, seed=name) for name in ("a", "b"))
    push(registry, first, "demo", "1")
    push(registry, second, "demo", "2")
    recipe = "".join(f'[[images]]\nref = "demo@{made.digest}"\n' for made in (first, second))
    items = lock(tmp_path, recipe + f'[[images]]\nref = "demo:1@{first.digest}"\n' + upstreams(registry)).lock.items
    assert {item.version for item in items} == {"1", first.digest, second.digest}
    assert {item.version: item.publish["tags"] for item in items}[second.digest] == []


def test_an_update_of_one_leaves_the_others_untouched(registry: Registry, tmp_path: Path) -> None:
    for name in ("one", "two"):
        push(registry, make_layout(tmp_path / name, "x", BOTH, seed=name), name)
    recipe = '[[images]]\nref = "one:1"\n[[images]]\nref = "two:1"\n' + upstreams(registry)
    before = lock(tmp_path, recipe).lock
    for name in ("one", "two"):
        push(registry, make_layout(tmp_path / f"{name}-new", "x", BOTH, seed=f"{name} moved"), name)

    updated = lock(tmp_path, recipe, before, ["one"])
    assert updated.resolved == ("docker.io/library/one:1",)
    assert updated.lock.items[0] != before.items[0]
    assert updated.lock.items[1] == before.items[1]
    assert updated.lock.serial == before.serial + 1, "the clock stood still, the serial may not"
    everything = lock(tmp_path, recipe, updated.lock).lock
    assert everything.items[1] != before.items[1]


@pytest.mark.parametrize("name", ["one", "one:1", "docker.io/library/one", "docker.io/library/one:1"])
def test_an_image_is_updated_by_any_of_its_names(name: str, registry: Registry, tmp_path: Path) -> None:
    push(registry, make_layout(tmp_path / "made", "x", BOTH), "one")
    recipe = '[[images]]\nref = "one:1"\n' + upstreams(registry)
    before = lock(tmp_path, recipe).lock
    assert lock(tmp_path, recipe, before, [name]).resolved == ("docker.io/library/one:1",)
    with pytest.raises(UnknownName, match="does not ask for one:2") as caught:
        lock(tmp_path, recipe, before, ["one:2"])
    assert "docker.io/library/one:1" in caught.value.hint


def test_an_update_resolves_what_is_new_and_forgets_what_is_gone(registry: Registry, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        push(registry, make_layout(tmp_path / name, "x", BOTH, seed=name), name)
    before = lock(tmp_path, '[[images]]\nref = "one:1"\n[[images]]\nref = "two:1"\n' + upstreams(registry)).lock
    changed = '[[images]]\nref = "two:1"\n[[images]]\nref = "three:1"\n' + upstreams(registry)
    after = lock(tmp_path, changed, before, ["three"])
    assert after.resolved == ("docker.io/library/three:1",)
    assert [item.name for item in after.lock.items] == ["docker.io/library/three", "docker.io/library/two"]


def test_nothing_new_keeps_the_serial(tmp_path: Path) -> None:
    make_layout(tmp_path / "layout", "app:1", BOTH)
    recipe = '[[images]]\nlayout = "layout"\nname = "app:1"\n'
    first = lock(tmp_path, recipe)
    again = lock(tmp_path, recipe, first.lock, now=datetime(2027, 1, 1, tzinfo=UTC))
    assert (first.changed, again.changed) == (True, False)
    assert again.lock == first.lock
    assert first.lock.serial == 202611230930


def test_a_local_image_of_sha512_is_kept_under_both_names(tmp_path: Path) -> None:
    made = make_layout(tmp_path / "layout", "app:1", BOTH, algorithm="sha512")
    (item,) = lock(tmp_path, '[[images]]\nlayout = "layout"\nname = "app:1"\n').lock.items
    assert {alias for file in item.files for alias in file.aliases} == reachable(made.layout, made.digest)
    for file in item.files:
        assert Digest.of(made.layout.path(file.aliases[0]).read_bytes()).hex == file.sha256


def _without_layer(layout: Layout) -> None:
    next(path for path in (layout.folder / "blobs/sha256").iterdir() if path.stat().st_size > 16000).unlink()


def _cut_layer(layout: Layout) -> None:
    path = next(path for path in (layout.folder / "blobs/sha256").iterdir() if path.stat().st_size > 16000)
    path.write_bytes(path.read_bytes()[:-1])


def _huge_layer(layout: Layout) -> None:
    """A layer of 8 GiB that takes no disk, in an image of its own."""
    path = layout.path("sha256:" + "a" * 64)
    with path.open("wb") as file:
        file.truncate(8 << 30)
    huge = {"mediaType": layout.types.layer, "digest": "sha256:" + "a" * 64, "size": 8 << 30}
    images = [layout.image(platform, [], extra_layers=[huge]) for platform in BOTH]
    layout.tag(layout.index(images), "docker.io/library/app:1")


def _schema_1(layout: Layout) -> None:
    manifest = layout.document({"schemaVersion": 1, "name": "x"}, layout.types.manifest)
    layout.tag({**manifest, "platform": {"os": "linux", "architecture": "amd64"}}, "docker.io/library/app:1")


def _two_sizes(layout: Layout) -> None:
    blob = layout.blob(b"layer", layout.types.layer)
    one = layout.image("linux/amd64", [], extra_layers=[blob, {**blob, "size": 6}])
    two = layout.image("linux/arm64", [random_layer("x", 10)])
    layout.tag(layout.index([one, two]), "docker.io/library/app:1")


def _lying_descriptor(layout: Layout) -> None:
    image = layout.image("linux/amd64", [])
    layout.tag(layout.index([{**image, "size": "7"}]), "docker.io/library/app:1")


BROKEN: Mapping[str, tuple[Any, type[Problem], str]] = {
    "a layer that is not there": (_without_layer, LayoutInvalid, "lacks sha256:"),
    "a layer that is too short": (_cut_layer, LayoutInvalid, "bytes, 20"),
    "a layer of 8 GiB": (_huge_layer, BlobTooLarge, "8.0 GiB"),
    "a manifest of schema 1": (_schema_1, ImageInvalid, "schema 1"),
    "one digest with two sizes": (_two_sizes, ImageInvalid, "the sizes 5 and 6"),
    "a size in quotes": (_lying_descriptor, ImageInvalid, "'7' for a size"),
}


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN.keys())
def test_what_cannot_be_packed_fails_at_lock(case: tuple[Any, type[Problem], str], tmp_path: Path) -> None:
    spoil, problem, message = case
    spoil(make_layout(tmp_path / "layout", "docker.io/library/app:1", BOTH).layout)
    with pytest.raises(problem) as caught:
        lock(tmp_path, '[[images]]\nlayout = "layout"\nname = "app:1"\n')
    assert message in caught.value.what


def test_the_time_is_source_date_epoch_where_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert locking.now() == datetime(1970, 1, 2, tzinfo=UTC)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "tomorrow")
    with pytest.raises(InvalidValue, match="SOURCE_DATE_EPOCH is 'tomorrow'"):
        locking.now()

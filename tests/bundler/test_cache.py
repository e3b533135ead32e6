"""The cache: complete or absent, shared, and never fuller than its disk."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from pathlib import Path

import pytest

from archive.digests import Digest
from bundler.cache import Cache, Partial, Pruned, default_root
from bundler.errors import CacheBusy, CacheFull
from bundler.fetch import fetch_blob
from mirror.transport import Fetched
from tests.bundler.clients import APP, client
from tests.support.faulty import faulty_registry

DATA = b"content" * 10_000


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def age(cache: Cache, blob: Fetched, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(cache.path(blob.sha256), (then, then))


def test_what_is_put_or_adopted_is_found_by_its_digest(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(DATA)
    blob = cache.adopt(tmp_path / "file")
    assert blob == cache.put(DATA) == cache.find(Digest.of(DATA))
    assert blob.path.read_bytes() == DATA
    assert cache.has(blob.sha256, len(DATA))
    assert not cache.has(blob.sha256, len(DATA) + 1)
    assert cache.find(Digest.of(DATA), len(DATA) - 1) is None
    assert cache.size() == len(DATA)
    assert not list((cache.root / "partial").iterdir())


ROOTS = {
    "where XDG says": ({"XDG_CACHE_HOME": "/var/big"}, "/var/big/buzzcrate"),
    "in ~/.cache": ({}, "/home/ann/.cache/buzzcrate"),
    "in ~/.cache when XDG is empty": ({"XDG_CACHE_HOME": ""}, "/home/ann/.cache/buzzcrate"),
    "in ~/.cache when XDG is relative": ({"XDG_CACHE_HOME": "x"}, "/home/ann/.cache/buzzcrate"),
}


@pytest.mark.parametrize(("environment", "root"), ROOTS.values(), ids=ROOTS.keys())
def test_it_lies(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], root: str) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, value in {"HOME": "/home/ann", **environment}.items():
        monkeypatch.setenv(name, value)
    assert default_root() == Path(root)


def test_one_claim_at_a_time_and_the_second_finds_what_the_first_brought(cache: Cache) -> None:
    digest = Digest.of(DATA)
    order = []

    async def claim(name: str) -> None:
        async with cache.claim("key", digest, len(DATA)) as claimed:
            order.append(name)
            if isinstance(claimed, Partial):
                await asyncio.sleep(0.1)
                claimed.append(DATA)
                cache.complete(claimed, digest.hex)
            order.append(f"{name} {type(claimed).__name__}")

    async def run() -> None:
        await asyncio.gather(claim("a"), claim("b"), claim("c"))

    asyncio.run(run())
    assert order == ["a", "a Partial", "b", "b Fetched", "c", "c Fetched"]


def test_a_claim_that_is_given_up_is_taken_over_with_what_it_had(cache: Cache) -> None:
    async def run() -> bytes:
        async with cache.claim("key") as first:
            assert isinstance(first, Partial)
            first.append(b"half")
        async with cache.claim("key") as second:
            assert isinstance(second, Partial)
            return b"".join(second.blocks())

    assert asyncio.run(run()) == b"half"
    assert cache.begun("key") == 4


PRUNES = {
    "without a word, everything": ({}, {0, 1, 2, 3}),
    "but for what is to be kept": ({"keep": {1}}, {0, 2, 3}),
    "what was not used for a day": ({"older_than": 86_400}, {0, 1}),
    "until it is small enough, longest unused first": ({"max_size": 250}, {0, 1}),
    "nothing when it is small enough": ({"max_size": 400}, set()),
    "the least that both allow": ({"max_size": 50, "older_than": 86_400}, {0, 1}),
}


@pytest.mark.parametrize(("limits", "gone"), PRUNES.values(), ids=PRUNES.keys())
def test_prune_removes(cache: Cache, limits: dict[str, float | set[int]], gone: set[int]) -> None:
    blobs = [cache.put(bytes([number]) * 100) for number in range(4)]
    for blob, days in zip(blobs, (9, 5, 0.5, 0.1), strict=True):
        age(cache, blob, days * 86_400)
    keep, older, largest = limits.get("keep", set()), limits.get("older_than", 0.0), limits.get("max_size")
    assert isinstance(keep, set)
    assert isinstance(older, int | float)
    assert not isinstance(largest, set)
    pruned = cache.prune(
        keep={blobs[number].sha256 for number in keep},
        older_than=older,
        max_size=None if largest is None else int(largest),
    )
    assert pruned == Pruned(len(gone), len(gone) * 100)
    assert {number for number, blob in enumerate(blobs) if not blob.path.exists()} == gone


def test_prune_waits_for_no_build_and_disturbs_none(cache: Cache) -> None:
    blob = cache.put(DATA)
    with cache.in_use(), Cache(cache.root).in_use(), pytest.raises(CacheBusy):
        cache.prune()
    assert blob.path.exists()
    cache.prune()
    assert not blob.path.exists()


def test_a_blob_in_use_counts_as_used(cache: Cache) -> None:
    blob = cache.put(DATA)
    age(cache, blob, 86_400 * 9)
    cache.touch(blob.sha256)
    assert cache.prune(older_than=86_400) == Pruned(0, 0)


def test_a_disk_that_fills_up_meanwhile_ends_in_one_line_and_keeps_what_came(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, room = os.write, 20_000

    def full(file: int, data: memoryview) -> int:
        nonlocal room
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room -= (written := write(file, data[:room]))
        return written

    with faulty_registry() as server:
        digest = Digest.parse(server.blob(DATA))

        async def run() -> Fetched:
            async with client(server.url) as registry:
                return await fetch_blob(APP.at(digest), len(DATA), registry, cache)

        with monkeypatch.context() as patched:
            patched.setattr(os, "write", full)
            with pytest.raises(CacheFull) as caught:
                asyncio.run(run())
        assert "the disk is full" in caught.value.what
        assert caught.value.hint
        assert cache.begun(f"sha256-{digest.hex}") == 20_000
        assert asyncio.run(run()).path.read_bytes() == DATA
        assert server.seen[-1].headers["Range"] == "bytes=20000-"

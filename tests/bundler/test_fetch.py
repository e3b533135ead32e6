"""Fetching a whole lock: once each, the largest first, together with others, killed and gone on with."""

from __future__ import annotations

import asyncio
import hashlib
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import pytest

from archive.digests import Digest
from archive.errors import InvalidValue
from archive.progress import Progress, Task
from bundler import fetch, http
from bundler.cache import Cache
from bundler.errors import CacheFull, NotFound, SeveralFailed, Unreachable
from bundler.fetch import FetchReport, RegistryBlob, RegistryManifest, Url, Wanted, fetch_all
from bundler.http import PER_HOST
from tests.bundler.clients import APP, client
from tests.support import faulty
from tests.support.faulty import FaultyRegistry, faulty_registry


@pytest.fixture
def server() -> Iterator[FaultyRegistry]:
    with faulty_registry() as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def blobs(server: FaultyRegistry, count: int, size: int) -> list[Wanted]:
    """So many blobs, each a little larger than the one before."""
    made = []
    for number in range(count):
        data = random.Random(number).randbytes(size + number)
        digest = Digest.parse(server.blob(data))
        made.append(Wanted(digest.hex, len(data), (RegistryBlob(APP.at(digest)),), f"layer {number}"))
    return made


def run(server: FaultyRegistry, cache: Cache, wanted: list[Wanted]) -> FetchReport:
    async def fetched() -> FetchReport:
        async with client(server.url) as registry:
            return await fetch_all(wanted, registry, cache)

    return asyncio.run(fetched())


def content(cache: Cache) -> dict[str, str]:
    """What is in the cache: path and what it hashes to."""
    files = (path for path in cache.root.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(cache.root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def whole(wanted: list[Wanted]) -> dict[str, str]:
    return {f"blobs/sha256/{one.sha256[:2]}/{one.sha256}": one.sha256 for one in wanted}


def test_everything_arrives_once_and_then_is_there(server: FaultyRegistry, cache: Cache) -> None:
    wanted = blobs(server, 20, 5_000)
    size = sum(one.size for one in wanted)
    report = run(server, cache, wanted + wanted[::-1])
    assert report == FetchReport(size, 0, frozenset(one.sha256 for one in wanted))
    assert content(cache) == whole(wanted)
    assert len(server.seen) == 20
    assert run(server, cache, wanted) == FetchReport(0, size, frozenset())
    assert len(server.seen) == 20


def test_the_largest_goes_first_and_no_host_is_overrun(server: FaultyRegistry, cache: Cache) -> None:
    wanted = blobs(server, 20, 5_000)
    server.pace = (1_000, 0.01)
    run(server, cache, wanted)
    first = [seen.path.rsplit(":", 1)[-1] for seen in server.seen[:PER_HOST]]
    assert set(first) == {one.sha256 for one in wanted[-PER_HOST:]}
    assert server.busiest == PER_HOST


def test_each_kind_of_source_is_asked_in_its_own_way(server: FaultyRegistry, cache: Cache) -> None:
    manifest, file = b'{"schemaVersion":2}', b"a file"
    server.files["x"] = file
    digest = Digest.parse(server.manifest("team/app", manifest))
    missing = RegistryBlob(APP.at(Digest.of(file)))
    wanted = [
        Wanted(digest.hex, len(manifest), (RegistryManifest(APP.at(digest)),), "manifest"),
        Wanted(Digest.of(file).hex, len(file), (missing, Url(f"{server.url}/files/x")), "file"),
    ]
    run(server, cache, wanted)
    assert content(cache) == whole(wanted)
    (asked,) = server.asked("/manifests/")
    assert "application/vnd.oci.image.index.v1+json" in asked.headers["Accept"]


def test_a_blob_is_fetched_from_any_repository_that_has_it(server: FaultyRegistry, cache: Cache) -> None:
    (one,) = blobs(server, 1, 100)
    elsewhere = Wanted(one.sha256, one.size, (Url(f"{server.url}/files/nowhere"),), "elsewhere")
    run(server, cache, [elsewhere, one])
    assert content(cache) == whole([one])


def test_all_failures_are_named_and_the_rest_is_fetched(server: FaultyRegistry, cache: Cache) -> None:
    wanted = blobs(server, 10, 1_000)
    for one in wanted[:5]:
        del server.blobs[f"sha256:{one.sha256}"]
    with pytest.raises(SeveralFailed) as caught:
        run(server, cache, wanted)
    assert caught.value.what.startswith("5 of 10 blobs could not be fetched: layer 0: ")
    assert caught.value.what.endswith("2 more")
    assert {type(problem) for problem in caught.value.problems} == {NotFound}
    assert content(cache) == whole(wanted[5:])


def test_a_host_that_is_lost_is_not_asked_for_the_rest(server: FaultyRegistry, cache: Cache) -> None:
    server.always["blob"] = faulty.hang_up()
    with pytest.raises(SeveralFailed) as caught:
        run(server, cache, blobs(server, 50, 100))
    assert len(caught.value.problems) == PER_HOST
    assert {type(problem) for problem in caught.value.problems} == {Unreachable}


def test_a_digest_that_is_none_never_becomes_a_path(server: FaultyRegistry, cache: Cache) -> None:
    with pytest.raises(InvalidValue):
        run(server, cache, [Wanted("../../etc/passwd", 1, (Url(f"{server.url}/files/x"),), "x")])


def test_too_little_space_is_said_before_anything_is_fetched(
    server: FaultyRegistry, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 20))
    with pytest.raises(CacheFull) as caught:
        run(server, cache, [Wanted("0" * 64, 3 << 20, (Url(f"{server.url}/files/x"),), "x")])
    assert "needs 3.0 MiB more and its disk has 1.0 MiB free: 2.0 MiB missing" in caught.value.what
    assert "crate-bundle cache prune" in caught.value.hint
    assert not server.seen


class Watcher:
    """Stands for a terminal: keeps what it was told."""

    def __init__(self) -> None:
        self.total = 0
        self.done = 0
        self.details: set[str] = set()
        self.said: list[str] = []

    def task(self, what: str, total: int | None = None, *, unit: str = "B") -> Task:
        assert (what, unit) == ("fetching", "B")
        self.total = total or 0
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def advance(self, amount: int) -> None:
        self.done += amount

    def detail(self, text: str) -> None:
        self.details.add(text)

    def grow(self, total: int) -> None:
        self.total = total

    def say(self, line: str) -> None:
        self.said.append(line)


def test_progress_counts_every_byte_once_also_after_starting_again(
    server: FaultyRegistry, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "_GLANCE", 0.01)
    wanted = blobs(server, 8, 20_000)
    server.pace = (4_000, 0.02)
    server.faults["blob"].extend([faulty.cut(15_000), faulty.stall(10_000)])
    watcher = Watcher()
    progress: Progress = watcher

    async def watched() -> None:
        async with client(server.url) as registry:
            await fetch_all(wanted, registry, cache, progress)

    asyncio.run(watched())
    assert watcher.done == watcher.total == sum(one.size for one in wanted)
    assert any("3 more" in detail and "layer 7" in detail for detail in watcher.details), watcher.details


def test_a_long_wait_is_announced(server: FaultyRegistry, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_WORTH_SAYING", 0.5)
    wanted = blobs(server, 1, 100)
    server.faults["blob"].append(faulty.answer(429, Retry_After="1"))
    watcher = Watcher()

    async def watched() -> None:
        async with client(server.url, progress=watcher) as registry:
            await fetch_all(wanted, registry, cache)

    asyncio.run(watched())
    (line,) = watcher.said
    assert line.endswith("asks to come back in 1.0 s; trying again in 1.0 s")


def start(server: FaultyRegistry, cache: Cache, wanted: list[Wanted]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bundler.fetching", server.url, str(cache.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write("".join(f"sha256:{one.sha256} {one.size}\n" for one in wanted))
    process.stdin.close()
    return process


def fetched(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    with process.stdout:
        output = process.stdout.read()
    assert process.wait(60) == 0
    return int(output)


def test_two_builds_share_the_cache_and_the_work(server: FaultyRegistry, cache: Cache) -> None:
    wanted = blobs(server, 12, 30_000)
    server.pace = (5_000, 0.02)
    both = [start(server, cache, wanted), start(server, cache, wanted[::-1])]
    assert sum(fetched(process) for process in both) == sum(one.size for one in wanted)
    assert content(cache) == whole(wanted)


def kill_at_random(server: FaultyRegistry, cache: Cache, seed: int, kills: int) -> None:
    wanted = blobs(server, 10, 40_000)
    server.pace = (2_000, 0.01)
    chance = random.Random(seed)
    killed = 0
    for _ in range(kills):
        process = start(server, cache, wanted)
        so_far = len(server.seen)
        while len(server.seen) == so_far and process.poll() is None:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.3))
        killed += process.poll() is None
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    assert killed, "every one of them was faster than the knife"
    server.pace = (0, 0.0)
    resumed = sum("Range" in seen.headers for seen in server.seen)
    last = fetched(start(server, cache, wanted))
    assert content(cache) == whole(wanted)
    assert last < sum(one.size for one in wanted)
    assert resumed + sum("Range" in seen.headers for seen in server.seen) > 0


def test_killed_and_started_again_it_ends_the_same(server: FaultyRegistry, cache: Cache) -> None:
    kill_at_random(server, cache, seed=1, kills=2)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_killed_at_twenty_random_points(server: FaultyRegistry, cache: Cache, seed: int) -> None:
    kill_at_random(server, cache, seed=seed + 100, kills=2)

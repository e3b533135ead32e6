"""A registry that has a bad day: what passes is sat out, what does not is named, and no byte that is wrong is kept."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from archive.digests import Digest
from archive.errors import Problem
from bundler.cache import Cache
from bundler.errors import (
    AccessDenied,
    MalformedAnswer,
    NotFound,
    ServerFailed,
    TooLarge,
    TooManyRequests,
    Unreachable,
    WrongContent,
)
from bundler.fetch import RegistryBlob, Wanted, fetch_all, fetch_blob
from tests.bundler.clients import APP, client
from tests.support import faulty
from tests.support.faulty import Fault, FaultyRegistry, faulty_registry

DATA = random.Random("blob").randbytes(100_000)


@pytest.fixture
def server() -> Iterator[FaultyRegistry]:
    with faulty_registry() as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def fetch(server: FaultyRegistry, cache: Cache, data: bytes = DATA) -> bytes:
    """The blob as it lies in the cache afterwards."""
    digest = Digest.parse(server.blob(data))

    async def run() -> bytes:
        async with client(server.url) as registry:
            wanted = Wanted(digest.hex, len(data), (RegistryBlob(APP.at(digest)),), "a layer")
            report = await fetch_all([wanted], registry, cache)
            assert report.fetched_digests == {digest.hex}
        return cache.path(digest.hex).read_bytes()

    return asyncio.run(run())


def http_date(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


PASSING = {
    "stalls before the first byte": [faulty.stall()],
    "stalls in the middle": [faulty.stall(40_000)],
    "resets in the middle": [faulty.cut(40_000)],
    "resets at every third of the way": [faulty.cut(33_000), faulty.cut(33_000), faulty.cut(33_000)],
    "ends in the middle as if that were all": [faulty.cut(40_000, politely=True)],
    "resets more often than there are attempts, but gets further each time": [faulty.cut(9_000)] * 10,
    "hangs up in place of an answer": [faulty.hang_up()],
    "states too short a length, once": [faulty.claim(50_000)],
    "states too great a length, once": [faulty.claim(150_000)],
    "answers 408": [faulty.answer(408)],
    "answers 429 with seconds": [faulty.answer(429, Retry_After="0")],
    "answers 429 with a date": [faulty.answer(429, Retry_After=http_date(1))],
    "answers 429 with a date gone by": [faulty.answer(429, Retry_After=http_date(-3600))],
    "answers 429 with nonsense": [faulty.answer(429, Retry_After="soon")],
    "answers 500, then 502, then well": [faulty.answer(500), faulty.answer(502)],
    "ignores Range after a reset": [faulty.cut(40_000), faulty.ignore_range()],
    "answers Range with the beginning": [faulty.cut(40_000), faulty.wrong_range("bytes 0-63/100000")],
    "answers Range for a blob of another size": [faulty.cut(40_000), faulty.wrong_range("bytes 40000-40063/99")],
    "answers Range without saying which": [faulty.cut(40_000), faulty.wrong_range("")],
    "answers Range with 416": [faulty.cut(40_000), faulty.answer(416)],
}


@pytest.mark.parametrize("faults", PASSING.values(), ids=PASSING.keys())
def test_what_passes_is_sat_out(server: FaultyRegistry, cache: Cache, faults: list[Fault]) -> None:
    server.faults["blob"].extend(faults)
    assert fetch(server, cache) == DATA
    assert not server.faults["blob"], "the faults did not happen"
    assert not list((cache.root / "partial").iterdir())


LASTING: dict[str, tuple[Fault, type[Problem], str]] = {
    "stalls for good": (faulty.stall(), Unreachable, "stalls"),
    "hangs up for good": (faulty.hang_up(), Unreachable, "broke the connection"),
    "always truncates at the same byte": (faulty.cut(0, politely=True), Unreachable, "ends before it is whole"),
    "always states too short a length": (faulty.claim(50_000), WrongContent, "has 50000 bytes, not 100000"),
    "sends other bytes": (faulty.swap(DATA[::-1]), WrongContent, "is not sha256:"),
    "sends more than it should": (faulty.swap(DATA + b"!"), WrongContent, "sends more than 100000 bytes"),
    "sends less than it should": (faulty.swap(DATA[:-1]), Unreachable, "ends after 99999 of 100000 bytes"),
    "does not have it": (faulty.answer(404), NotFound, "does not exist"),
    "is broken for good": (faulty.answer(503), ServerFailed, "status 503"),
    "asks to come back in an hour": (
        faulty.answer(429, Retry_After="3600"),
        TooManyRequests,
        "asks to come back in 1 h 00 min",
    ),
    "asks to come back tomorrow": (faulty.answer(429, Retry_After=http_date(86_400)), TooManyRequests, "come back in"),
    "forbids it": (faulty.answer(403), AccessDenied, "may not be read without credentials"),
    "answers 401 without a challenge": (faulty.answer(401), AccessDenied, "may not be read"),
    "answers 401 for ever": (
        faulty.answer(401, WWW_Authenticate='Basic realm="x"'),
        AccessDenied,
        "may not be read without credentials",
    ),
    "redirects in a circle": (faulty.redirect(""), MalformedAnswer, "redirects more than 10 times"),
    "redirects to nowhere": (faulty.redirect("gopher://mirror.example.org"), MalformedAnswer, "no URL"),
}


@pytest.mark.parametrize(("fault", "problem", "words"), LASTING.values(), ids=LASTING.keys())
def test_what_lasts_is_named(
    server: FaultyRegistry, cache: Cache, fault: Fault, problem: type[Problem], words: str
) -> None:
    server.always["blob"] = fault
    with pytest.raises(problem) as caught:
        fetch(server, cache)
    assert caught.value.what.startswith("a layer: ")
    assert words in caught.value.what
    assert not list((cache.root / "blobs").rglob("*"))


def test_the_next_run_goes_on_where_the_last_one_failed(server: FaultyRegistry, cache: Cache) -> None:
    server.faults["blob"].append(faulty.cut(60_000))
    server.always["blob"] = faulty.hang_up()
    with pytest.raises(Unreachable):
        fetch(server, cache)
    server.always.clear()
    server.seen.clear()
    assert fetch(server, cache) == DATA
    assert [seen.headers.get("Range") for seen in server.seen] == ["bytes=60000-"]


def test_a_partial_file_that_was_damaged_meanwhile_is_found_out_and_fetched_again(
    server: FaultyRegistry, cache: Cache
) -> None:
    key = server.blob(DATA).replace(":", "-")
    (cache.root / "partial" / f"{key}.partial").write_bytes(b"x" * 60_000)
    assert fetch(server, cache) == DATA
    assert [seen.headers.get("Range") for seen in server.seen] == ["bytes=60000-", None]


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_blob_is_checked_by_the_algorithm_that_names_it(server: FaultyRegistry, cache: Cache, algorithm: str) -> None:
    digest = Digest.parse(server.blob(DATA, algorithm))

    async def run() -> None:
        async with client(server.url) as registry:
            found = await fetch_blob(APP.at(digest), len(DATA), registry, cache)
            assert found.sha256 == Digest.of(DATA).hex
            assert cache.find(digest) == found
            server.blobs.clear()
            assert await fetch_blob(APP.at(digest), len(DATA), registry, cache) == found
            server.blobs[str(digest)] = DATA[::-1]
            (cache.path(found.sha256)).unlink()
            with pytest.raises(WrongContent):
                await fetch_blob(APP.at(digest), len(DATA), registry, cache)

    asyncio.run(run())


def test_a_redirect_to_another_host_takes_no_authorization_along(
    server: FaultyRegistry, cache: Cache, tmp_path: Path
) -> None:
    server.realm = f"{server.url}/token"
    with faulty_registry() as storage:
        storage.blob(DATA)
        server.always["blob"] = faulty.redirect(storage.url)
        assert fetch(server, cache) == DATA
    assert any("Authorization" in seen.headers for seen in server.asked("/blobs/"))
    assert [seen.headers.get("Authorization") for seen in storage.seen] == [None]


def test_a_host_that_was_redirected_to_has_no_say_in_where_credentials_go(server: FaultyRegistry, cache: Cache) -> None:
    with faulty_registry() as storage:
        storage.realm = f"{storage.url}/token"
        server.always["blob"] = faulty.redirect(storage.url)
        with pytest.raises(AccessDenied):
            fetch(server, cache)
        assert not storage.asked("/token")


def test_a_range_survives_a_redirect(server: FaultyRegistry, cache: Cache) -> None:
    with faulty_registry() as storage:
        storage.blob(DATA)
        storage.faults["blob"].append(faulty.cut(50_000))
        server.always["blob"] = faulty.redirect(storage.url)
        assert fetch(server, cache) == DATA
        assert [seen.headers.get("Range") for seen in storage.seen] == [None, "bytes=50000-"]


MANIFESTS: dict[str, tuple[Fault, type[Problem]]] = {
    "more than 4 MiB, and it says so": (faulty.answer(200, body=b" " * (4 << 20) + b"{}"), TooLarge),
    "more than 4 MiB, and it does not say so": (faulty.swap(b" " * (4 << 20) + b"{}"), TooLarge),
    "not what its Docker-Content-Digest says": (
        faulty.answer(200, body=b"{}", Docker_Content_Digest=f"sha256:{'0' * 64}"),
        WrongContent,
    ),
    "gone": (faulty.answer(404), NotFound),
}


@pytest.mark.parametrize(("fault", "problem"), MANIFESTS.values(), ids=MANIFESTS.keys())
def test_a_manifest_is_refused_that_is(server: FaultyRegistry, fault: Fault, problem: type[Problem]) -> None:
    server.manifest("team/app", b'{"schemaVersion":2}', "1")
    server.always["manifest"] = fault

    async def run() -> None:
        async with client(server.url) as registry:
            with pytest.raises(problem):
                await registry.manifest(APP)

    asyncio.run(run())


def test_a_manifest_by_digest_is_checked_against_it(server: FaultyRegistry) -> None:
    digest = Digest.parse(server.manifest("team/app", b'{"schemaVersion":2}'))
    server.always["manifest"] = faulty.answer(200, body=b'{"schemaVersion":3}')

    async def run() -> None:
        async with client(server.url) as registry:
            with pytest.raises(WrongContent):
                await registry.manifest(APP.at(digest))

    asyncio.run(run())


def test_waiting_for_a_host_that_asked_for_it_holds_back_its_other_requests(
    server: FaultyRegistry, cache: Cache
) -> None:
    server.faults["blob"].append(faulty.answer(429, Retry_After="1"))
    first, second = (Digest.parse(server.blob(data)) for data in (DATA, DATA[:50]))

    async def run() -> None:
        async with client(server.url) as registry:
            waiting = asyncio.create_task(fetch_blob(APP.at(first), len(DATA), registry, cache))
            await asyncio.sleep(0.2)
            await fetch_blob(APP.at(second), 50, registry, cache)
            await waiting

    asyncio.run(run())
    refused, *later = server.seen
    assert len(later) == 2
    assert all(seen.at - refused.at > 0.9 for seen in later)

"""Fetch: everything that a lock names and the cache lacks, each digest once, the largest first."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from archive.digests import Digest
from archive.errors import InvalidValue, Problem
from archive.progress import SILENT, Progress, Task
from archive.references import Reference
from bundler.cache import Cache
from bundler.errors import (
    CacheFull,
    FetchFailed,
    NotFound,
    SeveralFailed,
    TooManyRequests,
    Unreachable,
    UntrustedServer,
    WrongContent,
)
from bundler.registry import RegistryClient
from bundler.transfer import Goal, Opener, Track, bring
from bundler.upstreams import host_of, registry_host
from mirror.transport import Fetched

_GLANCE = 0.2  # seconds between looks at the transfers, for whoever watches
_NAMED = 3  # transfers in flight that are named, and failures

# What the next blob of the same host would run into as well.
_HOST_IS_LOST = (Unreachable, UntrustedServer, TooManyRequests)


@dataclass(frozen=True, slots=True)
class RegistryBlob:
    """A layer or config: `reference` carries its digest."""

    reference: Reference


@dataclass(frozen=True, slots=True)
class RegistryManifest:
    """A manifest or index, which most registries do not have among their blobs: `reference` carries its digest."""

    reference: Reference


@dataclass(frozen=True, slots=True)
class Url:
    """Anything by HTTP(S), at its upstream's own URL."""

    url: str


Source = RegistryBlob | RegistryManifest | Url


@dataclass(frozen=True, slots=True)
class Wanted:
    """A blob: where it may come from, in order of preference, what a person calls it, and what to do if it is gone."""

    sha256: str
    size: int
    sources: tuple[Source, ...]
    label: str
    if_gone: str = ""


@dataclass(frozen=True, slots=True)
class FetchReport:
    """Bytes that came over the wire, bytes that the cache had, and the digests whose sha256 this run computed."""

    fetched: int
    reused: int
    fetched_digests: frozenset[str]


async def fetch_all(
    wanted: Iterable[Wanted], registry: RegistryClient, cache: Cache, progress: Progress = SILENT
) -> FetchReport:
    """Brings all of `wanted` into the cache.

    One that fails does not stop the others, so that all are named at the end and the next run has less to do; a host
    that is lost and a full disk do. Raises `CacheFull` before anything is fetched when it cannot fit, the `FetchFailed`
    of the one that failed, or `SeveralFailed`.
    """
    with cache.in_use():
        run = _Run(registry, cache)
        run.sort_out(wanted)
        cache.require(run.missing())
        async with run.watched(progress):
            await run.fetch()
        return run.report()


async def fetch_blob(
    reference: Reference, size: int, registry: RegistryClient, cache: Cache, *, manifest: bool = False
) -> Fetched:
    """One blob of a repository by its digest of either algorithm; for a sha512, this finds out its sha256."""
    source = RegistryManifest(reference) if manifest else RegistryBlob(reference)
    with cache.in_use():
        goal = Goal(reference.digest, size)
        return await bring(goal, [_opener(source, registry)], registry.http, cache)


class _Run:
    """One call of `fetch_all`."""

    def __init__(self, registry: RegistryClient, cache: Cache) -> None:
        self._registry = registry
        self._http = registry.http
        self._cache = cache
        self._todo: dict[str, Wanted] = {}
        self._queues: dict[str, deque[Wanted]] = {}
        self._flying: dict[str, Track] = {}
        self._problems: list[Problem] = []
        self._proven: set[str] = set()
        self._landed = 0
        self._received = 0
        self._reused = 0

    def sort_out(self, wanted: Iterable[Wanted]) -> None:
        """Leaves what the cache lacks, each digest once with every source that somebody named for it."""
        seen: set[str] = set()
        for one in wanted:
            if one.sha256 in self._todo:
                known = self._todo[one.sha256]
                sources = tuple(dict.fromkeys(known.sources + one.sources))
                self._todo[one.sha256] = replace(known, sources=sources)
            elif one.sha256 not in seen and self._cache.has(one.sha256, one.size):
                self._cache.touch(one.sha256)
                self._reused += one.size
            elif one.sha256 not in seen:
                self._todo[one.sha256] = one
            seen.add(one.sha256)
        for one in sorted(self._todo.values(), key=lambda one: (-one.size, one.sha256)):
            self._queues.setdefault(self._host(one), deque()).append(one)

    def missing(self) -> int:
        """Bytes that the disk has to take."""
        return sum(max(one.size - self._cache.begun(_goal(one).key), 0) for one in self._todo.values())

    @asynccontextmanager
    async def watched(self, progress: Progress) -> AsyncIterator[None]:
        """Looks now and then, rather than reporting every block."""
        if not self._todo:
            yield
            return
        with progress.task("fetching", sum(one.size for one in self._todo.values())) as task:
            glance = self._glance(task)
            watcher = asyncio.create_task(_every(_GLANCE, glance))
            try:
                yield
            finally:
                watcher.cancel()
                glance()

    async def fetch(self) -> None:
        """Raises the problem, or all of them in one."""
        workers = [
            asyncio.create_task(self._work(queue))
            for queue in self._queues.values()
            for _ in range(min(self._http.per_host, len(queue)))
        ]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        if len(self._problems) == 1:
            raise self._problems[0]
        if self._problems:
            raise _several(self._problems, len(self._todo))

    def report(self) -> FetchReport:
        return FetchReport(self._received, self._reused, frozenset(self._proven))

    async def _work(self, queue: deque[Wanted]) -> None:
        while queue:
            one = queue.popleft()
            try:
                await self._one(one)
            except CacheFull as problem:
                for other in self._queues.values():
                    other.clear()
                if not any(isinstance(known, CacheFull) for known in self._problems):
                    self._problems.append(problem)
            except FetchFailed as problem:
                if isinstance(problem, _HOST_IS_LOST):
                    queue.clear()
                hint = one.if_gone if isinstance(problem, NotFound | WrongContent) else ""
                self._problems.append(type(problem)(f"{one.label}: {problem.what}", hint=hint or problem.hint))

    async def _one(self, one: Wanted) -> None:
        track = self._flying[one.sha256] = Track(one.label)
        try:
            openers = [_opener(source, self._registry) for source in one.sources]
            await bring(_goal(one), openers, self._http, self._cache, track)
            if track.position:
                self._proven.add(one.sha256)
            self._landed += one.size
        finally:
            self._received += track.received
            del self._flying[one.sha256]

    def _host(self, one: Wanted) -> str:
        """Whose turn it takes: the host that is really asked for the preferred source."""
        if not one.sources:
            raise InvalidValue(f"nobody is named who has {one.label}")
        match one.sources[0]:
            case Url(url):
                return host_of(self._http.locate(url))
            case RegistryBlob(reference) | RegistryManifest(reference):
                return host_of(self._http.locate(f"https://{registry_host(reference.host)}"))

    def _glance(self, task: Task) -> Callable[[], None]:
        shown = 0

        def glance() -> None:
            nonlocal shown
            done = self._landed + sum(track.position for track in self._flying.values())
            task.advance(done - shown)
            shown = done
            task.detail(_listing([track.label for track in self._flying.values()], ", "))

        return glance


def _goal(one: Wanted) -> Goal:
    return Goal(Digest.parse(f"sha256:{one.sha256}"), one.size)


def _opener(source: Source, registry: RegistryClient) -> Opener:
    match source:
        case RegistryBlob(reference):
            return partial(registry.open, reference)
        case RegistryManifest(reference):
            return partial(registry.open, reference, manifest=True)
        case Url(url):
            return lambda headers: registry.http.package(url, headers=headers, pinned=True)


async def _every(seconds: float, action: Callable[[], None]) -> None:
    while True:
        action()
        await asyncio.sleep(seconds)


def _several(found: list[Problem], of: int) -> SeveralFailed:
    problems = sorted(found, key=lambda problem: problem.what)  # not in the order of arrival, which is chance
    listing = _listing([problem.what for problem in problems], "; ")
    hint = next((problem.hint for problem in problems if problem.hint), "")
    return SeveralFailed(f"{len(problems)} of {of} blobs could not be fetched: {listing}", tuple(problems), hint=hint)


def _listing(words: list[str], comma: str) -> str:
    more = len(words) - _NAMED
    return comma.join([*words[:_NAMED], *([f"{more} more"] if more > 0 else [])])

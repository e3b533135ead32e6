"""The transport that ecosystems fetch through: retries, limits, upstreams and the cache, by URL."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from archive.digests import Digest
from bundler.answers import expect
from bundler.cache import Cache
from bundler.http import Http
from bundler.transfer import Goal, Opener, bring
from mirror.transport import Document, Fetched


class CachedTransport:
    """`mirror.transport.Transport` over the network and the cache."""

    def __init__(self, http: Http, cache: Cache) -> None:
        self._http = http
        self._cache = cache

    async def read(self, url: str, *, limit: int, headers: Mapping[str, str] | None = None) -> Document:
        """The document at `url`, of at most `limit` bytes; not cached. Raises `FetchFailed`."""
        return await self._http.read(url, limit=limit, headers=headers)

    async def size(self, url: str) -> int | None:
        """What upstream says the size is; a server that does not like HEAD is asked with GET and cut short."""
        stated = await self._http.persist(partial(self._stated, "HEAD", url))
        return stated if stated is not None else await self._http.persist(partial(self._stated, "GET", url))

    async def fetch(self, url: str, *, sha256: str = "", size: int | None = None) -> Fetched:
        """Brings the blob into the cache, where it may be already if its sha256 is given.

        Raises `FetchFailed`, `CacheFull`.
        """
        goal = Goal(Digest.parse(f"sha256:{sha256}") if sha256 else None, size, url)
        with self._cache.in_use():
            if size is not None and not (sha256 and self._cache.has(sha256, size)):
                self._cache.require(size - self._cache.begun(goal.key))
            return await bring(goal, [self._opener(url, pinned=bool(sha256))], self._http, self._cache)

    async def adopt(self, path: Path) -> Fetched:
        """Copies a local file into the cache. Raises `CacheFull`, and OSError for the file itself."""
        return await asyncio.to_thread(self._cache.adopt, path)

    def _opener(self, url: str, *, pinned: bool) -> Opener:
        return lambda headers: self._http.open(url, headers=headers, pinned=pinned)

    async def _stated(self, method: str, url: str) -> int | None:
        async with self._http.open(url, method=method) as answer:
            if method == "HEAD" and answer.status != 200:
                return None
            expect(answer, url)
            return answer.content_length

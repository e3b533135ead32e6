"""The transport that ecosystems fetch through: retries, limits, upstreams, logins and the cache, by URL."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import aiohttp

from archive.digests import Digest
from archive.references import Reference, canonical_host
from bundler.answers import body, expect, shown
from bundler.cache import Cache
from bundler.registry import RegistryClient
from bundler.transfer import Goal, Opener, bring
from mirror.transport import Document, Fetched

# An address of a registry's API, as the distribution specification has them, to be asked with a registry's manners.
_OCI = re.compile(r"oci://([^/]+)/v2/(.+)/((?:manifests|blobs|tags)/.+)")


class CachedTransport:
    """`mirror.transport.Transport` over the network and the cache."""

    def __init__(self, registry: RegistryClient, cache: Cache) -> None:
        self._registry = registry
        self._http = registry.http
        self._cache = cache

    async def read(self, url: str, *, limit: int, headers: Mapping[str, str] | None = None) -> Document:
        """The document at `url`, of at most `limit` bytes; not cached. Raises `FetchFailed`."""

        async def attempt() -> Document:
            async with self._open(url, headers=headers) as answer:
                expect(answer, url)
                return Document(shown(answer.url), await body(answer, url, limit), dict(answer.headers))

        return await self._http.persist(attempt)

    async def size(self, url: str) -> int | None:
        """What upstream says the size is; a server that does not like HEAD is asked with GET and cut short."""
        stated = await self._http.persist(partial(self._stated, "HEAD", url))
        return stated if stated is not None else await self._http.persist(partial(self._stated, "GET", url))

    async def fetch(self, url: str, *, sha256: str = "", sha512: str = "", size: int | None = None) -> Fetched:
        """Brings the blob into the cache, where it may be already if a digest is given.

        Raises `FetchFailed`, `CacheFull`.
        """
        named = f"sha256:{sha256}" if sha256 else f"sha512:{sha512}" if sha512 else ""
        goal = Goal(Digest.parse(named) if named else None, size, url)
        with self._cache.in_use():
            if size is not None and not (sha256 and self._cache.has(sha256, size)):
                self._cache.require(size - self._cache.begun(goal.key))
            return await bring(goal, [self._opener(url, pinned=bool(named))], self._http, self._cache)

    async def adopt(self, path: Path) -> Fetched:
        """Copies a local file into the cache. Raises `CacheFull`, and OSError for the file itself."""
        return await asyncio.to_thread(self._cache.adopt, path)

    def _open(
        self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, pinned: bool = False
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        found = _OCI.fullmatch(url)
        if found is None:
            return self._http.package(url, method=method, headers=headers, pinned=pinned)
        reference = Reference(canonical_host(found[1]), found[2])
        return self._registry.api(reference, found[3], method=method, headers=headers or {}, pinned=pinned)

    def _opener(self, url: str, *, pinned: bool) -> Opener:
        return lambda headers: self._open(url, headers=headers, pinned=pinned)

    async def _stated(self, method: str, url: str) -> int | None:
        async with self._open(url, method=method) as answer:
            if method == "HEAD" and answer.status != 200:
                return None
            expect(answer, url)
            return answer.content_length

"""A `Transport` straight over urllib: stands for the bundler's client where only the ecosystem is under test."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from archive.errors import Problem
from mirror.transport import Document, Fetched


class Unreachable(Problem):
    """Upstream said no, or nothing."""


class UrllibTransport:
    """Blobs go to `cache`, named by their sha256. `asked` is every URL in the order of asking."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.asked: list[str] = []
        cache.mkdir(parents=True, exist_ok=True)

    async def read(self, url: str, *, limit: int, headers: Mapping[str, str] | None = None) -> Document:
        body, found = await asyncio.to_thread(self._get, url, limit, headers or {})
        return Document(url, body, found)

    async def size(self, url: str) -> int | None:
        body, _ = await asyncio.to_thread(self._get, url, 1 << 40, {})
        return len(body)

    async def fetch(self, url: str, *, sha256: str = "", size: int | None = None) -> Fetched:
        known = self.cache / sha256
        if sha256 and known.is_file():
            return Fetched(sha256, known.stat().st_size, known)
        body, _ = await asyncio.to_thread(self._get, url, 1 << 40, {})
        digest = hashlib.sha256(body).hexdigest()
        if sha256 not in {"", digest} or size not in {None, len(body)}:
            raise Unreachable(f"{url} is another file than was asked for")
        path = self.cache / digest
        await asyncio.to_thread(path.write_bytes, body)
        return Fetched(digest, len(body), path)

    async def adopt(self, path: Path) -> Fetched:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        shutil.copyfile(path, self.cache / digest)
        return Fetched(digest, path.stat().st_size, self.cache / digest)

    def _get(self, url: str, limit: int, headers: Mapping[str, str]) -> tuple[bytes, Mapping[str, str]]:
        self.asked.append(url)
        request = urllib.request.Request(url, headers=dict(headers))
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                body = answer.read(limit + 1)
                found = dict(answer.headers)
        except (urllib.error.URLError, OSError) as error:
            raise Unreachable(f"{url}: {error}") from error
        if len(body) > limit:
            raise Unreachable(f"{url} has more than {limit} bytes")
        return body, found

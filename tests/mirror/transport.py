"""A fake of the bundler's transport: the same checks over plain aiohttp; no retries, credentials or upstream table."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from archive.errors import Problem
from archive.platforms import Platform
from archive.progress import SILENT
from mirror.ecosystem import ResolveContext
from mirror.transport import Document, Fetched

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")


@dataclass
class FolderTransport:
    """Blobs end in `folder` under their sha256; `asked` are the URLs, in order."""

    folder: Path
    session: aiohttp.ClientSession
    asked: list[str] = field(default_factory=list)

    @staticmethod
    def _reached(url: str) -> str:
        """A registry upstream is a loopback one here, and speaks plain HTTP."""
        return url.replace("oci://", "http://", 1)

    async def read(self, url: str, *, limit: int, headers: Mapping[str, str] | None = None) -> Document:
        self.asked.append(url)
        async with self.session.get(self._reached(url), headers=headers) as response:
            if response.status != 200:
                raise Problem(f"{url} answered {response.status}")
            body = await response.content.read(limit + 1) if limit < 1 << 16 else await response.read()
            if len(body) > limit:
                raise Problem(f"{url} is larger than {limit} bytes")
            return Document(str(response.url), body, dict(response.headers))

    async def size(self, url: str) -> int | None:
        async with self.session.head(url, allow_redirects=True) as response:
            return response.content_length

    async def fetch(self, url: str, *, sha256: str = "", sha512: str = "", size: int | None = None) -> Fetched:
        self.asked.append(url)
        partial = self.folder / f"{hashlib.sha256(url.encode()).hexdigest()}.partial"
        found, strong, length = hashlib.sha256(), hashlib.sha512(), 0
        async with self.session.get(self._reached(url)) as response:
            if response.status != 200:
                raise Problem(f"{url} answered {response.status}")
            with partial.open("wb") as file:
                async for block in response.content.iter_chunked(1 << 18):
                    file.write(block)
                    found.update(block)
                    strong.update(block)
                    length += len(block)
        wrong = sha256 not in {"", found.hexdigest()} or sha512 not in {"", strong.hexdigest()}
        if wrong or (size is not None and length != size):
            raise Problem(f"{url} is not what was promised: {length} bytes, sha256 {found.hexdigest()}")
        return self._keep(partial, found.hexdigest(), length)

    async def adopt(self, path: Path) -> Fetched:
        partial = self.folder / f"{path.name}.partial"
        shutil.copyfile(path, partial)
        content = partial.read_bytes()
        return self._keep(partial, hashlib.sha256(content).hexdigest(), len(content))

    def _keep(self, partial: Path, sha256: str, size: int) -> Fetched:
        path = self.folder / sha256
        partial.replace(path)
        return Fetched(sha256, size, path)


@asynccontextmanager
async def context(folder: Path, base: Path, *platforms: Platform) -> AsyncIterator[ResolveContext]:
    """What `resolve` is given: blobs go to `folder`, the recipe lies in `base`."""
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    async with aiohttp.ClientSession(trust_env=True, timeout=aiohttp.ClientTimeout(total=240)) as session:
        yield ResolveContext(FolderTransport(folder, session), platforms or (AMD64, ARM64), base, SILENT)

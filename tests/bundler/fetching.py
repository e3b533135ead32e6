"""A build's fetch as a process of its own, so that tests can kill it: `python -m tests.bundler.fetching URL CACHE`.

Standard input lists the blobs, a digest and a size a line; the bytes that came over the wire are printed at the end.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from archive.digests import Digest
from bundler.cache import Cache
from bundler.fetch import FetchReport, RegistryBlob, Wanted, fetch_all
from tests.bundler.clients import APP, client


async def fetch(url: str, cache: Cache, lines: list[str]) -> FetchReport:
    wanted = []
    for line in lines:
        digest, size = line.split()
        source = RegistryBlob(APP.at(Digest.parse(digest)))
        wanted.append(Wanted(digest.removeprefix("sha256:"), int(size), (source,), "a layer"))
    async with client(url) as registry:
        return await fetch_all(wanted, registry, cache)


if __name__ == "__main__":
    print(asyncio.run(fetch(sys.argv[1], Cache(Path(sys.argv[2])), sys.stdin.readlines())).fetched)  # noqa: T201

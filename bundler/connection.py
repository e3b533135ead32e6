"""What resolving and fetching work with, opened together: registry client, cache and the ecosystems' transport."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from archive.progress import Progress
from bundler.cache import Cache, default_root
from bundler.credentials import Credentials
from bundler.errors import UpstreamsInvalid
from bundler.http import Http
from bundler.recipe import Recipe
from bundler.registry import RegistryClient
from bundler.transport import CachedTransport
from bundler.upstreams import Upstreams, default_config_home
from mirror.transport import Transport


@dataclass(frozen=True)
class Connection:
    """The way out, for one run of a command."""

    registry: RegistryClient
    cache: Cache
    transport: Transport
    progress: Progress


@asynccontextmanager
async def connect(recipe: Recipe, progress: Progress) -> AsyncIterator[Connection]:
    """Through the recipe's upstreams and this user's credentials; the cache is not pruned meanwhile."""
    try:
        upstreams = Upstreams.load(recipe.contents.upstreams, default_config_home(), folder=recipe.base)
    except UpstreamsInvalid as problem:
        if not problem.what.startswith("[upstreams]"):
            raise
        where = f"{recipe.path}:{recipe.line('upstreams')}"
        raise UpstreamsInvalid(f"{where}: {problem.what}", hint=problem.hint) from problem
    cache = Cache(default_root())
    with cache.in_use():
        async with Http(upstreams, progress=progress) as http:
            registry = RegistryClient(http, Credentials.load())
            yield Connection(registry, cache, CachedTransport(http, cache), progress)

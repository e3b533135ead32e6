"""What resolving and fetching work with, opened together: registry client, cache and the ecosystems' transport."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from archive.platforms import Platform
from archive.progress import Progress
from bundler import ecosystems
from bundler.cache import Cache, default_root
from bundler.credentials import Credentials
from bundler.errors import UpstreamsInvalid
from bundler.http import Http
from bundler.recipe import Recipe
from bundler.registry import RegistryClient
from bundler.transport import CachedTransport
from bundler.upstreams import Upstreams, default_config_home
from mirror.ecosystem import ResolveContext
from mirror.logins import Logins, of_netrc
from mirror.transport import Transport


@dataclass(frozen=True)
class Connection:
    """The way out, for one run of a command."""

    registry: RegistryClient
    cache: Cache
    transport: Transport
    progress: Progress
    base: Path

    def context(self, platforms: Sequence[Platform]) -> ResolveContext:
        """What an ecosystem resolves with; `base` is the recipe's folder."""
        return ResolveContext(self.transport, tuple(platforms), self.base, self.progress)


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
        logins = Logins([*await ecosystems.logins(recipe.contents, recipe.base), *of_netrc()])
        async with Http(upstreams, progress=progress, logins=logins) as http:
            registry = RegistryClient(http, Credentials.load())
            yield Connection(registry, cache, CachedTransport(registry, cache), progress, recipe.base)

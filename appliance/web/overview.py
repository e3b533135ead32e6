"""The crate in a page: what it is, what is in it, whether all is well. And the one object that page and API ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from appliance.access import Access, Caller
from appliance.addresses import Address
from appliance.doctor.watch import Watch
from appliance.generations import Generation
from appliance.items import Items, names_of
from appliance.registry.service import Registry
from appliance.status import ActiveCrate
from appliance.unmet import unmet
from appliance.web.concerns import Concern, wellbeing
from appliance.web.nodes import known_nodes
from appliance.web.recent import Recent, aside
from appliance.web.runs import Run, latest_run
from appliance.web.space import space
from appliance.web.visitors import Visitors
from archive.errors import InvalidValue
from archive.references import Reference
from archive.requests import Unmet
from console.version import VERSION

_LIVE, _STATE, _SLOW = 0.3, 3.0, 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Overview:
    """`items` counts what the caller may know of, by kind; `unmet` are requests; `used` and `free` bytes of disk."""

    version: str
    well: bool
    concerns: tuple[Concern, ...]
    generation: int | None
    crates: tuple[ActiveCrate, ...]
    items: Mapping[str, int]
    unmet: int
    used: int
    free: int
    run: Run | None


class Web:
    """What page and API know, from one registry. To be used from the event loop's thread."""

    def __init__(self, registry: Registry, watch: Watch, authority: Callable[[], bytes], plain: Address | None) -> None:
        """`authority` gives the PEM that clients are to trust, `plain` is where the plain port listens."""
        store = registry.store
        self.registry = registry
        self.authority = authority
        self.plain = plain
        self.visitors = Visitors(registry)
        self.streams: set[asyncio.Task[object] | None] = set()
        self.items = Items(store.database)
        self.wellbeing = Recent(lambda: wellbeing(store, watch.report), _STATE)
        self.run = Recent(lambda: latest_run(store.root), _LIVE)
        self.nodes = Recent(lambda: known_nodes(store.root), _STATE)
        self.unmet = Recent(lambda: unmet(store), _STATE)
        self.space = Recent(lambda: space(store), _SLOW)

    @property
    def access(self) -> Access:
        return self.registry.access

    async def overview(self, caller: Caller) -> Overview:
        seen, requests = await self.wellbeing.get(), await self.requests(caller)
        found = await aside(self.items.search, self.access, caller, size=1)
        status = seen.status
        return Overview(
            version=VERSION,
            well=not seen.concerns,
            concerns=seen.concerns,
            generation=status.generation,
            crates=status.crates,
            items=found.counts,
            unmet=len(requests),
            used=status.used,
            free=status.free,
            run=seen.run,
        )

    async def generations(self) -> tuple[Generation, ...]:
        return (await self.wellbeing.get()).status.generations

    async def requests(self, caller: Caller) -> tuple[Unmet, ...]:
        """What is not here and was asked for, as far as the caller may know of it; the latest first."""
        return tuple(it for it in await self.unmet.get() if _may_know(self.access, caller, it))

    def close(self) -> None:
        """Ends the streams that would go on as long as the daemon does."""
        for stream in filter(None, self.streams):
            stream.cancel()

    def changed(self) -> None:
        """Something was done to the store; what is remembered may be wrong."""
        for recent in (self.wellbeing, self.unmet, self.space):
            recent.forget()


def _may_know(access: Access, caller: Caller, request: Unmet) -> bool:
    name = request.name
    match request.kind:
        case "image":
            try:
                names: tuple[str, ...] = (Reference.parse(name).path,)
            except InvalidValue:
                names = (name,)
        case "file":
            names = (f"files/{name}",)
        case "apt" | "suite":
            names = names_of("apt", name, f"apt/{name}")
        case "pypi" | "npm" | "chart":
            bare = name.partition(" ")[0].partition("==")[0]
            bare = bare if bare.startswith("@") else bare.partition("@")[0]
            names = names_of(request.kind, bare, f"{request.kind}/{bare}")
        case _:
            names = (name,)
    return all(access.may_read(caller, each) for each in names)

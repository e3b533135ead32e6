"""What a recipe asks for, section by section, and how each question is resolved."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import BaseModel

from archive import documents
from archive.catalogue import Item
from archive.digests import Digest
from archive.platforms import Platform
from archive.references import Reference
from bundler.connection import Connection
from bundler.ecosystems import APT, CHARTS, ECOSYSTEMS
from bundler.errors import AccessDenied, HelmMissing, NotFound
from bundler.local_images import LocalImages
from bundler.lockfile import Request
from bundler.naming import same, same_image
from bundler.recipe import ImageSection, K3sSection, Recipe, served_name, without_queries
from bundler.resolve import appliance, chart_images, images, k3s, profiles
from bundler.resolve.images import ImageRequest
from bundler.resolve.profiles import Carried
from bundler.resolve.sources import LocalSource, RegistrySource
from mirror import origins
from mirror.ecosystem import Resolution
from mirror.helm.section import ChartSection
from mirror.together import together

AT_ONCE = 8  # sections, or images of one, being resolved; what one host bears is the client's limit


@dataclass(frozen=True)
class Question:
    """One section of the recipe, what it asks for, and how to resolve it. `where` is its file and line.

    `prove`, when there is one, holds what it came to against all that the crate will carry.
    """

    request: Request
    wishes: tuple[str, ...]
    where: str
    resolve: Callable[[], Awaitable[Resolution]]
    prove: Callable[[Collection[Item], Collection[Item]], Awaitable[None]] | None = None

    def meant_by(self, name: str) -> bool:
        """Whether a person who writes `name` means it: its kind, its name, or anything that it asks for."""
        if self.request.section == "images":
            return name == "images" or same_image(name, self.request.name)
        return name in {self.request.section, self.request.name} or any(same(name, wish) for wish in self.wishes)


def questions(recipe: Recipe, connection: Connection) -> list[Question]:
    """Every section of the recipe. What it names itself comes before what profiles bring, and that before k3s'."""
    contents = recipe.contents
    platforms = contents.crate.platforms
    own = [served_name(section.reference) for section in contents.images]
    charts = Charts(recipe, connection)
    found: list[Question] = []

    def ask(
        place: tuple[str | int, ...],
        request: Request,
        wishes: tuple[str, ...],
        resolve: Callable[[], Awaitable[Resolution]],
        prove: Callable[[Collection[Item], Collection[Item]], Awaitable[None]] | None = None,
    ) -> None:
        found.append(Question(request, wishes, f"{recipe.path}:{recipe.line(*place)}", resolve, prove))

    for place, section in enumerate(contents.images):
        chosen = section.platforms or platforms
        request = _request("images", str(section.reference), section, chosen)
        ask(("images", place), request, (), partial(_image, section, chosen, recipe, connection))
    for ecosystem in ECOSYSTEMS:
        for place, section in ecosystem.sections(contents):
            chosen = getattr(section, "platforms", ()) or platforms
            request = _request(ecosystem.key, ecosystem.name(section), section, chosen)
            if ecosystem is CHARTS:
                prove = partial(charts.prove, section)
                ask((CHARTS.key, place), request, (), partial(charts.resolve, section), prove)
                continue
            resolve = partial(ecosystem.resolve, section, connection.context(platforms))
            ask((ecosystem.key, place), request, ecosystem.wishes(section), resolve)
    for one in profiles.of_recipe(recipe):
        request = _profile_request(one, platforms, own)
        resolve = partial(_profile, one, own, recipe, connection)
        ask(("crate", "profiles"), request, (), resolve, partial(charts.prove_profile, one))
    if contents.appliance:
        chosen = contents.appliance.platforms_of(platforms)
        request = _request("appliance", appliance.NAME, contents.appliance, chosen)
        ask(("appliance",), request, (), partial(appliance.resolve, contents, connection.context(chosen)))
        for packages in appliance.packages(contents):
            request = _request(APT.key, packages.name, packages, chosen)
            resolve = partial(APT.resolve, packages, connection.context(chosen))
            ask(("appliance",), request, packages.packages, resolve)
    if contents.k3s:
        chosen = contents.k3s.platforms or platforms
        request = _request("k3s", "k3s", contents.k3s, chosen, [str(reference) for reference in own])
        ask(("k3s",), request, (), partial(_k3s, contents.k3s, chosen, own, connection))
    return found


def _request(
    section: str, name: str, model: BaseModel, platforms: Iterable[Platform], others: Collection[str] = ()
) -> Request:
    asked = without_queries(model.model_dump_json())
    value = [section, asked, sorted(str(platform) for platform in platforms), sorted(others)]
    return Request(section, name, hashlib.sha256(documents.canonical(value)).hexdigest())


def _profile_request(one: Carried, platforms: Iterable[Platform], own: Iterable[Reference]) -> Request:
    value = ["profiles", one.fingerprint, sorted(map(str, platforms)), sorted(map(str, own))]
    return Request("profiles", one.profile.name, hashlib.sha256(documents.canonical(value)).hexdigest())


async def _image(
    section: ImageSection, platforms: tuple[Platform, ...], recipe: Recipe, connection: Connection
) -> Resolution:
    request = ImageRequest(section.reference, platforms, section.referrers)
    if not section.layout:
        source = RegistrySource(connection.registry, connection.cache, section.reference)
        return Resolution(tuple(await images.resolve(request, source)))
    origin = origins.local(section.layout, recipe.base)
    local = await asyncio.to_thread(LocalImages.open, origins.local_path(origin, recipe.base))
    items = await images.resolve(request, LocalSource(local, section.reference, origin))
    for item in items:
        for file in item.files:
            if file.origin != images.MADE:
                local.check(Digest.parse(file.aliases[0]) if file.aliases else Digest.sha256(file.sha256), file.size)
    return Resolution(tuple(items))


async def _k3s(
    section: K3sSection, platforms: tuple[Platform, ...], own: Collection[Reference], connection: Connection
) -> Resolution:
    """Images that the recipe names itself are left to it."""
    found = await k3s.resolve_files(section, platforms, connection.transport)
    if section.airgap:
        return Resolution(tuple(found))
    listed = [it for it in await k3s.image_references(section, connection.transport) if it not in own]

    async def one(reference: Reference) -> list[Item]:
        task.detail(str(reference))
        source = RegistrySource(connection.registry, connection.cache, reference)
        items = await images.resolve(ImageRequest(reference, platforms), source)
        task.advance(1)
        return items

    with connection.progress.task("resolving the images of k3s", len(listed), unit="images") as task:
        for items in await together([one(reference) for reference in listed], limit=AT_ONCE):
            found += items
    return Resolution(tuple(found))


async def _profile(one: Carried, own: Collection[Reference], recipe: Recipe, connection: Connection) -> Resolution:
    """A profile with all that it names; what the recipe names itself is left to it."""
    platforms = recipe.contents.crate.platforms
    context = connection.context(platforms)
    packages = one.packages(recipe)

    async def image(section: ImageSection) -> Resolution:
        try:
            return await _image(section, platforms, recipe, connection)
        except (NotFound, AccessDenied) as problem:
            hint = f'one of your own in its place: [[images]] with layout = … and name = "{section.reference}"'
            raise type(problem)(f"the profile {one.profile.name}: {problem.what}", hint=hint) from problem

    parts = await together(
        [
            *(image(section) for section in one.images(own)),
            *(CHARTS.resolve(section, context) for section in one.charts()),
            *(APT.resolve(section, context) for section in packages),
        ],
        limit=AT_ONCE,
    )
    return Resolution(
        items=(one.item(connection.cache), *(item for part in parts for item in part.items)),
        asked=tuple(asked for part in parts for asked in part.asked),
        why={name: (one.profile.name, *chain) for part in parts for name, chain in part.why.items()},
        notes=tuple(note for part in parts for note in part.notes),
    )


class Charts:
    """`[[charts]]`, and those of profiles: resolved, and their images found where helm is on this machine."""

    def __init__(self, recipe: Recipe, connection: Connection) -> None:
        self._recipe, self._connection = recipe, connection
        self._k3s = recipe.contents.k3s

    async def resolve(self, section: ChartSection) -> Resolution:
        """With `images = "add"` its images too. Raises `HelmMissing` where there is no helm to tell them."""
        platforms = self._recipe.contents.crate.platforms
        found = await CHARTS.resolve(section, self._connection.context(platforms))
        if section.images != "add":
            return found
        if not chart_images.available():
            raise HelmMissing(
                f"the chart {CHARTS.name(section)}: only helm can tell its images, and it is not on this machine",
                hint='install helm, or name them as [[images]] and leave out images = "add"',
            )
        references = await self._images(section, found.items, self._values(section))
        sections = [ImageSection.model_validate({"ref": str(reference)}) for reference in references]
        parts = await together(
            [_image(each, platforms, self._recipe, self._connection) for each in sections], limit=AT_ONCE
        )
        return replace(found, items=(*found.items, *(item for part in parts for item in part.items)))

    async def prove(self, section: ChartSection, own: Collection[Item], carried: Collection[Item]) -> None:
        """Raises `ImagesMissing` where a chart would run what the crate does not carry."""
        if section.images == "check":
            await self._prove(section, own, carried, self._values(section))

    async def prove_profile(self, one: Carried, own: Collection[Item], carried: Collection[Item]) -> None:
        with TemporaryDirectory(prefix="buzzcrate-values-") as folder:
            for chart, section in zip((it for it in one.profile.charts if it.repository), one.charts(), strict=True):
                values = Path(folder, chart.values or "none.yaml")
                await asyncio.to_thread(values.write_bytes, one.profile.files.get(chart.values, b"{}"))
                await self._prove(section, own, carried, [values])

    async def _prove(
        self, section: ChartSection, own: Collection[Item], carried: Collection[Item], values: Sequence[Path]
    ) -> None:
        what = f"the chart {CHARTS.name(section)}"
        if not chart_images.available():
            self._connection.progress.say(f"{what}: no helm on this machine, so its images were not looked for")
            return
        references = await self._images(section, own, values)
        listed: list[Reference] = []
        if self._k3s and self._k3s.airgap:
            listed = await k3s.image_references(self._k3s, self._connection.transport)
        chart_images.check(references, carried, listed, what)

    async def _images(self, section: ChartSection, items: Collection[Item], values: Sequence[Path]) -> list[Reference]:
        origin = origins.local(section.path, self._recipe.base) if section.path else ""
        item = next(it for it in items if it.kind == "chart" and (it.origin == origin or it.name == section.name))
        packed = item.files[0]
        if not self._connection.cache.has(packed.sha256, packed.size):
            return []  # locked before, and proven then
        version = self._k3s.version if self._k3s else ""
        path = self._connection.cache.path(packed.sha256)
        return await chart_images.find(path, values, f"the chart {CHARTS.name(section)}", version=version)

    def _values(self, section: ChartSection) -> list[Path]:
        return [self._recipe.base / name for name in section.values]

"""Making a lock: each thing that the recipe asks for is resolved, or kept from the lock before."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from pydantic import BaseModel

from archive import documents
from archive.catalogue import Item
from archive.digests import Digest
from archive.errors import InvalidValue, Problem
from archive.limits import LIMITS
from archive.names import check_distinct
from archive.platforms import Platform
from archive.references import Reference
from bundler import lockfile
from bundler.connection import Connection
from bundler.ecosystems import APT, ECOSYSTEMS
from bundler.errors import BlobTooLarge, RecipeInvalid, SeveralFailed, UnknownName
from bundler.local_images import LocalImages
from bundler.lockfile import Lock, Request, path_for
from bundler.naming import same, same_image
from bundler.recipe import ImageSection, K3sSection, Recipe, served_name, without_queries, without_secrets
from bundler.resolve import appliance, images, k3s
from bundler.resolve.images import ImageRequest
from bundler.resolve.sources import LocalSource, RegistrySource
from bundler.wishes import Wish, extended
from console import units
from console.version import VERSION
from mirror import origins
from mirror.ecosystem import Asked, Resolution
from mirror.errors import MirrorProblem
from mirror.together import together

_AT_ONCE = 8  # sections, or images of k3s, being resolved; what one host bears is the client's limit


@dataclass(frozen=True)
class Locked:
    """A lock, whether it differs from the one before, and the names of the requests that were resolved for it."""

    lock: Lock
    changed: bool
    resolved: tuple[str, ...]


@dataclass(frozen=True)
class _Asked:
    """One section of the recipe, what it asks for, and how to resolve it. `where` is its file and line."""

    request: Request
    wishes: tuple[str, ...]
    where: str
    resolve: Callable[[], Awaitable[Resolution]]

    def meant_by(self, name: str) -> bool:
        """Whether a person who writes `name` means it: its kind, its name, or anything that it asks for."""
        if self.request.section == "images":
            return name == "images" or same_image(name, self.request.name)
        return name in {self.request.section, self.request.name} or any(same(name, wish) for wish in self.wishes)


async def make(
    recipe: Recipe,
    connection: Connection,
    previous: Lock | None,
    update: Collection[str] = (),
    *,
    now: datetime,
    wishes: Sequence[Wish] = (),
    keep: bool = False,
) -> Locked:
    """Everything anew, or with `update` or `keep` only what that names and what `previous` does not know.

    `wishes` are what the lock asks for beside the recipe. A lock that comes out as `previous` keeps its serial.
    Raises `UnknownName`, `BlobTooLarge` and what resolving raises.
    """
    asked = _asked(extended(recipe, wishes), connection)
    for name in update:
        if not any(it.meant_by(name) for it in asked):
            known = ", ".join(it.request.name for it in asked)
            raise UnknownName(f"the recipe does not ask for {name}", hint=f"it asks for {known or 'nothing'}")
    held = {request.fingerprint: request for request in previous.requests} if previous and (update or keep) else {}
    stale = [it for it in asked if it.request.fingerprint not in held or any(map(it.meant_by, update))]
    fresh = await _resolve_all(stale, connection)

    kept = lockfile.keyed(previous.items) if previous else {}
    items: dict[Request, tuple[Item, ...]] = {}
    for it in asked:
        found = fresh.get(it.request)
        if found is not None:
            items[_with_words(it.request, found)] = _settled(found.items, kept.values())
        else:
            request = held[it.request.fingerprint]
            items[request] = tuple(kept[key] for key in request.items)
    crate = recipe.contents.crate
    pinned = lockfile.ordered(_one_of_each_image(item for some in items.values() for item in some))
    _check(pinned)
    lock = Lock(
        name=crate.name,
        channel=crate.channel,
        serial=_serial(crate.serial, previous, now),
        created=now,
        expires=crate.expires,
        writer=f"buzzcrate {VERSION}",
        recipe=recipe.sha256,
        platforms=crate.platforms,
        requests=_requests(items, pinned),
        items=pinned,
        wishes=tuple(wishes),
    )
    names = tuple(it.request.name for it in stale)
    if previous and lock.same_content(previous):
        return Locked(previous, changed=False, resolved=names)
    return Locked(lock, changed=True, resolved=names)


def _with_words(request: Request, found: Resolution) -> Request:
    """The request with what resolving said, its URLs as they may travel."""
    chains = {chain if chain[-1:] == (name,) else (*chain, name) for name, chain in found.why.items()}
    return replace(
        request,
        asked=tuple(
            Asked(without_secrets(it.what), tuple(sorted(n for n in it.pulled_in if not same(n, it.what))), it.size)
            for it in found.asked
        ),
        why=tuple(sorted((tuple(map(without_secrets, chain)) for chain in chains), key=lambda it: (it[-1], it))),
        notes=tuple(map(without_secrets, found.notes)),
    )


def _settled(found: Iterable[Item], before: Iterable[Item]) -> tuple[Item, ...]:
    """What was locked already, and is the same now, keeps its evidence: an archive signs a new index every few hours,
    and that is no news of the packages.
    """
    known = {_pinned(item): item for item in before}
    return tuple(known.get(_pinned(item), item) for item in found)


def _pinned(item: Item) -> bytes:
    return documents.canonical(replace(item, evidence={}).to_json())


def _one_of_each_image(items: Iterable[Item]) -> Iterator[Item]:
    """A reference names one image: what the recipe asks for first has it."""
    taken: set[tuple[str, ...]] = set()
    for item in items:
        if item.kind != images.KIND or item.key not in taken:
            taken.add(item.key)
            yield item


def _requests(items: Mapping[Request, Iterable[Item]], pinned: Iterable[Item]) -> tuple[Request, ...]:
    """Each with the names of its items, as they are among `pinned`."""
    names: dict[tuple[object, ...], str] = {}
    for name, item in lockfile.keyed(pinned).items():
        names[_identity(item)] = name
    found = [
        replace(request, items=tuple(sorted({names[_identity(item)] for item in some})))
        for request, some in items.items()
    ]
    return tuple(sorted(found, key=lambda request: request.key))


def _identity(item: Item) -> tuple[object, ...]:
    """What tells two items apart: the key, and but for images the content."""
    return item.key if item.kind == images.KIND else (*item.key, documents.canonical(item.to_json()))


def write(lock: Lock, recipe: Recipe) -> None:
    """Replaces the recipe's lock, whole or not at all."""
    path = path_for(recipe.path)
    beside = path.with_name(path.name + ".part")
    with beside.open("wb") as file:
        file.write(lock.to_bytes())
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def now() -> datetime:
    """SOURCE_DATE_EPOCH where it is set (reproducible-builds.org), else the clock; whole seconds."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if epoch:
        try:
            return datetime.fromtimestamp(int(epoch), UTC)
        except (ValueError, OverflowError, OSError) as error:
            raise InvalidValue(
                f"SOURCE_DATE_EPOCH is {epoch[:40]!r}", hint="it is a number of seconds since 1970, or unset"
            ) from error
    return datetime.now(UTC).replace(microsecond=0)


def _serial(wanted: int | str, previous: Lock | None, now: datetime) -> int:
    """The recipe's own, or the time; above the one before even when the clock is not."""
    if isinstance(wanted, int):
        return wanted
    stamp = int(now.strftime("%Y%m%d%H%M"))
    return max(stamp, previous.serial + 1) if previous else stamp


def _asked(recipe: Recipe, connection: Connection) -> list[_Asked]:
    """Every section of the recipe. What it names itself comes before what k3s brings."""
    contents = recipe.contents
    platforms = contents.crate.platforms
    asked: list[_Asked] = []

    def ask(
        place: tuple[str | int, ...],
        request: Request,
        wishes: tuple[str, ...],
        resolve: Callable[[], Awaitable[Resolution]],
    ) -> None:
        asked.append(_Asked(request, wishes, f"{recipe.path}:{recipe.line(*place)}", resolve))

    for place, section in enumerate(contents.images):
        chosen = section.platforms or platforms
        request = _request("images", str(section.reference), section, chosen)
        ask(("images", place), request, (), partial(_image, section, chosen, recipe, connection))
    for ecosystem in ECOSYSTEMS:
        for place, section in ecosystem.sections(contents):
            chosen = getattr(section, "platforms", ()) or platforms
            request = _request(ecosystem.key, ecosystem.name(section), section, chosen)
            resolve = partial(ecosystem.resolve, section, connection.context(platforms))
            ask((ecosystem.key, place), request, ecosystem.wishes(section), resolve)
    if contents.appliance:
        chosen = contents.appliance.platforms_of(platforms)
        request = _request("appliance", appliance.NAME, contents.appliance, chosen)
        ask(("appliance",), request, (), partial(appliance.resolve, contents, connection.context(chosen)))
        for packages in appliance.packages(contents):
            request = _request(APT.key, packages.name, packages, chosen)
            resolve = partial(APT.resolve, packages, connection.context(chosen))
            ask(("appliance",), request, packages.packages, resolve)
    if contents.k3s:
        own = [served_name(section.reference) for section in contents.images]
        chosen = contents.k3s.platforms or platforms
        request = _request("k3s", "k3s", contents.k3s, chosen, [str(reference) for reference in own])
        ask(("k3s",), request, (), partial(_k3s, contents.k3s, chosen, own, connection))
    return asked


def _request(
    section: str, name: str, model: BaseModel, platforms: Iterable[Platform], others: Collection[str] = ()
) -> Request:
    asked = without_queries(model.model_dump_json())
    value = [section, asked, sorted(str(platform) for platform in platforms), sorted(others)]
    return Request(section, name, hashlib.sha256(documents.canonical(value)).hexdigest())


async def _resolve_all(asked: Collection[_Asked], connection: Connection) -> dict[Request, Resolution]:
    """What each came to. One that fails does not stop the others, so that all are named at the end."""
    found: dict[Request, Resolution] = {}
    problems: list[Problem] = []

    async def one(it: _Asked) -> None:
        task.detail(it.request.name)
        try:
            found[it.request] = await it.resolve()
        except MirrorProblem as problem:
            problems.append(type(problem)(f"{it.where}: {problem.what}", hint=problem.hint))
        except Problem as problem:
            problems.append(problem)
        task.advance(1)

    with connection.progress.task("resolving", len(asked), unit="sections") as task:
        await together([one(it) for it in asked], limit=_AT_ONCE)
        if len(problems) == 1:
            raise problems[0]
        if problems:
            what = "\n".join(problem.what for problem in problems)
            raise SeveralFailed(what, tuple(problems), hint=next((it.hint for it in problems if it.hint), ""))
    return found


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
        for items in await together([one(reference) for reference in listed], limit=_AT_ONCE):
            found += items
    return Resolution(tuple(found))


def _check(items: Iterable[Item]) -> None:
    """What no crate can carry is refused before it is fetched."""
    paths: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for item in items:
        for file in item.files:
            if file.size > LIMITS.blob:
                raise BlobTooLarge(
                    f"{item.name} {item.version}: a blob of {units.size(file.size)}, and a crate takes less than 8 GiB",
                    hint="split the file, or build the image with smaller layers",
                )
            if file.path:
                paths[item.kind].add((file.path, file.sha256))
    try:
        for named in paths.values():
            check_distinct(path for path, _ in sorted(named))
    except InvalidValue as error:
        raise RecipeInvalid(error.what, hint="give one of the files another name") from error

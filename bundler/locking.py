"""Making a lock: each thing that the recipe asks for is resolved, or kept from the lock before."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
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
from bundler.concurrently import together
from bundler.connection import Connection
from bundler.errors import BlobTooLarge, RecipeInvalid, SeveralFailed, UnknownName
from bundler.local_images import LocalImages
from bundler.lockfile import Lock, Request, item_key, path_for
from bundler.recipe import ImageSection, K3sSection, Recipe, served_name, without_queries
from bundler.resolve import images, k3s
from bundler.resolve.images import ImageRequest
from bundler.resolve.sources import LocalSource, RegistrySource
from console import units
from console.version import VERSION
from mirror import origins
from mirror.files import resolve as files

_AT_ONCE = 8  # images being resolved; what one host bears is the client's limit


@dataclass(frozen=True)
class Locked:
    """A lock, whether it differs from the one before, and the names of the requests that were resolved for it."""

    lock: Lock
    changed: bool
    resolved: tuple[str, ...]


@dataclass(frozen=True)
class _Asked:
    """One thing asked for, and how to resolve it."""

    request: Request
    resolve: Callable[[], Awaitable[list[Item]]]


async def make(
    recipe: Recipe, connection: Connection, previous: Lock | None, update: Collection[str] = (), *, now: datetime
) -> Locked:
    """Everything anew, or with `update` only what it names and what `previous` does not know.

    A lock that comes out as `previous` keeps its serial. Raises `UnknownName`, `BlobTooLarge` and what resolving
    raises.
    """
    asked = _asked(recipe, connection)
    for name in update:
        if not any(_means(name, it.request) for it in asked):
            known = ", ".join(it.request.name for it in asked)
            raise UnknownName(f"the recipe does not ask for {name}", hint=f"it asks for {known or 'nothing'}")
    held = {request.fingerprint: request for request in previous.requests} if previous and update else {}
    kept_items = {item_key(item): item for item in previous.items} if previous else {}

    found: dict[str, Item] = {}
    requests: list[Request] = []
    stale = [
        it for it in asked if it.request.fingerprint not in held or any(_means(name, it.request) for name in update)
    ]
    fresh = await _resolve_all(stale, connection)
    for it in asked:
        resolved = fresh.get(it.request)
        items = resolved if resolved is not None else [kept_items[key] for key in held[it.request.fingerprint].items]
        for item in items:
            found.setdefault(item_key(item), item)
        requests.append(replace(it.request, items=tuple(sorted(item_key(item) for item in items))))
    _check(found.values())

    crate = recipe.contents.crate
    lock = Lock(
        name=crate.name,
        channel=crate.channel,
        serial=_serial(crate.serial, previous, now),
        created=now,
        expires=crate.expires,
        writer=f"buzzcrate {VERSION}",
        recipe=recipe.sha256,
        platforms=crate.platforms,
        requests=tuple(sorted(requests)),
        items=tuple(sorted(found.values(), key=lambda item: item.key)),
    )
    names = tuple(it.request.name for it in stale)
    if previous and lock.same_content(previous):
        return Locked(previous, changed=False, resolved=names)
    return Locked(lock, changed=True, resolved=names)


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
    asked = [
        _Asked(
            _request("images", str(section.reference), section, section.platforms or platforms),
            partial(_image, section, section.platforms or platforms, recipe, connection),
        )
        for section in contents.images
    ]
    asked += [
        _Asked(
            _request("files", section.name, section, section.platforms or platforms),
            partial(files.resolve, section, platforms, connection.transport, recipe.base),
        )
        for section in contents.files
    ]
    if contents.k3s:
        own = [served_name(section.reference) for section in contents.images]
        chosen = contents.k3s.platforms or platforms
        asked.append(
            _Asked(
                _request("k3s", "k3s", contents.k3s, chosen, [str(reference) for reference in own]),
                partial(_k3s, contents.k3s, chosen, own, connection),
            )
        )
    return asked


def _request(
    section: str, name: str, model: BaseModel, platforms: Iterable[Platform], others: Collection[str] = ()
) -> Request:
    asked = without_queries(model.model_dump_json())
    value = [section, asked, sorted(str(platform) for platform in platforms), sorted(others)]
    return Request(section, name, hashlib.sha256(documents.canonical(value)).hexdigest())


async def _resolve_all(asked: Collection[_Asked], connection: Connection) -> dict[Request, list[Item]]:
    """What each came to. One that fails does not stop the others, so that all are named at the end."""
    gate = asyncio.Semaphore(_AT_ONCE)
    found: dict[Request, list[Item]] = {}
    problems: list[Problem] = []

    async def one(it: _Asked) -> None:
        async with gate:
            task.detail(it.request.name)
            try:
                found[it.request] = await it.resolve()
            except Problem as problem:
                problems.append(problem)
            task.advance(1)

    with connection.progress.task("resolving", len(asked), unit="requests") as task:
        await together(one(it) for it in asked)
        if len(problems) == 1:
            raise problems[0]
        if problems:
            what = "\n".join(problem.what for problem in problems)
            raise SeveralFailed(what, tuple(problems), hint=next((it.hint for it in problems if it.hint), ""))
    return found


async def _image(
    section: ImageSection, platforms: tuple[Platform, ...], recipe: Recipe, connection: Connection
) -> list[Item]:
    request = ImageRequest(section.reference, platforms, section.referrers)
    if not section.layout:
        return await images.resolve(request, RegistrySource(connection.registry, connection.cache, section.reference))
    origin = origins.local(section.layout, recipe.base)
    local = await asyncio.to_thread(LocalImages.open, origins.local_path(origin, recipe.base))
    items = await images.resolve(request, LocalSource(local, section.reference, origin))
    for item in items:
        for file in item.files:
            if file.origin != images.MADE:
                local.check(Digest.parse(file.aliases[0]) if file.aliases else Digest.sha256(file.sha256), file.size)
    return items


async def _k3s(
    section: K3sSection, platforms: tuple[Platform, ...], own: Collection[Reference], connection: Connection
) -> list[Item]:
    """Images that the recipe names itself are left to it."""
    found = await k3s.resolve_files(section, platforms, connection.transport)
    if section.airgap:
        return found
    gate = asyncio.Semaphore(_AT_ONCE)
    listed = [it for it in await k3s.image_references(section, connection.transport) if it not in own]

    async def one(reference: Reference) -> list[Item]:
        async with gate:
            task.detail(str(reference))
            source = RegistrySource(connection.registry, connection.cache, reference)
            items = await images.resolve(ImageRequest(reference, platforms), source)
            task.advance(1)
            return items

    with connection.progress.task("resolving the images of k3s", len(listed), unit="images") as task:
        for items in await together(one(reference) for reference in listed):
            found += items
    return found


def _means(name: str, request: Request) -> bool:
    """Whether a person who writes `name` means `request`: its whole name, or an image's without tag."""
    if name == request.name:
        return True
    if request.section == "images":
        with suppress(InvalidValue):
            asked, meant = Reference.parse(request.name), Reference.parse(name)
            return meant == asked or (meant.name == asked.name and ":" not in name.rpartition("/")[2])
    return False


def _check(items: Iterable[Item]) -> None:
    """What no crate can carry is refused before it is fetched."""
    paths: list[str] = []
    for item in items:
        for file in item.files:
            if file.size > LIMITS.blob:
                raise BlobTooLarge(
                    f"{item.name} {item.version}: a blob of {units.size(file.size)}, and a crate takes less than 8 GiB",
                    hint="split the file, or build the image with smaller layers",
                )
            if file.path:
                paths.append(file.path)
    try:
        check_distinct(paths)
    except InvalidValue as error:
        raise RecipeInvalid(error.what, hint="give one of the files another name") from error

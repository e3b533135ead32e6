"""Making a lock: each thing that the recipe asks for is resolved, or kept from the lock before."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from archive import documents
from archive.catalogue import Item
from archive.errors import InvalidValue, Problem
from archive.limits import LIMITS
from archive.names import check_distinct
from bundler import lockfile
from bundler.asking import AT_ONCE, Question, questions
from bundler.connection import Connection
from bundler.errors import BlobTooLarge, RecipeInvalid, SeveralFailed, UnknownName
from bundler.lockfile import Lock, Request, path_for
from bundler.naming import same
from bundler.recipe import Recipe, without_secrets
from bundler.resolve import images
from bundler.wishes import Wish, extended
from console import units
from console.version import VERSION
from mirror.ecosystem import Asked, Resolution
from mirror.errors import MirrorProblem
from mirror.together import together


@dataclass(frozen=True)
class Locked:
    """A lock, whether it differs from the one before, and the names of the requests that were resolved for it."""

    lock: Lock
    changed: bool
    resolved: tuple[str, ...]


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
    asked = questions(extended(recipe, wishes), connection)
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
    await _prove(asked, items, pinned)
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


async def _resolve_all(asked: Collection[Question], connection: Connection) -> dict[Request, Resolution]:
    """What each came to. One that fails does not stop the others, so that all are named at the end."""
    found: dict[Request, Resolution] = {}
    problems: list[Problem] = []

    async def one(it: Question) -> None:
        task.detail(it.request.name)
        try:
            found[it.request] = await it.resolve()
        except MirrorProblem as problem:
            problems.append(type(problem)(f"{it.where}: {problem.what}", hint=problem.hint))
        except Problem as problem:
            problems.append(problem)
        task.advance(1)

    with connection.progress.task("resolving", len(asked), unit="sections") as task:
        await together([one(it) for it in asked], limit=AT_ONCE)
        if len(problems) == 1:
            raise problems[0]
        if problems:
            what = "\n".join(problem.what for problem in problems)
            raise SeveralFailed(what, tuple(problems), hint=next((it.hint for it in problems if it.hint), ""))
    return found


async def _prove(
    asked: Iterable[Question], items: Mapping[Request, Collection[Item]], pinned: Collection[Item]
) -> None:
    """What can be told only of the whole: that charts run nothing that the crate lacks."""
    own = {request.key: some for request, some in items.items()}
    for it in asked:
        if it.prove is not None:
            await it.prove(own[it.request.key], pinned)


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

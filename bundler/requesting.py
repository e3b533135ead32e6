"""A lock made with the requests of a crate: what is added is found out, shown, and then resolved with the rest."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from archive.progress import Progress
from archive.requests import Export, Unmet
from bundler import locking
from bundler.connection import connect
from bundler.errors import SerialTooLow
from bundler.lockfile import Lock
from bundler.locking import Locked
from bundler.recipe import Recipe
from bundler.wishing import Plan, hoped, plan


@dataclass(frozen=True, slots=True)
class Requested:
    """A lock, and what came of the requests that it was made with."""

    locked: Locked
    plan: Plan


async def lock(
    recipe: Recipe,
    previous: Lock | None,
    progress: Progress,
    *,
    requests: Sequence[Unmet] = (),
    update: Collection[str] = (),
    forget: bool = False,
    keep: bool = False,
    show: Callable[[Plan], None] = lambda _: None,
) -> Requested:
    """Locks the recipe, the wishes that `previous` holds (unless they are to be forgotten) and the new requests.

    `show` is told what they come to before anything is locked. With `keep` only what is new is resolved. Raises what
    `locking.make` raises.
    """
    before = previous.wishes if previous and not forget else ()
    async with connect(hoped(recipe, before, requests), progress) as connection:
        found = await plan(recipe, before, requests, connection)
        show(found)
        made = await locking.make(
            recipe, connection, previous, update, now=locking.now(), wishes=found.wishes, keep=keep
        )
    return Requested(made, found)


def check_serial(lock: Lock, export: Export) -> None:
    """Whether the crate that a file came from could take this release at all. Raises `SerialTooLow`."""
    for holding in export.holdings:
        if holding.active and holding.name == lock.name and holding.serial >= lock.serial:
            raise SerialTooLow(
                f"{export.box} has {holding.name} {holding.serial}, and takes no {lock.name} {lock.serial} after it",
                hint='raise `serial` in the recipe, or write serial = "auto", and lock again',
            )

"""`crate-bundle lock`: pin everything that a recipe asks for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from bundler import costs, lockfile, locking
from bundler.cache import Cache, default_root
from bundler.cli.arguments import RECIPE
from bundler.connection import connect
from bundler.costs import Bill
from bundler.lockfile import Lock
from bundler.locking import Locked
from bundler.recipe import Recipe
from console import units
from console.columns import columns
from console.command import JSON_OPTION, emit
from console.progress import progress

_LISTED = 12  # items of one request that are named


@click.command(short_help="Pin everything that a recipe asks for.")
@RECIPE
@click.option(
    "--update",
    multiple=True,
    metavar="NAME",
    help="Resolve only this image, file or k3s, and what is new; the rest stays as it is. May be repeated.",
)
@JSON_OPTION
def lock(recipe: Path, update: tuple[str, ...], as_json: bool) -> None:
    """Resolve RECIPE (bundle.toml) into bundle.lock beside it: digests, sizes and origins for every platform.

    Commit it with the recipe: the same lock gives the same archive, byte for byte. When nothing upstream has changed,
    the lock stays as it is, serial included.
    """
    read = Recipe.load(recipe)
    locked = asyncio.run(_lock(read, update))
    if locked.changed:
        locking.write(locked.lock, read)
    bill = costs.bill(locked.lock, Cache(default_root()))
    path = lockfile.path_for(recipe)
    emit(_to_json(locked, bill, path), as_json, lambda: _text(locked, bill, path))


async def _lock(recipe: Recipe, update: tuple[str, ...]) -> Locked:
    previous = Lock.load(lockfile.path_for(recipe.path))
    async with connect(recipe, progress()) as connection:
        return await locking.make(recipe, connection, previous, update, now=locking.now())


def _to_json(locked: Locked, bill: Bill, path: Path) -> dict[str, Any]:
    return {
        "lock": str(path),
        "name": locked.lock.name,
        "serial": locked.lock.serial,
        "platforms": [str(platform) for platform in locked.lock.platforms],
        "changed": locked.changed,
        "resolved": list(locked.resolved),
        **bill.to_json(),
    }


def _text(locked: Locked, bill: Bill, path: Path) -> str:
    it = locked.lock
    lines = [
        f"{path}: {it.name} {it.serial} for {', '.join(map(str, it.platforms))}"
        + ("" if locked.changed else " (nothing has changed)")
    ]
    rows: list[tuple[str, str, str, str]] = []
    for cost in bill.costs:
        shared = cost.size - cost.added
        note = f"{units.size(shared)} of it shared with the above" if shared else ""
        rows.append((cost.request.name, f"{cost.blobs} blobs", units.size(cost.size), note))
        if len(cost.request.items) > 1:
            names = [" ".join(filter(None, key.split(" "))) for key in cost.request.items]
            rows += [(f"  + {name}", "", "", "") for name in names[:_LISTED]]
            if len(names) > _LISTED:
                rows.append((f"  + {len(names) - _LISTED} more", "", "", ""))
    if rows:
        lines.append(columns(rows, right=frozenset({1, 2})))
    lines.append(
        f"{units.size(bill.size)} in {bill.blobs} blobs, {units.size(bill.to_fetch)} of it still to be fetched"
    )
    return "\n".join(lines)

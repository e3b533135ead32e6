"""`crate-bundle lock`: pin everything that a recipe asks for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from bundler import costs, lockfile, locking, requesting
from bundler import why as reasons
from bundler.cache import Cache, default_root
from bundler.cli import crate_files
from bundler.cli.arguments import RECIPE
from bundler.cli.crate_files import CRATE_KEY, REQUESTS
from bundler.costs import Bill
from bundler.errors import LockMissing
from bundler.lockfile import Lock, Request
from bundler.locking import Locked
from bundler.recipe import Recipe
from console import units
from console.columns import columns
from console.command import JSON_OPTION, emit
from console.progress import progress

_LISTED = 12  # items of one request that are named
_PULLED = 4  # packages that one wish pulled in that are named


@click.command(short_help="Pin everything that a recipe asks for.")
@RECIPE
@click.option(
    "--update",
    multiple=True,
    metavar="NAME",
    help="Resolve only the sections that this names (an image, a file, k3s, a repository, a package or chart that a "
    "section asks for, or a kind like pypi), and what is new; the rest stays as it is. May be repeated.",
)
@click.option(
    "--why",
    metavar="NAME",
    help="Print what brought a package, image, chart or file in, from the lock as it is, and resolve nothing.",
)
@REQUESTS
@CRATE_KEY
@click.option("--forget-requests", "forget", is_flag=True, help="Drop what earlier --requests added to the lock.")
@JSON_OPTION
def lock(
    recipe: Path,
    *,
    update: tuple[str, ...],
    why: str | None,
    requests_file: Path | None,
    crate_key: str,
    forget: bool,
    as_json: bool,
) -> None:
    """Resolve RECIPE (bundle.toml) into bundle.lock beside it: digests, sizes and origins for every platform.

    Commit it with the recipe: the same lock gives the same archive, byte for byte. When nothing upstream has changed,
    the lock stays as it is, serial included. What people on site asked for (--requests) stays in the lock, too, until
    the recipe names it or it is dropped.
    """
    if why is not None:
        _why(lockfile.path_for(recipe), why, as_json)
        return
    read = Recipe.load(recipe)
    asking = crate_files.load(requests_file, crate_key)
    if asking:
        crate_files.show_file(asking)
    made = asyncio.run(
        requesting.lock(
            read,
            Lock.load(lockfile.path_for(recipe)),
            progress(),
            requests=asking.export.requests if asking else (),
            update=update,
            forget=forget,
            show=crate_files.show_plan,
        )
    )
    locked = made.locked
    if locked.changed:
        if asking:
            requesting.check_serial(locked.lock, asking.export)
        locking.write(locked.lock, read)
    bill = costs.bill(locked.lock, Cache(default_root()))
    path = lockfile.path_for(recipe)
    result = {**_to_json(locked, bill, path), **(crate_files.plan_json(made.plan) if asking else {})}
    emit(result, as_json, lambda: _text(locked, bill, path))


def _why(path: Path, name: str, as_json: bool) -> None:
    held = Lock.load(path)
    if held is None:
        raise LockMissing(f"{path} is not there", hint="crate-bundle lock writes it")
    chains = reasons.why(held, name)
    text = "\n".join(f"{_title(it.section, it.request)}: {' > '.join(it.links)}" for it in chains)
    emit({"name": name, "chains": [it.to_json() for it in chains]}, as_json, lambda: text)


def _to_json(locked: Locked, bill: Bill, path: Path) -> dict[str, Any]:
    return {
        "lock": str(path),
        "name": locked.lock.name,
        "serial": locked.lock.serial,
        "platforms": [str(platform) for platform in locked.lock.platforms],
        "changed": locked.changed,
        "wishes": [wish.to_json() for wish in locked.lock.wishes],
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
        title = _title(cost.request.section, cost.request.name)
        rows.append((title, f"{cost.blobs} blobs", units.size(cost.size), note))
        rows += _asked(cost.request) if cost.request.asked else _items(cost.request)
    if rows:
        lines.append(columns(rows, right=frozenset({1, 2})))
    for cost in bill.costs:
        lines += [f"{_title(cost.request.section, cost.request.name)}: {note}" for note in cost.request.notes]
    lines += [f"asked for on site: {wish.kind} {wish.name}" for wish in it.wishes]
    lines.append(
        f"{units.size(bill.size)} in {bill.blobs} blobs, {units.size(bill.to_fetch)} of it still to be fetched"
    )
    return "\n".join(lines)


def _title(section: str, name: str) -> str:
    """Images and files go by their own names; anything else by its kind too."""
    return name if section in {"images", "files", name} else f"{section} {name}"


def _asked(request: Request) -> list[tuple[str, str, str, str]]:
    """Each wish, what it pulled in and what all of that weighs."""
    rows = []
    for it in request.asked:
        named, more = ", ".join(it.pulled_in[:_PULLED]), len(it.pulled_in) - _PULLED
        pulled = f" + {named}" if named else ""
        rows.append((f"  {it.what}{pulled}" + (f" and {more} more" if more > 0 else ""), "", units.size(it.size), ""))
    return rows


def _items(request: Request) -> list[tuple[str, str, str, str]]:
    if len(request.items) < 2:
        return []
    names = [" ".join(filter(None, key.split(" "))) for key in request.items]
    rows = [(f"  + {name}", "", "", "") for name in names[:_LISTED]]
    return [*rows, (f"  + {len(names) - _LISTED} more", "", "", "")] if len(names) > _LISTED else rows

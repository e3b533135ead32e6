"""`crate-appliance requests list|add|export|clear`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from appliance import exporting
from appliance.misses import Miss
from appliance.requests import Requests
from appliance.store import Store
from appliance.unmet import judged
from archive.requests import KINDS, Unmet
from console import units
from console.columns import columns
from console.command import JSON_OPTION, emit
from mirror.requested import remedy

_SHOWN = 3  # addresses on a line


@click.group(invoke_without_command=True)
@JSON_OPTION
@click.pass_context
def requests(context: click.Context, *, as_json: bool) -> None:
    """What was asked for and is not here, and the file of it that brings it with the next stick.

    Without a verb, lists. Images, packages, charts, files and host names are counted from what clients ask; `add` is
    for what people wish for. `export` writes all of it, and what this crate holds already, for crate-bundle.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_requests, as_json=as_json)


@requests.command("list")
@click.option("--all", "everything", is_flag=True, help="Show what a crate has brought since as well.")
@JSON_OPTION
@click.pass_obj
def list_requests(root: Path, *, everything: bool = False, as_json: bool) -> None:
    """List what is not here: how often it was asked for, when last, by whom, and what to add to the recipe.

    A daemon that serves the store writes down what is asked of it every two seconds.
    """
    with _store(root) as store:
        found = [(request, met) for request, met in judged(store) if everything or not met]
    emit([_to_json(request, met=met) for request, met in found], as_json, lambda: _text(found))


@requests.command()
@click.argument("kind", type=click.Choice([kind for kind in KINDS if kind not in {"path", "dns"}]))
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.pass_obj
def add(root: Path, kind: str, names: tuple[str, ...]) -> None:
    """Wish for something: what people want, and clients find missing without asking the crate for it.

    NAME is spelled as in the recipe: a reference of an image, a requirement of Python ("flask>=3"), a package of
    Node.js with or without a range. For Debian's it is REPOSITORY/PACKAGE (debian/htop), for a chart "podinfo 6.9.2".
    """
    with _store(root) as store:
        wishes = Requests(store.database)
        for name in names:
            wishes.note(Miss(kind, name), "by-hand")
        wishes.flush()


@requests.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--name", default="", help="What this crate calls itself; its host name unless given.")
@JSON_OPTION
@click.pass_obj
def export(root: Path, file: Path, name: str, *, as_json: bool) -> None:
    """Write FILE, small and signed: the requests, and the digests of all that this crate holds.

    Carry it to whoever builds the sticks: crate-bundle build --requests FILE adds what was asked for, --have FILE
    leaves out what is here. Tell them the fingerprint that is printed, some other way.
    """
    with _store(root) as store:
        key = exporting.identity(store)
        made = exporting.export(store, name)
        size = exporting.write(made, key, file)
    blobs = sum(holding.count for holding in made.holdings)
    result = {
        "file": str(file),
        "size": size,
        "name": made.box,
        "key": key.public.fingerprint,
        "requests": len(made.requests),
        "blobs": blobs,
    }
    emit(
        result,
        as_json,
        lambda: (
            f"{file}  {units.size(size)}\n"
            f"{made.box}: {len(made.requests)} requests, {blobs} blobs held\n"
            f"signed by this crate's own key {key.public.fingerprint}\n"
            f"next, where sticks are built: crate-bundle build --requests {file.name} --have {file.name}"
        ),
    )


@requests.command()
@click.option("--met", is_flag=True, help="Forget only what a crate has brought since.")
@click.pass_obj
def clear(root: Path, *, met: bool) -> None:
    """Forget the requests written down until now."""
    with _store(root) as store:
        gone = Requests(store.database).clear([it for it, is_met in judged(store) if is_met] if met else None)
    click.echo(f"{gone} forgotten")


@contextmanager
def _store(root: Path) -> Iterator[Store]:
    with Store.open(root, create=False) as store:
        yield store


def _to_json(request: Unmet, *, met: bool) -> dict[str, Any]:
    found = remedy(request)
    return {**request.to_json(), "met": met, "recipe": found.line() if found else ""}


def _text(found: list[tuple[Unmet, bool]]) -> str:
    if not found:
        return "nothing was asked for in vain"
    rows = []
    for request, met in found:
        helps = remedy(request)
        named = ", ".join(request.asked_by[:_SHOWN])
        more = len(request.asked_by) - _SHOWN
        who = named + (f" and {more} more" if more > 0 else "")
        what = "here by now" if met else helps.line() if helps else ""
        rows.append((request.kind, request.name, f"{request.count}x", _time(request.last), who, what))
    return columns(rows, indent="", right=frozenset({2}))


def _time(seconds: int) -> str:
    try:
        return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):  # a clock that was beyond all calendars
        return "?"

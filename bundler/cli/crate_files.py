"""What `lock` and `build` take from a crate: its requests and its inventory, and how they tell of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from archive.requests import Unmet
from bundler import crate_files
from bundler.crate_files import CrateFile, Known
from bundler.upstreams import default_config_home
from bundler.wishes import Wish
from bundler.wishing import Plan
from console.columns import columns

_FILE = click.Path(path_type=Path, dir_okay=False)
REQUESTS = click.option(
    "--requests",
    "requests_file",
    type=_FILE,
    metavar="FILE",
    help="Add what people on site asked for: the file of crate-appliance requests export. What can be had is kept in "
    "the lock, beside what the recipe asks for; the rest is told.",
)
HAVE = click.option(
    "--have",
    "have_file",
    type=_FILE,
    metavar="FILE",
    help="Leave out what a crate holds already, by such a file: a difference, for that crate alone.",
)
CRATE_KEY = click.option(
    "--crate-key",
    default="",
    metavar="SHA256:…|FILE.pub",
    help="The key that signed these files. Without it, that of a crate seen before, or whatever signed the first one.",
)


def load(path: Path | None, told: str) -> CrateFile | None:
    """The file that an option names, if any. Raises what `crate_files.load` raises."""
    return crate_files.load(path, default_config_home(), told) if path else None


def show_file(file: CrateFile) -> None:
    """Says on standard error whose file it is, and what the first one of a crate is worth."""
    click.echo(f"{file.path}: of {file.export.box}, signed by {file.key.fingerprint} ({file.known.value})", err=True)
    if file.known is Known.NEW:
        click.echo(
            "  this key is believed from now on: compare it with what crate-appliance requests export printed there",
            err=True,
        )


def show_plan(plan: Plan) -> None:
    """What is about to be done, on standard error."""
    if plan.added or plan.known or plan.unsatisfied:
        click.echo("\n".join(_lines(plan)), err=True)


def plan_json(plan: Plan) -> dict[str, Any]:
    return {
        "added": [wish.to_json() for wish in plan.added],
        "known": [_request(request) for request in plan.known],
        "unsatisfied": [{**_request(it.request), "why": it.why, "recipe": it.line} for it in plan.unsatisfied],
    }


def _request(request: Unmet) -> dict[str, Any]:
    return {"kind": request.kind, "name": request.name, "count": request.count}


def _lines(plan: Plan) -> Iterator[str]:
    if plan.added:
        yield "asked for, and added:"
        yield columns([(f"+ {wish.kind}", wish.name, _beside(wish)) for wish in plan.added])
    if plan.known:
        yield "asked for, and in recipe or lock already:"
        yield columns([(f"= {request.kind}", request.name) for request in plan.known])
    names = [it.request for it in plan.unsatisfied if it.request.kind == "dns"]
    others = [it for it in plan.unsatisfied if it.request.kind != "dns"]
    if others:
        yield "asked for, and not to be had:"
        yield columns([(f"! {it.request.kind}", it.request.name, _reason(it.why), it.line) for it in others])
    if names:
        yield "host names that were asked for:"
        yield columns([(f"? {it.name}", f"{it.count}x") for it in names])


def _beside(wish: Wish) -> str:
    return "carried beside the rest, with which it does not fit" if wish.apart else ""


def _reason(why: str) -> str:
    return why.splitlines()[0][:200]

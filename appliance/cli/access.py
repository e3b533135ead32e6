"""`crate-appliance access list|close|open`."""

from __future__ import annotations

from pathlib import Path

import click

from appliance import rules
from appliance.store import Store
from console.command import JSON_OPTION, emit


@click.group()
def access() -> None:
    """What only some may read. Everything else is open to whoever reaches the crate, unless it serves --private.

    A name is a repository (team-a/app), or a path as it is served (files/team-a/plan.pdf, apt/team-a/*).
    """


@access.command("list")
@JSON_OPTION
@click.pass_obj
def list_private(root: Path, *, as_json: bool) -> None:
    """List what is private."""
    with Store.open(root) as store:
        found = rules.private_names(store.database)
    emit(list(found), as_json, lambda: "\n".join(found) or "nothing is private")


@access.command("close")
@click.argument("pattern", metavar="NAME")
@click.pass_obj
def close(root: Path, pattern: str) -> None:
    """Let only operators, and users and tokens with a right to it, read NAME: 'team-a/*'. Takes effect at once."""
    with Store.open(root) as store:
        rules.close_name(store.database, pattern)


@access.command("open")
@click.argument("pattern", metavar="NAME")
@click.pass_obj
def open_again(root: Path, pattern: str) -> None:
    """Let everybody read NAME again, as it was given to close. Takes effect at once."""
    with Store.open(root) as store:
        rules.open_name(store.database, pattern)

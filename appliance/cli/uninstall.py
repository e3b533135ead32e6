"""`crate-appliance uninstall`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from appliance import uninstalling
from appliance.uninstalling import Uninstalled
from console.command import JSON_OPTION, emit


@click.command()
@click.option("--purge", is_flag=True, help="Delete the store as well: every crate, all that was pushed, the trust.")
@click.option("--keep", is_flag=True, help="Keep the store, and do not ask.")
@JSON_OPTION
@click.pass_obj
def uninstall(root: Path, *, purge: bool, keep: bool, as_json: bool) -> None:
    """Take the appliance off this machine: its services, its program, and what answers names and time.

    The store is deleted with --purge, or when you say so at the terminal; without a terminal it stays. The nodes keep
    their cluster: crate-appliance reset, before this, takes it off them.
    """
    if purge and keep:
        raise click.UsageError("--purge deletes the store and --keep keeps it: give one of them")
    if nodes := uninstalling.nodes_left(root):
        click.echo(f"{', '.join(nodes)} keep what deploy did there; crate-appliance reset undoes it", err=True)
    if not (purge or keep) and root.exists() and sys.stdin.isatty():
        question = f"Delete the store {root} too, with every crate, all that was pushed and the trust?"
        purge = click.confirm(question, err=True)
    found = uninstalling.uninstall(root, purge=purge)
    emit(_json(found), as_json, lambda: _text(found))


def _json(found: Uninstalled) -> dict[str, object]:
    return asdict(found) | {"store": str(found.store) if found.store else None}


def _text(found: Uninstalled) -> str:
    lines = list(found.done) or ["nothing of the appliance is installed here"]
    if found.store:
        lines.append(f"the store {found.store} stays; delete it by hand, or install again and go on with it")
    return "\n".join(lines)

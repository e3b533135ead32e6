"""`crate-appliance contributions list|remove`."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from appliance import contributing
from appliance.contributions import Contribution, every
from appliance.publishing import FOLDERS
from appliance.store import Store
from console.columns import columns
from console.command import JSON_OPTION, emit


@click.group()
def contributions() -> None:
    """What people published here, apart from what came signed with crates.

    It arrives by crate-appliance add, twine upload, uv publish, npm publish and helm cm-push; pushed images are listed
    by the registry.
    """


@contributions.command("list")
@JSON_OPTION
@click.pass_obj
def list_contributions(root: Path, *, as_json: bool) -> None:
    """List what people published, who it was, and what a crate brings by now in its place."""
    with Store.open(root) as store:
        found = every(store.database.reader)
    emit(
        [_as_json(each) for each in found],
        as_json,
        lambda: columns(map(_row, found), indent="") if found else "nobody published anything here",
    )


@contributions.command()
@click.argument("kind", type=click.Choice(tuple(FOLDERS)))
@click.argument("name")
@click.argument("version", default="")
@click.pass_obj
def remove(root: Path, kind: str, name: str, version: str) -> None:
    """Serve KIND NAME VERSION no more. gc gives its space back."""
    with Store.open(root) as store:
        contributing.remove(store, kind, name, version)


def _as_json(each: Contribution) -> dict[str, object]:
    item = each.item
    return {
        "kind": item.kind,
        "name": item.name,
        "version": item.version,
        "platform": item.platform,
        "files": [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in item.files],
        "by": each.holder,
        "added": each.added,
        "hidden": each.hidden,
    }


def _row(each: Contribution) -> tuple[str, ...]:
    when = dt.datetime.fromtimestamp(each.added, dt.UTC).strftime("%Y-%m-%d %H:%M")
    note = "a crate brings it by now" if each.hidden else ""
    return each.item.kind, each.item.name, each.item.version, each.item.platform, each.holder, when, note

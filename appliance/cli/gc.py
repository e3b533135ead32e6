"""`crate-appliance gc`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import click

from appliance.collect import GRACE, KEEP, collect
from appliance.store import Store
from console import units
from console.command import JSON_OPTION, emit
from console.progress import progress

_HOUR = timedelta(hours=1)


@click.command()
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    default=KEEP,
    show_default=True,
    help="How many generations stay, the active one among them; the others can no longer be rolled back to.",
)
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=GRACE / _HOUR,
    show_default=True,
    help="Hours for which pushed content stays although nothing refers to it yet.",
)
@click.option("--unfinished", is_flag=True, help="Drop interrupted imports too, instead of going on with them later.")
@JSON_OPTION
@click.pass_obj
def gc(root: Path, keep: int, grace: float, *, unfinished: bool, as_json: bool) -> None:
    """Drop old generations and what nothing needs any more, and give its disk space back.

    Kept generations, pushed tags with all they refer to, and what is attached to any of that (signatures, SBOMs) stay.
    Imports that were interrupted stay, too, as long as their release could still be accepted.
    """
    with Store.open(root, create=False) as store:
        gone = collect(store, keep=keep, grace=grace * _HOUR, unfinished=unfinished, progress=progress())
    emit(
        asdict(gone),
        as_json,
        lambda: (
            f"{units.size(gone.freed)} freed: {gone.generations} generations, {gone.packs} packs, {gone.blobs} blobs,"
            f" {gone.manifests} pushed manifests, {gone.imports} unfinished imports"
        ),
    )

"""`crate-appliance rollback`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from appliance import generations
from appliance.store import Store
from console.command import JSON_OPTION, emit


@click.command()
@click.argument("generation", type=click.IntRange(min=1), required=False)
@JSON_OPTION
@click.pass_obj
def rollback(root: Path, generation: int | None, as_json: bool) -> None:
    """Serve an earlier generation again: GENERATION, or the one before the active one.

    Nothing is copied or deleted, and the way back is the same command. What the lowest accepted serials are stays.
    """
    with Store.open(root, create=False) as store:
        activation = generations.rollback(store, generation)
    emit(
        asdict(activation),
        as_json,
        lambda: f"generation {activation.generation} is active: {', '.join(activation.crates)}",
    )

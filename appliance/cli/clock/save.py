"""`crate-appliance clock save`."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.names import clock
from appliance.store import Store


@click.command()
@click.pass_obj
def save(root: Path) -> None:
    """Note the time in the store. A timer does so every quarter of an hour, and the machine when it stops."""
    with Store.open(root, create=False) as store:
        click.echo(f"noted: {clock.spelled(clock.save(store))}")

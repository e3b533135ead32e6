"""`crate-appliance clock set`."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.names import clock
from appliance.store import Store


@click.command("set")
@click.argument("time")
@click.pass_obj
def set_time(root: Path, time: str) -> None:
    """Set the clock to TIME, in UTC, like "2026-11-23 12:40". It is not set to before what is known for sure."""
    confirmed = clock.parse(time)
    with Store.open(root) as store:
        clock.confirm(store, confirmed)
        clock.save(store)
    click.echo(f"it is {clock.spelled(confirmed)} now")


set = set_time  # noqa: A001 - the verb is looked up by its name

"""`crate-appliance clock restore`."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.names import clock
from appliance.store import Store

_BECAUSE = {"saved": "noted here last", "crate": "when the newest crate was made"}


@click.command()
@click.pass_obj
def restore(root: Path) -> None:
    """Set the clock forward when it is behind what is known; the machine does so when it starts. Never back."""
    with Store.open(root, create=False) as store:
        decision = clock.restore(store)
    if decision.step:
        click.echo(f"the clock is set forward to {clock.spelled(decision.time)}: {_BECAUSE[decision.because]}")
    else:
        click.echo(f"the clock is not behind: {clock.spelled(decision.time)}")

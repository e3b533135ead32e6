"""`crate-appliance clock show`."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.names import clock
from appliance.store import Store
from console.command import JSON_OPTION, emit


@click.command()
@JSON_OPTION
@click.pass_obj
def show(root: Path, *, as_json: bool) -> None:
    """Show the clock, and what else is known of the time (in UTC)."""
    with Store.open(root, create=False) as store:
        known = clock.known(store)
    decision = clock.decide(known)
    result = {
        "now": known.now,
        "saved": known.saved,
        "crate": known.crate,
        "time": decision.time,
        "because": decision.because,
    }

    def text() -> str:
        lines = [f"the clock says       {clock.spelled(known.now)}"]
        lines += [f"noted here last      {clock.spelled(known.saved)}"] if known.saved else []
        lines += [f"newest crate made    {clock.spelled(known.crate)}"] if known.crate else []
        if decision.step:
            lines.append("the clock is behind: crate-appliance clock restore sets it forward")
        return "\n".join(lines)

    emit(result, as_json, text)

"""`crate-appliance plan`."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.cli.running import node_options, only_option
from appliance.cluster.deploying import plan as make_plan
from appliance.cluster.display import watching
from appliance.cluster.lines import plan_text
from appliance.cluster.preparing import Wish
from appliance.store import Store
from console.command import JSON_OPTION, emit
from deploys.events import Event, Operation
from deploys.order import WAVES, Wave


@click.command()
@only_option
@node_options
@JSON_OPTION
@click.pass_obj
def plan(root: Path, only: tuple[Wave, ...], limit: tuple[str, ...], sudo_password: str, *, as_json: bool) -> None:
    """Show what deploy would change, node by node, with diffs. Changes nothing.

    Nodes are looked at, not touched. Secrets are masked. What depends on a step that has not been taken yet, on a fresh
    node, is told as far as it can be known.
    """
    operations: list[Operation] = []
    with Store.open(root, create=False) as store, watching() as see:

        def gather(event: Event) -> None:
            if isinstance(event, Operation):
                if event.state != "unchanged":
                    operations.append(event)
            else:
                see(event)

        record = make_plan(store, Wish("plan", only or WAVES, limit, sudo_password), gather)
    result = {
        "changes": [operation.model_dump(include=_SHOWN) for operation in operations],
        "findings": [finding.model_dump(exclude={"event"}) for finding in record.findings],
        "waves": [wave.to_json() for wave in record.waves],
    }
    emit(result, as_json, lambda: plan_text(operations, record))
    if not record.ok:
        click.get_current_context().exit(1)


_SHOWN = {"wave", "node", "name", "commands", "diff"}

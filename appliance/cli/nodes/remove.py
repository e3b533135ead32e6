"""`crate-appliance nodes remove`."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.cli.sudo import sudo_option
from appliance.cluster.display import watching
from appliance.cluster.leaving import leave
from appliance.store import Store
from console.command import JSON_OPTION, emit


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--lost", is_flag=True, help="The machine is gone for good: it need not be reset.")
@sudo_option
@JSON_OPTION
@click.pass_obj
def remove(root: Path, name: str, sudo_password: str, *, yes: bool, lost: bool, as_json: bool) -> None:
    """Take a node out of the cluster, undo on it what deploy did, and take it out of the site file in force.

    Its pods are moved to other nodes first. The last server cannot leave; crate-appliance reset takes a whole cluster
    down. A node that is off leaves the cluster all the same; with --lost it leaves the site file as well, else that
    waits until it was reset.
    """
    if not yes:
        click.confirm(f"Remove {name}? What workloads keep on it is deleted.", abort=True)
    with Store.open(root, create=False) as store, watching() as see:
        left = leave(store, name, see, sudo_password=sudo_password, lost=lost)
    emit(left.to_json(), as_json, left.text)
    if not left.unlisted:
        click.get_current_context().exit(1)

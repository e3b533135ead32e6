"""`crate-appliance client-setup`."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.certificates import WELL_KNOWN, Certificates
from appliance.client_setup import CLIENTS, Crate, client_files, client_script
from appliance.registry.contents import Contents
from appliance.store import Store
from console.command import JSON_OPTION, emit

_HELP = """Print what CLIENT needs to trust the crate and pull from it.

A shell script, to be read and then run as root over there:

\b
  crate-appliance client-setup containerd | ssh root@node sh
"""


@click.command("client-setup", help=_HELP)
@click.argument("client", type=click.Choice(sorted(CLIENTS)))
@click.option(
    "--address",
    default=f"{WELL_KNOWN}:5000",
    show_default=True,
    help="HOST:PORT by which this client reaches the crate.",
)
@JSON_OPTION
@click.pass_obj
def client_setup(root: Path, client: str, address: str, *, as_json: bool) -> None:
    with Store.open(root) as store:
        crate = Crate(
            address=address,
            authority=Certificates(store.root / "tls").ensure_authority().decode(),
            hosts=Contents(store.database).hosts(),
        )
    emit(client_files(client, crate), as_json, lambda: client_script(client, crate).rstrip("\n"))

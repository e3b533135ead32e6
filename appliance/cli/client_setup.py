"""`crate-appliance client-setup`."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.certificates import WELL_KNOWN, Certificates
from appliance.client_setup import CLIENTS, Crate, client_files, client_script
from appliance.published import apt_sources
from appliance.registry.contents import Contents
from appliance.store import Store
from console.command import JSON_OPTION, emit

_PLAIN = 8080
_HELP = """Print what CLIENT needs to trust the crate and pull from it.

A shell script, to be read and then run as root over there:

\b
  crate-appliance client-setup containerd | ssh root@node sh
  crate-appliance client-setup apt | ssh root@node sh
"""


@click.command("client-setup", help=_HELP)
@click.argument("client", type=click.Choice(sorted(CLIENTS)))
@click.option(
    "--address",
    default=f"{WELL_KNOWN}:5000",
    show_default=True,
    help="HOST:PORT by which this client reaches the crate.",
)
@click.option(
    "--plain",
    default="",
    metavar="HOST:PORT",
    help="The crate's plain port, which apt installs from.  [default: port 8080 of the same host]",
)
@JSON_OPTION
@click.pass_obj
def client_setup(root: Path, client: str, address: str, plain: str, *, as_json: bool) -> None:
    with Store.open(root) as store:
        reached = plain or f"{address.rpartition(':')[0]}:{_PLAIN}"
        crate = Crate(
            address=address,
            authority=Certificates(store.root / "tls").ensure_authority().decode(),
            hosts=Contents(store.database).hosts(),
            sources=apt_sources(store.database, f"http://{reached}"),
        )
    emit(client_files(client, crate), as_json, lambda: client_script(client, crate).rstrip("\n"))

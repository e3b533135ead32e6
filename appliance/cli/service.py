"""`crate-appliance service install`."""

from __future__ import annotations

from pathlib import Path

import click

from appliance import service as unit_file
from appliance.cli.serving import serving_options, words
from appliance.daemon import Settings
from appliance.store import Store


@click.group()
def service() -> None:
    """The daemon as a systemd service."""


@service.command()
@serving_options
@click.option("--user", default="", help="An existing account that owns the store; without it the service is root's.")
@click.option("--print", "only_print", is_flag=True, help="Print the unit and change nothing.")
@click.pass_obj
def install(root: Path, *, settings: Settings, user: str, only_print: bool) -> None:
    """Write a hardened unit that serves the store with these options, and start it now and at every boot."""
    ports = [address.port for address in (settings.listen, settings.plain) if address is not None]
    text = unit_file.unit(root, words(settings), user=user, low_ports=any(port < 1024 for port in ports))
    if only_print:
        click.echo(text, nl=False)
        return
    Store.open(root).close()
    unit_file.install(text)
    click.echo(f"{unit_file.UNIT} serves {root}; journalctl -u {unit_file.UNIT} shows what it says")

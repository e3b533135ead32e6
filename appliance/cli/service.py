"""`crate-appliance service install`."""

from __future__ import annotations

from pathlib import Path

import click

from appliance import daemon
from appliance import service as unit_file
from appliance.addresses import Address
from appliance.cli.serve import serving_options
from appliance.store import Store


@click.group()
def service() -> None:
    """The daemon as a systemd service."""


@service.command()
@serving_options
@click.option("--user", default="", help="An existing account that owns the store; without it the service is root's.")
@click.option("--print", "only_print", is_flag=True, help="Print the unit and change nothing.")
@click.pass_obj
def install(
    root: Path,
    listen: str,
    plain: str,
    names: tuple[str, ...],
    *,
    no_plain: bool,
    no_redirect: bool,
    private: bool,
    idle: float,
    user: str,
    only_print: bool,
) -> None:
    """Write a hardened unit that serves the store with these options, and start it now and at every boot."""
    options = ["--listen", listen, *(["--no-plain"] if no_plain else ["--plain", plain])]
    options += [word for name in names for word in ("--name", name)]
    options += ["--no-redirect"] * no_redirect + ["--private"] * private
    options += [] if idle == daemon.IDLE else ["--idle", f"{idle:g}"]
    ports = [Address.parse(listen).port, *([] if no_plain else [Address.parse(plain).port])]
    text = unit_file.unit(root, options, user=user, low_ports=any(port < 1024 for port in ports))
    if only_print:
        click.echo(text, nl=False)
        return
    Store.open(root).close()
    unit_file.install(text)
    click.echo(f"{unit_file.UNIT} serves {root}; journalctl -u {unit_file.UNIT} shows what it says")

"""`crate-appliance serve`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from appliance import daemon
from appliance.addresses import Address

_HELP = f"""Serve the registry and the files of the active crates until told to stop.

One HTTPS port ({daemon.LISTEN}) answers everything. A second, plain one ({daemon.PLAIN}) hands out /ca.pem, which
clients need before they can trust the first, and blobs by digest: open pulls are redirected there, because TLS is what
small boards are slow at and the digest protects the content anyway.

The certificate is issued by the crate's own authority for crate.internal, this machine's names and addresses, and
every --name. SIGHUP looks at names and addresses again. New generations are served without a reload.
"""


def serving_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how to serve; `service install` writes them into the unit."""
    for option in reversed(
        [
            click.option("--listen", default=daemon.LISTEN, show_default=True, help="HOST:PORT of the HTTPS port."),
            click.option("--plain", default=daemon.PLAIN, show_default=True, help="HOST:PORT of the plain port."),
            click.option("--no-plain", is_flag=True, help="No plain port at all."),
            click.option("--name", "names", multiple=True, help="A further host name or address of this crate."),
            click.option(
                "--no-redirect", is_flag=True, help="Send blobs over TLS too (behind NAT or in a tunnel, say)."
            ),
            click.option("--private", is_flag=True, help="Pulls need a token as well."),
            click.option(
                "--idle",
                type=click.FloatRange(min=0, min_open=True),
                default=daemon.IDLE,
                show_default=True,
                help="Seconds that a client may be silent in the middle of a transfer.",
            ),
        ]
    ):
        function = option(function)
    return function


@click.command(help=_HELP)
@serving_options
@click.option(
    "--no-tls",
    is_flag=True,
    help="Plain HTTP at --listen, behind a proxy or for tests; takes tokens from this machine only.",
)
@click.pass_obj
def serve(
    root: Path,
    listen: str,
    plain: str,
    names: tuple[str, ...],
    *,
    no_plain: bool,
    no_redirect: bool,
    private: bool,
    idle: float,
    no_tls: bool,
) -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    settings = daemon.Settings(
        listen=Address.parse(listen),
        plain=None if no_plain else Address.parse(plain),
        names=names,
        redirect=not no_redirect,
        tls=not no_tls,
        open_pulls=not private,
        idle=idle,
    )
    daemon.run(root, settings)

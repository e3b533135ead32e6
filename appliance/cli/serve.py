"""`crate-appliance serve`."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import click

from appliance import daemon
from appliance.cli.serving import serving_options

_HELP = f"""Serve the registry and the files of the active crates until told to stop.

One HTTPS port ({daemon.LISTEN}) answers everything. A second, plain one ({daemon.PLAIN}) hands out /ca.pem, which
clients need before they can trust the first, and blobs by digest: open pulls are redirected there, because TLS is what
small boards are slow at and the digest protects the content anyway.

The certificate is issued by the crate's own authority for crate.internal, this machine's names and addresses, and
every --name. SIGHUP looks at names and addresses again. New generations are served without a reload.
"""


@click.command(help=_HELP)
@serving_options
@click.option(
    "--no-tls",
    is_flag=True,
    help="Plain HTTP at --listen, behind a proxy or for tests; takes tokens from this machine only.",
)
@click.pass_obj
def serve(root: Path, *, settings: daemon.Settings, no_tls: bool) -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    daemon.run(root, replace(settings, tls=not no_tls))

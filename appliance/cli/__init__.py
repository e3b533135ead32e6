"""The command line of the crate, `crate-appliance`: a verb a module, each calling one library function."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.cli.client_setup import client_setup
from appliance.cli.gc import gc
from appliance.cli.install import install
from appliance.cli.rollback import rollback
from appliance.cli.serve import serve
from appliance.cli.service import service
from appliance.cli.status import status
from appliance.cli.token import token
from appliance.cli.trust import trust
from appliance.cli.verify import verify
from appliance.store import DEFAULT_ROOT
from console import command
from console.version import VERSION

PROGRAM = "crate-appliance"
_HELP = """Keep a crate: install what arrived on a stick, serve it, and see what it serves.

\b
A first installation:
  crate-appliance trust add release.pub --as release
  crate-appliance install /media/stick/site-202611230900.crate*
  crate-appliance serve
"""


@click.group(help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION)
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_ROOT,
    show_default=True,
    help="The folder that holds the store; with another one, everything here runs without root.",
)
@click.pass_context
def group(context: click.Context, root: Path) -> None:
    context.obj = root


for verb in (trust, install, verify, serve, status, rollback, gc, token, client_setup, service):
    group.add_command(verb)


def main() -> None:
    command.run(group, PROGRAM)

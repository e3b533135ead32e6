"""The command line of the crate, `crate-appliance`: a verb a module, each calling one library function."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.store import DEFAULT_ROOT
from console import command
from console.verbs import Verbs
from console.version import VERSION

PROGRAM = "crate-appliance"
_VERBS = (
    "trust",
    "install",
    "verify",
    "serve",
    "status",
    "doctor",
    "backup",
    "restore",
    "requests",
    "rollback",
    "gc",
    "users",
    "tokens",
    "access",
    "certificate",
    "add",
    "contributions",
    "export",
    "client-setup",
    "service",
    "site",
    "nodes",
    "clock",
    "plan",
    "deploy",
    "kubeconfig",
    "reset",
    "uninstall",
)
_HELP = """Keep a crate: install what arrived on a stick, serve it, and see what it serves.

\b
A first installation:
  crate-appliance trust add release.pub --as release
  crate-appliance install /media/stick/site-202611230900.crate*
  crate-appliance serve

\b
A cluster of the machines around it:
  crate-appliance site init
  crate-appliance install /media/stick --site site.toml
"""


@click.group(
    cls=Verbs,
    package=__name__,
    verbs=_VERBS,
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"]},
)
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


def main() -> None:
    command.run(group, PROGRAM)

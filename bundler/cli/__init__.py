"""The command line of the connected side, `crate-bundle`: a verb a module, each calling one library function."""

from __future__ import annotations

import click

from console import command
from console.verbs import Verbs
from console.version import VERSION

PROGRAM = "crate-bundle"
_HELP = """Bring container images, a k3s release and files into one signed archive.

\b
A first crate:
  crate-bundle init
  crate-bundle keygen release.key
  crate-bundle build --out /media/stick --key release.key --split fat32

\b
Exit codes: 0 done, 1 failed, 2 wrong use or wrong input, 3 refused for trust.
Interrupted, the same command goes on where it was.
"""
_VERBS = ("init", "lock", "build", "inspect", "verify", "keygen", "sign", "cache")


@click.group(
    cls=Verbs,
    package=__name__,
    verbs=_VERBS,
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(VERSION)
def group() -> None:
    pass


def main() -> None:
    command.run(group, PROGRAM)

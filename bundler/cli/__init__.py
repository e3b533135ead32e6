"""The command line of the connected side, `crate-bundle`: a verb a module, each calling one library function."""

from __future__ import annotations

from importlib import import_module

import click

from console import command
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


class _Verbs(click.Group):
    """Loads a verb when it is called for: looking into a crate does not wait for an HTTP client."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        verb: click.Command = getattr(import_module(f"{__name__}.{cmd_name}"), cmd_name)
        return verb


@click.group(cls=_Verbs, help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION)
def group() -> None:
    pass


def main() -> None:
    command.run(group, PROGRAM)

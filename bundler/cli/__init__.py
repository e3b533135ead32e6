"""The command line of the connected side, `crate-bundle`: a verb a module, each calling one library function."""

from __future__ import annotations

import click

from bundler.cli.build import build
from bundler.cli.cache import cache
from bundler.cli.init import init
from bundler.cli.inspect import inspect
from bundler.cli.keygen import keygen
from bundler.cli.lock import lock
from bundler.cli.sign import sign
from bundler.cli.verify import verify
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


@click.group(help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION)
def group() -> None:
    pass


for _verb in (init, lock, build, inspect, verify, keygen, sign, cache):
    group.add_command(_verb)


def main() -> None:
    command.run(group, PROGRAM)

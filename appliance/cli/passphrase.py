"""The passphrase of a backup: from a file, or typed; never in a command line, which everybody on the machine sees."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

SHORTEST = 10  # characters; a backup holds every key of the crate, and can be guessed at in peace

passphrase_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="The first line of FILE is the passphrase; without it, it is asked for.",
)


def passphrase(file: Path | None, *, new: bool) -> str:
    """`new` asks for it twice, and wants one that is worth something."""
    if file is not None:
        text = next(iter(file.read_text().splitlines()), "")
    elif sys.stdin.isatty():
        text = click.prompt("Passphrase of the backup", hide_input=True, confirmation_prompt=new, err=True)
    else:
        raise click.UsageError("there is no terminal to ask for the passphrase: give --passphrase-file FILE")
    if new and len(text) < SHORTEST:
        raise click.UsageError(f"a passphrase has {SHORTEST} characters at least; a few words in a row do")
    return text

"""`crate-bundle sign`: one more signature on a finished crate."""

from __future__ import annotations

from pathlib import Path

import click

from archive.signing import append_signature
from bundler.cli.arguments import CRATES
from console.signing import KEYS, signers


@click.command(short_help="Add a signature to a finished crate.")
@CRATES
@KEYS
def sign(crates: tuple[Path, ...], keys: tuple[Path, ...]) -> None:
    """Sign CRATE… once more, in place: for policies that ask for several people. Nothing else in it changes.

    Look at it first (`crate-bundle inspect`, `verify`): whoever signs vouches for all of it.
    """
    for signer in signers(keys):
        done = append_signature(crates, signer)
        click.echo(f"{'signed by' if done.added else 'was signed before by'} {done.public.fingerprint}")

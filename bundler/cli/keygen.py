"""`crate-bundle keygen`: a key to sign crates with."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from archive import signing


@click.command(short_help="Make a key to sign crates with.")
@click.argument("keyfile", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--comment", default="buzzcrate", show_default=True, help="Stands at the end of the public key's line.")
@click.option("--no-passphrase", is_flag=True, help="Do not ask for one. Without a terminal nothing is asked anyway.")
def keygen(keyfile: Path, comment: str, no_passphrase: bool) -> None:
    """Write an Ed25519 key pair to KEYFILE and KEYFILE.pub; never over an existing one.

    It is an ordinary SSH key. One that you have already will do as well, on a security key too.
    """
    passphrase = ""
    if sys.stdin.isatty() and not no_passphrase:
        passphrase = str(
            click.prompt("passphrase (empty for none)", default="", hide_input=True, confirmation_prompt=True, err=True)
        )
    public = signing.generate(keyfile, passphrase, comment)
    click.echo(
        f"wrote {keyfile} (keep it secret) and {keyfile}.pub\n{public.fingerprint}\n"
        f"next: bring {keyfile}.pub to the crate, another way than the crates it signs, and there\n"
        f"  crate-appliance trust add {keyfile.name}.pub --as release"
    )

"""Keys that crates are signed with, as options say them on either side."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

from archive.errors import Problem, WrongPassphrase
from archive.signing import Signer, load_signer

KEYS = click.option(
    "--key",
    "keys",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="KEYFILE",
    help="An Ed25519 SSH key: a private key file, or the .pub file of a key that an agent or a security key holds. "
    "Several sign one after another.",
)
PASSPHRASE = "BUZZCRATE_PASSPHRASE"  # noqa: S105 - the name of a variable


class SignerMissing(Problem):
    """Something is to be signed, and no usable key was named."""

    exit_code = 2


def signers(keys: tuple[Path, ...]) -> list[Signer]:
    """A signer for each key file. Raises `SignerMissing` and what loading raises."""
    if not keys:
        raise SignerMissing(
            "a crate is signed, and no --key says with what", hint="crate-bundle keygen release.key makes a key"
        )
    loaded = []
    for path in keys:
        try:
            loaded.append(load_signer(path, _passphrase(path)))
        except FileNotFoundError as error:
            raise SignerMissing(f"the key {path} is not there", hint=f"crate-bundle keygen {path} makes one") from error
        except OSError as error:
            raise SignerMissing(
                f"the key {path} cannot be read: {error.strerror}",
                hint="name a key file, or a .pub file",
            ) from error
        except WrongPassphrase as error:
            error.hint = error.hint and f"set {PASSPHRASE}, or {error.hint}"
            raise
    return loaded


def _passphrase(path: Path) -> Callable[[], str] | None:
    """Asks on a terminal; elsewhere the environment may say it."""
    if PASSPHRASE in os.environ:
        return lambda: os.environ[PASSPHRASE]
    if sys.stdin.isatty():
        return lambda: str(click.prompt(f"passphrase of {path}", hide_input=True, err=True))
    return None

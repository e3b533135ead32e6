"""Arguments that several verbs take."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import click

from archive.errors import WrongPassphrase
from archive.limits import FAT32_PART
from archive.signing import Signer, load_signer
from bundler.errors import SignerMissing

RECIPE = click.argument("recipe", type=click.Path(path_type=Path, dir_okay=False), default="bundle.toml")
CRATES = click.argument("crates", type=click.Path(path_type=Path, exists=True), nargs=-1, required=True)
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
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)


class Size(click.ParamType[int]):
    """Bytes: `700M`, `4GiB`, `1048576`. Units are binary."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = _SIZE.fullmatch(str(value).strip())
        if not found or not (size := int(float(found[1]) * _UNITS[found[2].upper()])):
            self.fail(f"{value!r} is not a size; write it like 700M or 4G", param, ctx)
        return size


class PartSize(Size):
    """What `--split` takes: a size, or the name of the file system that parts must fit on."""

    name = "fat32|size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return FAT32_PART if value == "fat32" else super().convert(value, param, ctx)


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

"""`crate-bundle build`: from a recipe to a signed archive."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import click

from archive.signing import Signer
from bundler import lockfile, packing
from bundler.cli.arguments import KEYS, RECIPE, PartSize, signers
from bundler.packing import Built
from bundler.recipe import Recipe
from console import units
from console.command import JSON_OPTION, emit
from console.progress import progress


@click.command(short_help="Fetch what the lock names and write the signed archive.")
@RECIPE
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="The folder to write the crate to."
)
@KEYS
@click.option(
    "--split",
    type=PartSize(),
    metavar="fat32|SIZE",
    help="Write parts of at most this size: fat32 for sticks as they are sold, or a size like 700M.",
)
@click.option("--locked", is_flag=True, help="Resolve nothing: use bundle.lock, or fail.")
@JSON_OPTION
def build(recipe: Path, *, out: Path, keys: tuple[Path, ...], split: int | None, locked: bool, as_json: bool) -> None:
    """Build the crate of RECIPE (bundle.toml) into OUT/<name>-<serial>.crate, or .crate.000 and so on.

    Uses bundle.lock beside the recipe, and writes it first when there is none. What was fetched before is not fetched
    again; interrupted, the same command goes on.
    """
    read = Recipe.load(recipe)
    signing = signers(keys)
    built = packing.build(read, out, signing, progress(), part_size=split, locked=locked)
    emit(_to_json(built, signing, recipe), as_json, lambda: _text(built, signing, recipe, keys))


def _to_json(built: Built, signing: list[Signer], recipe: Path) -> dict[str, Any]:
    release = built.written.release
    return {
        "name": release.name,
        "channel": release.channel,
        "serial": release.serial,
        "digest": hashlib.sha256(release.to_bytes()).hexdigest(),
        "paths": [str(path) for path in built.written.paths],
        "sizes": [path.stat().st_size for path in built.written.paths],
        "size": built.written.size,
        "signed_by": [signer.public.fingerprint for signer in signing],
        "lock": str(lockfile.path_for(recipe)),
        "fetched": built.fetched.fetched,
        "reused": built.fetched.reused,
    }


def _text(built: Built, signing: list[Signer], recipe: Path, keys: tuple[Path, ...]) -> str:
    written = built.written
    lines = [f"{path}  {units.size(path.stat().st_size)}" for path in written.paths]
    if len(written.paths) > 1:
        lines.append(f"{len(written.paths)} parts, {units.size(written.size)} in all")
    if built.locked_now:
        lines.append(f"locked in {lockfile.path_for(recipe)}: keep it with the recipe to build the same again")
    public = keys[0] if keys[0].suffix == ".pub" else f"{keys[0]}.pub"
    lines += [
        f"{written.release.name} {written.release.serial}, channel {written.release.channel}",
        f"fetched {units.size(built.fetched.fetched)}, {units.size(built.fetched.reused)} were in the cache",
        *(f"signed by {signer.public.fingerprint}" for signer in signing),
        "next, on the crate:",
        f"  crate-appliance trust add {public} --as release     (once; bring that file another way than the crate)",
        f"  crate-appliance install {written.paths[0].name.removesuffix('.000')}" + "*" * (len(written.paths) > 1),
    ]
    return "\n".join(lines)

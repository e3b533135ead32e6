"""`crate-bundle build`: from a recipe to a signed archive."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import click

from archive.limits import FAT32_PART
from archive.signing import Signer
from bundler import lockfile, locking, packing, requesting
from bundler.cli import crate_files
from bundler.cli.arguments import RECIPE
from bundler.cli.crate_files import CRATE_KEY, HAVE, REQUESTS
from bundler.crate_files import CrateFile
from bundler.packing import Built
from bundler.recipe import Recipe
from bundler.stick import layout
from bundler.stick.layout import Laid
from bundler.wishing import Plan
from console import units
from console.command import JSON_OPTION, emit
from console.progress import progress
from console.signing import KEYS, signers
from console.sizes import PartSize

_FOLDER = click.Path(path_type=Path, file_okay=False)


@click.command(short_help="Fetch what the lock names and write the signed archive.")
@RECIPE
@click.option("--out", type=_FOLDER, help="The folder to write the crate to.")
@click.option(
    "--stick",
    type=_FOLDER,
    help="Instead: a stick that sets up a board by itself, with install.sh and START-HERE.txt, in parts for FAT32.",
)
@click.option(
    "--card",
    type=_FOLDER,
    help="With --stick: where the card goes, which vouches for the stick and travels another way.  "
    "[default: NAME-card beside the recipe]",
)
@KEYS
@click.option(
    "--split",
    type=PartSize(),
    metavar="fat32|SIZE",
    help="Write parts of at most this size: fat32 for sticks as they are sold, or a size like 700M.",
)
@click.option("--locked", is_flag=True, help="Resolve nothing: use bundle.lock, or fail.")
@REQUESTS
@HAVE
@CRATE_KEY
@JSON_OPTION
def build(
    recipe: Path,
    *,
    out: Path | None,
    stick: Path | None,
    card: Path | None,
    keys: tuple[Path, ...],
    split: int | None,
    locked: bool,
    requests_file: Path | None,
    have_file: Path | None,
    crate_key: str,
    as_json: bool,
) -> None:
    """Build the crate of RECIPE (bundle.toml) into OUT/<name>-<serial>.crate, or .crate.000 and so on.

    Uses bundle.lock beside the recipe, and writes it first when there is none. What was fetched before is not fetched
    again; interrupted, the same command goes on. With --stick the recipe needs an [appliance].

    With --have the crate is a difference, called <name>-<serial>-difference.crate: it installs only where that file
    came from, or where all is that it leaves out.
    """
    folder = out or stick
    if folder is None or (out and stick):
        raise click.UsageError("say where to: either --out DIR for the crate alone, or --stick DIR for a whole stick")
    if card and not stick:
        raise click.UsageError("--card goes with --stick")
    if requests_file and locked:
        raise click.UsageError("--locked resolves nothing, and --requests adds to the lock")
    if crate_key and not (requests_file or have_file):
        raise click.UsageError("--crate-key goes with --requests or --have")
    asking, holding = crate_files.load(requests_file, crate_key), crate_files.load(have_file, crate_key)
    for file in {file.path: file for file in (asking, holding) if file}.values():
        crate_files.show_file(file)
    read = Recipe.load(recipe)
    signing = signers(keys)
    if stick:
        card = card or layout.card_folder(read)
        shape = packing.DIFFERENCE if holding else ""
        layout.check(read, packing.usable_lock(read, locked=locked), stick, card, shape=shape)
        split = split or FAT32_PART
    plan = _add_requests(read, asking) if asking else None
    have = holding.export if holding else None
    built = packing.build(read, folder, signing, progress(), part_size=split, locked=locked, have=have)
    laid = layout.lay(built, stick, card, [one.public.fingerprint for one in signing]) if stick and card else None
    result = {**_to_json(built, signing, recipe, laid), **(crate_files.plan_json(plan) if plan else {})}
    emit(result, as_json, lambda: _text(built, signing, recipe, keys, laid))


def _add_requests(recipe: Recipe, file: CrateFile) -> Plan:
    """The lock is made, or made again with what is new; the rest of it stays."""
    before = packing.usable_lock(recipe, locked=False)
    made = asyncio.run(
        requesting.lock(
            recipe, before, progress(), requests=file.export.requests, keep=True, show=crate_files.show_plan
        )
    )
    if made.locked.changed:
        requesting.check_serial(made.locked.lock, file.export)
        locking.write(made.locked.lock, recipe)
    return made.plan


def _to_json(built: Built, signing: list[Signer], recipe: Path, laid: Laid | None) -> dict[str, Any]:
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
        "left_out": {
            "blobs": len(built.left_out.digests),
            "size": built.left_out.size,
            "base": [base.to_json() for base in built.left_out.base],
        },
        "card": str(laid.card) if laid else None,
    }


def _text(built: Built, signing: list[Signer], recipe: Path, keys: tuple[Path, ...], laid: Laid | None) -> str:
    written = built.written
    lines = [f"{path}  {units.size(path.stat().st_size)}" for path in written.paths]
    if len(written.paths) > 1:
        lines.append(f"{len(written.paths)} parts, {units.size(written.size)} in all")
    if built.locked_now:
        lines.append(f"locked in {lockfile.path_for(recipe)}: keep it with the recipe to build the same again")
    if built.left_out.digests:
        there = ", ".join(f"{base.name} {base.serial}" for base in built.left_out.base if base.name)
        lines.append(
            f"left out {units.size(built.left_out.size)} in {len(built.left_out.digests)} blobs, which the crate holds"
            + (f" since {there}" if there else "")
        )
    public = keys[0] if keys[0].suffix == ".pub" else f"{keys[0]}.pub"
    lines += [
        f"{written.release.name} {written.release.serial}, channel {written.release.channel}",
        f"fetched {units.size(built.fetched.fetched)}, {units.size(built.fetched.reused)} were in the cache",
        *(f"signed by {signer.public.fingerprint}" for signer in signing),
    ]
    if laid:
        lines += [
            f"{laid.folder} is ready; START-HERE.txt on it says how to go on",
            f"the card is in {laid.card}: card.txt, card.svg, card.png; bring it another way than the stick",
        ]
        return "\n".join(lines)
    lines += [
        "next, on the crate:",
        f"  crate-appliance trust add {public} --as release     (once; bring that file another way than the crate)",
        f"  crate-appliance install {written.paths[0].name.removesuffix('.000')}" + "*" * (len(written.paths) > 1),
    ]
    return "\n".join(lines)

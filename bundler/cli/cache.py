"""`crate-bundle cache`: what was fetched and kept."""

from __future__ import annotations

import click

from bundler.cache import Cache, default_root
from console import units
from console.command import JSON_OPTION, emit
from console.sizes import Size

_DAY = 24 * 3600.0


@click.group(invoke_without_command=True, short_help="Show or prune what was fetched and kept.")
@click.pass_context
def cache(context: click.Context) -> None:
    """The cache holds every blob ever fetched, for all crates; $XDG_CACHE_HOME says where. Deleting it is safe."""
    if context.invoked_subcommand is None:
        context.invoke(info)


@cache.command(short_help="Where it is and how large.")
@JSON_OPTION
def info(as_json: bool = False) -> None:
    """Show where the cache is and what it takes."""
    held = Cache(default_root())
    size = held.size()
    emit({"path": str(held.root), "size": size}, as_json, lambda: f"{held.root}  {units.size(size)}")


@cache.command(short_help="Remove what has not been used lately.")
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="DAYS",
    help="Spare what was used in the last so many days; 0 spares nothing.",
)
@click.option("--max-size", type=Size(), metavar="SIZE", help="Stop as soon as the cache is no larger than this.")
@JSON_OPTION
def prune(older_than: float, max_size: int | None, as_json: bool) -> None:
    """Remove blobs, longest unused first. A build that is running is waited for by you, not broken."""
    pruned = Cache(default_root()).prune(older_than=older_than * _DAY, max_size=max_size)
    emit(
        {"blobs": pruned.blobs, "size": pruned.size},
        as_json,
        lambda: f"removed {pruned.blobs} blobs, {units.size(pruned.size)}",
    )

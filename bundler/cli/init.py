"""`crate-bundle init`: a recipe to begin with."""

from __future__ import annotations

from pathlib import Path

import click

from bundler import starter
from bundler.cli.arguments import RECIPE


@click.command(short_help="Write a recipe to begin with.")
@RECIPE
def init(recipe: Path) -> None:
    """Write RECIPE (bundle.toml): one small image, and every other section explained in comments.

    An existing file is never overwritten.
    """
    starter.write(recipe)
    click.echo(f"wrote {recipe}\nnext: change it to your needs, then crate-bundle lock {recipe}")

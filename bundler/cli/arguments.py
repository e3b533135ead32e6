"""Arguments that several verbs take."""

from __future__ import annotations

from pathlib import Path

import click

RECIPE = click.argument("recipe", type=click.Path(path_type=Path, dir_okay=False), default="bundle.toml")
CRATES = click.argument("crates", type=click.Path(path_type=Path, exists=True), nargs=-1, required=True)

"""`crate-appliance nodes`."""

from __future__ import annotations

import click

from console.verbs import Verbs


@click.group(cls=Verbs, package=__name__, verbs=("add", "list", "pin", "check", "remove"))
def nodes() -> None:
    """The machines of the site: add them to the site file, get to know them, check that they can be worked on.

    The site file is the copy in force in the store, site.toml in this folder before the first installation, or what
    --site names.
    """

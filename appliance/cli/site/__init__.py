"""`crate-appliance site`."""

from __future__ import annotations

import click

from console.verbs import Verbs


@click.group(cls=Verbs, package=__name__, verbs=("init", "check"))
def site() -> None:
    """Say which machines there are and what they shall become: the site file.

    crate-appliance install CRATE --site FILE makes it so; crate-appliance nodes adds machines and checks them.
    """

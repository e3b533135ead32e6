"""`crate-appliance clock`."""

from __future__ import annotations

import click

from console.verbs import Verbs


@click.group(cls=Verbs, package=__name__, verbs=("show", "set", "save", "restore"))
def clock() -> None:
    """Keep the time on a machine whose clock has no battery.

    After a power cut it begins at the latest time that is known: what was noted last, or when the newest crate was
    made. Somebody with a watch can say better: crate-appliance clock set "2026-11-23 12:40".
    """

"""`crate-appliance site check`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from appliance.site.model import Site
from console.columns import columns
from console.command import JSON_OPTION, emit


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default="site.toml")
@click.option("--elsewhere", is_flag=True, help="This machine is not the appliance: leave out whether it could be.")
@JSON_OPTION
def check(file: Path, *, elsewhere: bool, as_json: bool) -> None:
    """Look a site file over, and show what it comes to. Nothing is connected to, nothing changed.

    FILE is site.toml in this folder unless you name another. Mistakes are named with their line.
    """
    site = Site.load(file)
    if not elsewhere:
        site.require_here()
    emit(_json(site), as_json, lambda: "\n".join(_text(site)))


def _json(site: Site) -> dict[str, object]:
    return {
        "name": site.name,
        "address": site.address,
        "network": str(site.network),
        "domain": site.domain,
        "apps": site.apps,
        "profiles": list(site.cluster.profiles),
        "nodes": [
            {"name": one.name, "address": one.address, "role": one.role, "local": one.local} for one in site.nodes
        ],
    }


def _text(site: Site) -> Iterator[str]:
    yield f"{site.path} is sound: {site.name}, {len(site.nodes)} nodes on {site.network}"
    yield columns(
        (one.name, one.address, one.role, f"{one.name}.{site.domain}", "the appliance itself" if one.local else "")
        for one in site.nodes
    )
    yield f"applications: *.apps.{site.domain} at {site.apps}"
    yield f"profiles: {', '.join(site.cluster.profiles) or 'none'}"

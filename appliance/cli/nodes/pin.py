"""`crate-appliance nodes pin`."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.cli.nodes.asking import asks, chosen, meeting_options, path_of, site_option
from appliance.site.folder import SiteFolder
from appliance.site.meeting import meet
from appliance.site.model import Site

_HELP = """Get to know the nodes of the site file, or those NAMEd: pin their host keys, install the site's ssh key.

For nodes that somebody wrote into the file by hand, and for one that was set up again and has another host key now.
What is pinned and accepted already is left as it is.
"""


@click.command(help=_HELP)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@meeting_options
@site_option
@click.pass_obj
def pin(root: Path, names: tuple[str, ...], fingerprints: tuple[str, ...], file: Path | None) -> None:
    folder = SiteFolder(root)
    site = Site.load(path_of(folder, file), draft=True)
    whom = asks(fingerprints)
    for node in chosen(site, names):
        (met,) = meet(site, folder, [node], whom)
        said = "pinned" if met.pinned else "as pinned before"
        key = "installed" if met.installed else "accepted already"
        click.echo(f"{node.name} ({node.address}): host key {met.fingerprint} {said}; the site's key is {key}")

"""`crate-appliance deploy`."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.cli.nodes.asking import Terminal
from appliance.cli.running import carry_out, node_options, only_option
from appliance.cluster.hosting import answer, host
from appliance.cluster.preparing import Wish
from appliance.site.folder import SiteFolder
from appliance.site.model import Site
from appliance.store import Store
from console.command import JSON_OPTION
from deploys.order import WAVES, Wave

_HELP = """Make the nodes of the site what the site file says, from the active crates.

\b
Six waves, each on all nodes before the next:
  preflight  looks at every node, and says what stands in the way
  base       names, time, package sources, what Kubernetes needs of a kernel
  server     k3s on the servers, one after the other where it is an upgrade
  agents     k3s on the agents
  cluster    the profiles of the site
  verify     every node ready, every image from the crate

What is so already is left alone: running it again changes nothing. A node that fails or is off is reported and left
out, the others go on, and the next run picks it up. Interrupted, it goes on where it was. What was done is kept as a
receipt in the store, below site/receipts.
"""


@click.command(help=_HELP)
@click.option(
    "--site",
    "site_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Put this site file in force first, in place of the one that was.",
)
@only_option
@node_options
@JSON_OPTION
@click.pass_obj
def deploy(
    root: Path,
    *,
    site_file: Path | None,
    only: tuple[Wave, ...],
    limit: tuple[str, ...],
    sudo_password: str,
    as_json: bool,
) -> None:
    def say(line: str) -> None:
        click.echo(line, err=True)

    wish = Wish("deploy", only or WAVES, limit, sudo_password)
    with Store.open(root, create=False) as store:
        if site_file is not None:
            host(store, Site.load(site_file), Terminal(), say)
        elif "base" in wish.waves:
            answer(store, SiteFolder(root).in_force(), say)
    carry_out(root, wish, as_json=as_json)

"""`crate-appliance reset`."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.cli.running import carry_out
from appliance.cli.sudo import sudo_option
from appliance.cluster.preparing import Wish
from appliance.site.folder import SiteFolder
from appliance.site.model import Site
from console.command import JSON_OPTION


@click.command()
@click.option("--node", "nodes", multiple=True, metavar="NODE", help="This node only; may be given several times.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@sudo_option
@JSON_OPTION
@click.pass_obj
def reset(root: Path, nodes: tuple[str, ...], sudo_password: str, *, yes: bool, as_json: bool) -> None:
    """Take k3s off the nodes, and undo what deploy did to them.

    Files that deploy replaced are put back as they were before the first time. What the cluster's workloads kept on the
    nodes is deleted with it. The appliance itself keeps its crates and goes on serving.
    """
    site = SiteFolder(root).in_force(draft=True)
    if not yes:
        click.confirm(_question(site, nodes), abort=True)
    carry_out(root, Wish("reset", limit=nodes, sudo_password=sudo_password), as_json=as_json)


def _question(site: Site, nodes: tuple[str, ...]) -> str:
    names = nodes or tuple(node.name for node in site.nodes)
    servers = [node.name for node in site.nodes if node.role == "server"]
    lost = " No server is left then: the cluster and everything in it is gone." if {*servers} <= {*names} else ""
    return f"Reset {', '.join(names)} of {site.name}? What workloads keep there is deleted.{lost}"

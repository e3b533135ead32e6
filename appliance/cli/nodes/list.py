"""`crate-appliance nodes list`."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.cli.nodes.asking import path_of, site_option
from appliance.site.folder import SiteFolder
from appliance.site.known_hosts import KnownHosts
from appliance.site.model import Site
from console.columns import columns
from console.command import JSON_OPTION, emit


@click.command("list")
@site_option
@JSON_OPTION
@click.pass_obj
def list_nodes(root: Path, file: Path | None, *, as_json: bool) -> None:
    """List the machines of the site file, with the host keys that are pinned for them. Nothing is connected to."""
    folder = SiteFolder(root)
    site = Site.load(path_of(folder, file), draft=True)
    known = KnownHosts(folder)
    pinned = {node.name: key.fingerprint if (key := known.pinned(node)) else "" for node in site.nodes}
    result = [
        {
            "name": node.name,
            "address": node.address,
            "port": node.port,
            "role": node.role,
            "labels": dict(node.labels),
            "taints": [*node.taints],
            "host_key": pinned[node.name],
        }
        for node in site.nodes
    ]

    def text() -> str:
        rows = [(node.name, node.address, node.role, pinned[node.name] or "not met yet") for node in site.nodes]
        return columns(rows, indent="") if rows else "no nodes yet; crate-appliance nodes add NAME ADDRESS adds one"

    emit(result, as_json, text)


list = list_nodes  # noqa: A001 - the verb is looked up by its name

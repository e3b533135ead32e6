"""`crate-appliance kubeconfig`."""

from __future__ import annotations

from pathlib import Path

import click

from appliance import disk
from appliance.cluster.kubeconfig import kubeconfig as make_kubeconfig
from appliance.site.folder import SiteFolder


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Write it to this file, which only you may read, instead of printing it.",
)
@click.pass_obj
def kubeconfig(root: Path, out: Path | None) -> None:
    """Print the cluster's kubeconfig, for kubectl on any machine of the crate's network.

    Whoever has it is the cluster's administrator. It names the first server by its address, and brings the cluster's
    authority along.
    """
    text = make_kubeconfig(SiteFolder(root))
    if out is None:
        click.echo(text, nl=False)
        return
    disk.write_private(out.absolute(), text.encode())
    click.echo(f"{out} is for your eyes only; try kubectl --kubeconfig {out} get nodes")

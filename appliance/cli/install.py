"""`crate-appliance install`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance import service
from appliance.cli.sudo import sudo_option
from appliance.installing import Installed
from appliance.installing import install as install_crates
from appliance.store import Store
from console import units
from console.command import JSON_OPTION, emit
from console.progress import progress

if TYPE_CHECKING:
    from appliance.site.model import Site


@click.command()
@click.argument("crates", nargs=-1, required=True, metavar="CRATE...", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--site",
    "site_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Then make the machines that this file names a cluster.",
)
@sudo_option
@JSON_OPTION
@click.pass_obj
def install(root: Path, crates: tuple[Path, ...], site_file: Path | None, sudo_password: str, *, as_json: bool) -> None:
    """Verify crates, bring them into the store and serve what is in them.

    CRATE is a .crate file, its parts (.crate.000 and so on, in any order and from several folders), or a folder that
    holds them. Interrupted, or with a part missing or damaged, it keeps what is sound: run it again and it goes on.
    A running daemon serves the new content at once; until then it serves the old. A service that is installed and does
    not run is started.

    With --site it is all that there is to do: the crates are installed, a service is made to serve them (as root, with
    systemd), the appliance answers names and time, and what crate-appliance deploy does is done.
    """
    site = site_here(site_file) if site_file else None
    with Store.open(root) as store:
        installed = install_crates(store, crates, progress())
        served = store.served() or service.start(root)
    if site is not None:
        deploy_site(root, site, installed, sudo_password, as_json=as_json)
        return
    emit({**_json(installed), "served": served}, as_json, lambda: _text(installed, served=served))


def site_here(file: Path) -> Site:
    """The site in `file`, looked at before anything else is done. Raises `SiteInvalid`, `NotHere`."""
    from appliance.site.model import Site  # noqa: PLC0415 - what only --site needs takes its time to load

    site = Site.load(file)
    site.require_here()
    return site


def deploy_site(root: Path, site: Site, installed: Installed, sudo_password: str, *, as_json: bool) -> None:
    """All that comes after the crates are active."""
    from appliance.cli.nodes.asking import Terminal  # noqa: PLC0415 - as above
    from appliance.cli.running import carry_out  # noqa: PLC0415
    from appliance.cluster.hosting import host  # noqa: PLC0415
    from appliance.cluster.preparing import Wish  # noqa: PLC0415

    def say(line: str) -> None:
        click.echo(line, err=True)

    say(_text(installed, served=True))
    with Store.open(root) as store:
        host(store, site, Terminal(), say)
    carry_out(root, Wish(sudo_password=sudo_password), as_json=as_json, more=_json(installed))


def _json(installed: Installed) -> dict[str, object]:
    return {
        "generation": installed.activation.generation,
        "changed": installed.activation.changed,
        "active": list(installed.activation.crates),
        "crates": [
            {
                "name": imported.release.name,
                "serial": imported.release.serial,
                "signed_by": [signature.principal for signature in imported.verdict.signatures],
                "written": imported.written,
                "reused": imported.reused,
                "expired": imported.expired,
            }
            for imported in installed.imports
        ],
    }


def _text(installed: Installed, *, served: bool) -> str:
    lines = []
    for imported in installed.imports:
        who = ", ".join(signature.principal for signature in imported.verdict.signatures)
        lines.append(
            f"{imported.release.name} {imported.release.serial}, signed by {who}: "
            f"{units.size(imported.written)} imported, {units.size(imported.reused)} were here already"
        )
        if imported.expired:
            lines.append(f"warning: {imported.release.name} {imported.release.serial} is past its expiry date")
    activation = installed.activation
    state = "is active now" if activation.changed else "was active already"
    lines.append(f"generation {activation.generation} {state}: {', '.join(activation.crates)}")
    if not served:
        lines.append("nothing serves it yet: crate-appliance serve does, crate-appliance service install at every boot")
    return "\n".join(lines)

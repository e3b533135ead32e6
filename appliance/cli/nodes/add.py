"""`crate-appliance nodes add`."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.cli.nodes.asking import asks, meeting_options, path_of, site_option
from appliance.site import editing
from appliance.site.errors import SiteInvalid
from appliance.site.folder import SiteFolder
from appliance.site.meeting import meet
from appliance.site.model import Site

_HELP = """Get to know a machine and write it into the site file, whose comments stay as they are.

Its host key is shown, to be compared with what it says itself, and pinned: from then on nobody else is believed to be
that node. Then the site's ssh key is tried, and installed with the account's password where it is not known yet.

\b
  crate-appliance nodes add n4 10.77.0.14
  crate-appliance nodes add n4 10.77.0.14 --role server --label disk=ssd --fingerprint SHA256:...
"""


@click.command(help=_HELP)
@click.argument("name")
@click.argument("address")
@click.option("--role", type=click.Choice(["server", "agent"]), default="agent", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), help="Where its ssh listens, if not as [ssh] says.")
@click.option(
    "--label", "labels", multiple=True, metavar="KEY=VALUE", help="For Kubernetes; may be given several times."
)
@click.option("--taint", "taints", multiple=True, metavar="KEY=VALUE:EFFECT", help="Likewise.")
@click.option("--unseen", is_flag=True, help="Write it down without meeting it, for a machine that is off.")
@meeting_options
@site_option
@click.pass_obj
def add(
    root: Path,
    name: str,
    address: str,
    *,
    role: str,
    port: int | None,
    labels: tuple[str, ...],
    taints: tuple[str, ...],
    fingerprints: tuple[str, ...],
    file: Path | None,
    unseen: bool,
) -> None:
    folder = SiteFolder(root)
    path = path_of(folder, file)
    before = Site.load(path, draft=True)
    text = editing.with_node(
        before.text,
        name=name,
        address=address,
        role=role,
        port=port or 0,
        labels=dict(map(_label, labels)),
        taints=taints,
    )
    after = Site.parse(path, text, draft=True)
    node = after.nodes[-1]
    if not unseen:
        (met,) = meet(after, folder, [node], asks(fingerprints))
        click.echo(f"{name} answers at {address}, host key {met.fingerprint}; the site's key is accepted")
    editing.replace(path, text)
    click.echo(f"{name} is in {path} now")


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise SiteInvalid(f"{text!r} is not a label", hint="write it like disk=ssd")
    return key, value

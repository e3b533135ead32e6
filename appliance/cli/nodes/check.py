"""`crate-appliance nodes check`."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.cli.nodes.asking import chosen, path_of, site_option
from appliance.cli.sudo import sudo_option
from appliance.site import checking
from appliance.site.checking import Report
from appliance.site.folder import SiteFolder
from appliance.site.model import Site
from console.columns import columns
from console.command import JSON_OPTION, emit

_HEAD = ("node", "address", "answers", "host key", "site's key", "root by")


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@sudo_option
@site_option
@JSON_OPTION
@click.pass_obj
def check(root: Path, names: tuple[str, ...], sudo_password: str, file: Path | None, *, as_json: bool) -> None:
    """Check that the nodes, or those NAMEd, can be worked on: on, themselves, and taking the site's key.

    Changes nothing. Ends with 3 when a node shows a host key that was not confirmed, with 1 when another thing is wrong
    with any of them.
    """
    folder = SiteFolder(root)
    site = Site.load(path_of(folder, file), draft=True)
    reports = checking.check(site, folder, chosen(site, names), sudo_password)
    emit([_json(report) for report in reports], as_json, lambda: _text(reports))
    if code := checking.exit_code(reports):
        click.get_current_context().exit(code)


def _json(report: Report) -> dict[str, object]:
    return {
        "name": report.node.name,
        "address": report.node.address,
        "reachable": report.reachable == "yes",
        "host_key": report.host_key,
        "key": report.key,
        "root": report.root,
        "twins": list(report.twins),
        "problem": report.problem.what if report.problem else "",
        "hint": report.problem.hint if report.problem else "",
    }


def _text(reports: list[Report]) -> str:
    rows = [_HEAD]
    rows += [
        (one.node.name, one.node.address, one.reachable, one.host_key or "-", one.key or "-", one.root or "-")
        for one in reports
    ]
    lines = [columns(rows, indent="")]
    for one in reports:
        if one.problem:
            lines += ["", one.problem.what, f"  hint: {one.problem.hint}"]
        if one.twins:
            lines += [
                "",
                f"warning: {one.node.name} has the host key of {', '.join(one.twins)}: a copy of the same card",
            ]
            lines += ["  hint: on one of them: rm /etc/ssh/ssh_host_*; ssh-keygen -A; : >/etc/machine-id; reboot"]
    return "\n".join(lines)

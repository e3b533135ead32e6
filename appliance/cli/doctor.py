"""`crate-appliance doctor`."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.doctor.examination import examine
from appliance.doctor.findings import Level, Report, gravest_first
from appliance.store import Store
from console.command import JSON_OPTION, emit
from console.progress import progress

_SIGNS = {Level.FINE: "ok", Level.WARNING: "warning", Level.FATAL: "FATAL"}


@click.command()
@JSON_OPTION
@click.pass_obj
def doctor(root: Path, *, as_json: bool) -> None:
    """Say what is wrong with this appliance, and what to do about it.

    Looks at certificates, clock, disk, database and store, pulls something of each kind from the running daemon, and
    asks the nodes. Changes nothing. Ends with 1 when something is fatal: it does not work, or data is lost.
    """
    with Store.open(root, create=False) as store:
        report = examine(store, progress=progress())
    emit(report.to_json(), as_json, lambda: _text(report))
    if report.level is Level.FATAL:
        click.get_current_context().exit(1)


def _text(report: Report) -> str:
    lines = []
    for finding in gravest_first(report.findings):
        lines.append(f"{_SIGNS[finding.level]:8} {finding.check}: {finding.what}")
        if finding.remedy:
            lines.append(f"{'':8}   remedy: {finding.remedy}")
    return "\n".join([*lines, "", report.line()])

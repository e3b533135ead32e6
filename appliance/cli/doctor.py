"""`crate-appliance doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from appliance.doctor.examination import examine
from appliance.doctor.findings import Level, Report, gravest_first
from appliance.scrubbing.passes import scrub as scrub_store
from appliance.scrubbing.repairing import Repair
from appliance.scrubbing.repairing import repair as repair_store
from appliance.store import Store
from console import units
from console.command import JSON_OPTION, emit
from console.progress import progress

_SIGNS = {Level.FINE: "ok", Level.WARNING: "warning", Level.FATAL: "FATAL"}


@click.command()
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@click.option("--scrub", is_flag=True, help="First read every byte of the store and compare it; Ctrl-C pauses it.")
@click.option(
    "--repair",
    is_flag=True,
    help="Mend what is damaged, from each SOURCE: a crate file, a stick's folder, or another crate's https://HOST:PORT.",
)
@click.option(
    "--bundle",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write findings, status, logs and receipts into FILE, without secrets, to send to somebody who can help.",
)
@JSON_OPTION
@click.pass_obj
def doctor(
    root: Path, sources: tuple[str, ...], bundle: Path | None, *, scrub: bool, repair: bool, as_json: bool
) -> None:
    """Say what is wrong with this appliance, and what to do about it.

    Looks at certificates, clock, disk, database and store, pulls something of each kind from the running daemon, and
    asks the nodes. Without options it changes nothing. Ends with 1 when something is fatal: it does not work, or data
    is lost.
    """
    if sources and not repair:
        raise click.UsageError("a SOURCE is for --repair")
    told: dict[str, Any] = {}
    lines: list[str] = []
    with Store.open(root, create=False) as store:
        if scrub:
            done = scrub_store(store, progress=progress())
            told["scrub"] = {"read": done.read, "damaged": done.damaged}
            lines.append(f"{units.size(done.read)} were read and compared; damaged blobs: {done.damaged}")
        if repair:
            outcome = _repair(store, sources)
            told["repair"] = {"mended": [asdict(one) for one in outcome.mended], "left": len(outcome.left)}
            lines += _repaired(outcome)
        report = examine(store, progress=progress())
        if bundle:
            from appliance.support import write_bundle  # noqa: PLC0415 - what it collects from takes its time to load

            told["bundle"] = str(bundle)
            lines.append(f"{bundle} holds {write_bundle(store, report, bundle)} documents, and no secret")
    emit({**told, **report.to_json()}, as_json, lambda: "\n".join([*lines, *([""] if lines else []), _text(report)]))
    if report.level is Level.FATAL:
        click.get_current_context().exit(1)


def _repair(store: Store, sources: Sequence[str]) -> Repair:
    crates = [source for source in sources if "://" in source]
    paths = [Path(source) for source in sources if source not in crates]
    for path in paths:
        if not path.exists():
            raise click.UsageError(f"there is no {path}")
    return repair_store(store, paths, crates, progress())


def _repaired(outcome: Repair) -> list[str]:
    if not outcome.mended and not outcome.left:
        return ["nothing is known to be damaged; crate-appliance doctor --scrub looks"]
    lines = [f"sha256:{one.sha256} is whole again ({units.size(one.size)}, {one.source})" for one in outcome.mended]
    return [*lines, f"mended: {len(outcome.mended)}, still damaged: {len(outcome.left)}"]


def _text(report: Report) -> str:
    lines = []
    for finding in gravest_first(report.findings):
        lines.append(f"{_SIGNS[finding.level]:8} {finding.check}: {finding.what}")
        if finding.remedy:
            lines.append(f"{'':8}   remedy: {finding.remedy}")
    return "\n".join([*lines, "", report.line()])

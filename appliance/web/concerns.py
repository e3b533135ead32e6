"""Whether all is well: what the doctor saw last, and how installations ended. Each with what to do about it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from appliance.doctor.findings import Level as Gravity
from appliance.doctor.findings import Report
from appliance.status import Status, status
from appliance.store import Store
from appliance.web.runs import Run, latest_run
from console import units

Level = Literal["fatal", "warning"]


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that is not well, and its remedy; `fatal` is what does not work."""

    check: str
    level: Level
    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Wellbeing:
    """What was looked at, who signed each crate (by name and serial), and what is not well, the worst first."""

    status: Status
    run: Run | None
    concerns: tuple[Concern, ...]
    signers: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the checks look at."""

    store: Store
    status: Status
    run: Run | None


def wellbeing(store: Store, report: Report | None) -> Wellbeing:
    """`report` is the doctor's latest. Reads files and the database: not for the event loop's thread."""
    seen = Seen(store, status(store), latest_run(store.root))
    found = [concern for check in CHECKS for concern in check(seen)]
    for finding in report.findings if report else ():
        if finding.level is not Gravity.FINE:
            level: Level = "fatal" if finding.level is Gravity.FATAL else "warning"
            found.append(Concern(finding.check, level, finding.what, finding.remedy))
    worst_first = tuple(sorted(found, key=lambda concern: concern.level))
    return Wellbeing(seen.status, seen.run, worst_first, _signers(store))


def _signers(store: Store) -> dict[str, tuple[str, ...]]:
    rows = store.database.reader.execute("SELECT name, serial, signatures FROM packs")
    return {
        f"{name} {serial}": tuple(str(signature["principal"]) for signature in json.loads(signatures))
        for name, serial, signatures in rows
    }


def _crates(seen: Seen) -> Iterator[Concern]:
    if seen.status.generation is None:
        remedy = "plug in a stick, then crate-appliance install CRATE"
        yield Concern("crates", "warning", "Nothing is installed yet", remedy)
    for crate in seen.status.crates:
        if crate.expired:
            what = f"The crate {crate.name} {crate.serial} is past its date; it works as before"
            yield Concern("crates", "warning", what, f"ask for a newer release of {crate.name}")
    for pending in seen.status.pending:
        what = f"The import of {pending.crate} stopped at {units.size(pending.stored)} of {units.size(pending.size)}"
        remedy = "plug the stick in again and run the same crate-appliance install: it goes on"
        yield Concern("crates", "warning", what, f"{remedy}; crate-appliance gc --unfinished drops it")


def _cluster(seen: Seen) -> Iterator[Concern]:
    run = seen.run
    if run is None or not run.outcome:
        return
    again = f"crate-appliance {run.task} goes on where it stopped"
    if run.outcome in {"died", "interrupted"}:
        yield Concern("cluster", "fatal", f"The last {run.task} was broken off", again)
    left = [node for node in run.nodes if node.state in {"failed", "unreachable"}]
    for node in left:
        what = f"Node {node.name} {node.state} in {node.wave}{f': {node.what}' if node.what else ''}"
        yield Concern("cluster", "fatal", what, "; ".join(filter(None, (node.hint, again))))
    if run.outcome == "failed" and not left:
        yield Concern("cluster", "fatal", f"The last {run.task} did not come through", again)


CHECKS: Sequence[Callable[[Seen], Iterator[Concern]]] = (_crates, _cluster)

"""Whether the clock can be right: it is compared with what is known to have happened already."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from appliance.doctor.findings import Seen, fatal, fine, warning
from appliance.names.clock import Known, decide, known, spelled
from appliance.store import Store

_BEHIND = timedelta(minutes=5).total_seconds()
_AHEAD = timedelta(days=2 * 365).total_seconds()
"""A board may well lie in a drawer that long; beyond it, a wrong clock is likelier."""

_REASONS = {"saved": "it was this late already when it was last noted", "crate": "the newest crate was made then"}


def look(store: Store) -> Iterator[Seen]:
    yield judge(known(store))


def judge(evidence: Known) -> Seen:
    decision = decide(evidence)
    behind = f"the clock says {spelled(evidence.now)}, and it is {spelled(decision.time)} at least"
    remedy = "crate-appliance clock set 'YYYY-MM-DD HH:MM' (UTC), by a clock you trust"
    if decision.step >= _BEHIND:
        return fatal(f"{behind}: {_REASONS[decision.because]}", remedy)
    latest = max(evidence.saved, evidence.crate)
    if latest and evidence.now - latest > _AHEAD:
        years = (evidence.now - latest) / timedelta(days=365).total_seconds()
        return warning(
            f"the clock says {spelled(evidence.now)}, {years:.0f} years after the last that is known to have happened",
            f"if it is wrong: {remedy}",
        )
    return fine(f"the clock says {spelled(evidence.now)}, which can be")

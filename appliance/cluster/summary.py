"""The cluster in a line or two, for `status`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from appliance.cluster.journal import watch
from appliance.site.folder import SiteFolder
from archive.errors import Problem

_VERBS = {"remove": "nodes remove"}  # where a task has another name


@dataclass(frozen=True, slots=True)
class Summary:
    """Of the site in force, and of the run in progress or the last one; `task` is empty before the first.

    `outcome` is empty while the run goes on; then `wave` is where it is. `left_behind` are the nodes that did not come
    through.
    """

    site: str
    nodes: int
    k3s: str = ""
    task: str = ""
    began: str = ""
    outcome: str = ""
    wave: str = ""
    left_behind: tuple[str, ...] = ()

    def text(self) -> str:
        plural = "" if self.nodes == 1 else "s"
        cluster = f"site {self.site}: {self.nodes} node{plural}" + (f", k3s {self.k3s}" if self.k3s else "")
        if not self.task:
            return f"{cluster}; crate-appliance deploy comes next"
        if not self.outcome:
            return f"{cluster}\n  {self.task} since {self.began}: {self.wave or 'begins'}"
        without = f", without {' '.join(self.left_behind)}" if self.left_behind else ""
        again = "" if self.outcome == "done" else f"; crate-appliance {_VERBS.get(self.task, self.task)} goes on"
        return f"{cluster}\n  {self.task} of {self.began}: {self.outcome}{without}{again}"


def summary(folder: SiteFolder) -> Summary | None:
    """None without a site in force."""
    try:
        site = folder.in_force(draft=True)
    except Problem:
        return None
    watched = watch(folder)
    if watched is None:
        return Summary(site.name, len(site.nodes))
    run: dict[str, Any] = watched.run
    current = watched.record.current
    return Summary(
        site=site.name,
        nodes=len(site.nodes),
        k3s=run["k3s"],
        task=run["task"],
        began=run["began"],
        outcome=watched.outcome or "",
        wave=current.name if current and not watched.outcome else "",
        left_behind=tuple(dict.fromkeys(name for _, name, _ in watched.record.left_behind())),
    )

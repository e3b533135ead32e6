"""Receipts: what a run did, for the records of whoever is answerable. JSON for programs, a page of text for people."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance.cluster.record import Outcome, Record, WaveRecord
from appliance.site.folder import SiteFolder
from appliance.status import ActiveCrate
from archive.requests import Unmet
from console import units
from console.columns import columns
from console.visible import visible

_WIDTH = 100
_MOST_CHANGES = 40  # of one wave in the text; the JSON has all of them
_OUTCOMES: dict[Outcome, str] = {
    "done": "done",
    "failed": "not done: some of it failed, as told below; the same command goes on",
    "interrupted": "interrupted; the same command goes on",
    "died": "broken off; the same command goes on",
}


@dataclass(frozen=True)
class Receipt:
    """One run. Times are UTC, by this machine's clock; `k3s` is empty when the run had no cluster in it.

    `unmet` is what was asked of the crate while the run went on and was not there.
    """

    site: str
    task: str
    began: datetime
    seconds: float
    outcome: Outcome
    crates: Sequence[ActiveCrate]
    k3s: str
    profiles: Sequence[str]
    nodes: Sequence[str]
    record: Record
    unmet: Sequence[Unmet] = ()

    @property
    def stamp(self) -> str:
        """Its name among the others; later ones sort behind."""
        return self.began.strftime("%Y%m%dT%H%M%SZ")

    def to_json(self) -> dict[str, Any]:
        return {
            "receipt": 1,
            "site": self.site,
            "task": self.task,
            "began": self.began.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 1),
            "outcome": self.outcome,
            "crates": [
                {"name": crate.name, "serial": crate.serial, "signed_by": list(crate.signed_by)}
                for crate in self.crates
            ],
            "k3s": self.k3s,
            "profiles": list(self.profiles),
            "nodes": list(self.nodes),
            "changed": self.record.changed,
            "waves": [wave.to_json() for wave in self.record.waves],
            "proven": self.record.proven,
            "findings": [finding.model_dump(exclude={"event"}) for finding in self.record.findings],
            "unmet": [
                {"kind": request.kind, "name": request.name, "asked_by": list(request.asked_by)}
                for request in self.unmet
            ],
        }

    def text(self) -> str:
        """A page."""
        return visible("\n".join([self.summary(), *self._changes()]) + "\n")

    def summary(self) -> str:
        """The page without what changed in particular, which whoever watched has seen."""
        parts = (self._head, self._waves, self._proven, self._left_behind, self._findings, self._requests)
        return "\n".join(line for part in parts for line in part())

    def _head(self) -> Iterator[str]:
        yield f"BuzzCrate: {self.task} at {self.site}"
        yield ""
        rows = [
            ("began", self.began.strftime("%Y-%m-%d %H:%M:%S UTC")),
            ("took", units.duration(self.seconds)),
            ("outcome", _OUTCOMES[self.outcome]),
            ("nodes", ", ".join(self.nodes)),
        ]
        rows += [
            ("crate", f"{crate.name} {crate.serial}, signed by {', '.join(crate.signed_by)}") for crate in self.crates
        ]
        rows += [("k3s", self.k3s)] if self.k3s else []
        rows += [("profiles", ", ".join(self.profiles))] if self.profiles else []
        yield columns(rows)

    def _waves(self) -> Iterator[str]:
        if not self.record.waves:
            return
        yield ""
        rows = [("wave", "took", "sent", "changes", "nodes")]
        for wave in self.record.waves:
            sent = "" if wave.sent is None else units.size(wave.sent)
            changed = sum(node.changed for node in wave.nodes.values())
            rows.append((wave.name, units.duration(wave.seconds), sent, str(changed), _states(wave)))
        yield columns(rows, right=frozenset({1, 2, 3}))

    def _proven(self) -> Iterator[str]:
        if self.record.proven:
            yield ""
            yield "Verified:"
        for what in self.record.proven:
            yield from _wrapped(f"  {what}")

    def _left_behind(self) -> Iterator[str]:
        for wave, name, node in self.record.left_behind():
            yield ""
            yield from _wrapped(f"{name} {node.state} in {wave}: {node.what.removeprefix(f'{name}: ')}")
            if node.hint:
                yield from _wrapped(f"  hint: {node.hint}")

    def _findings(self) -> Iterator[str]:
        told = {(name, node.hint) for _, name, node in self.record.left_behind()}
        findings = [it for it in self.record.findings if it.level != "fatal" or (it.node, it.hint) not in told]
        nodes: dict[tuple[str, ...], list[str]] = {}
        for it in findings:
            nodes.setdefault((it.level, it.check, it.what, it.hint), []).append(it.node or "cluster")
        if nodes:
            yield ""
            yield "Findings:"
        for (level, check, what, hint), names in nodes.items():
            yield from _wrapped(f"  {' '.join(sorted(names))}: {level}, {check}: {what}")
            if hint:
                yield from _wrapped(f"    hint: {hint}")

    def _requests(self) -> Iterator[str]:
        if self.unmet:
            yield ""
            yield "Asked of the crate meanwhile, and not there (crate-appliance requests has all of them):"
        for request in self.unmet:
            yield f"  {request.kind} {request.name} (asked by {', '.join(request.asked_by)})"

    def _changes(self) -> Iterator[str]:
        for wave in self.record.waves:
            if wave.changes:
                yield ""
                yield f"Changes in {wave.name}:"
            for change in wave.changes[:_MOST_CHANGES]:
                yield f"  {change.node}: {change.name}{'' if change.state == 'changed' else f' ({change.state})'}"
            if more := len(wave.changes[_MOST_CHANGES:]):
                yield f"  and {more} more"


def keep(receipt: Receipt, folder: SiteFolder) -> None:
    """Writes both forms."""
    folder.write(folder.receipts / f"{receipt.stamp}.json", json.dumps(receipt.to_json(), indent=1).encode() + b"\n")
    folder.write(folder.receipts / f"{receipt.stamp}.txt", receipt.text().encode())


def latest(folder: SiteFolder) -> dict[str, Any] | None:
    """The last one kept, as JSON."""
    found = sorted(folder.receipts.glob("*.json"))
    if not found:
        return None
    receipt: dict[str, Any] = json.loads(found[-1].read_text())
    return receipt


def _states(wave: WaveRecord) -> str:
    """`n1 n2 done, n3 unreachable`."""
    by_state: dict[str, list[str]] = {}
    for name, node in wave.nodes.items():
        by_state.setdefault(node.state, []).append(name)
    return ", ".join(f"{' '.join(names)} {state}" for state, names in by_state.items())


def _wrapped(text: str) -> list[str]:
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    return textwrap.wrap(text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)

"""What came of a run, folded from its events: per wave and node how it ended, what changed, what there is to say.

Diffs and commands are for the display and the journal; here they are let go, so that a record stays small.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from deploys.events import Began, Ended, Event, Finding, NodeEnded, NodeState, Operation

Outcome = Literal["done", "failed", "interrupted", "died"]


@dataclass(frozen=True, slots=True)
class Change:
    """Something that was done to a node, or in a plan would be. `state` is as the event had it."""

    node: str
    name: str
    state: str
    seconds: float


@dataclass(slots=True)
class NodeRecord:
    """How one node came through one wave; `state` is `running` until it has."""

    state: NodeState | Literal["running"] = "running"
    changed: int = 0
    what: str = ""
    hint: str = ""

    @property
    def bad(self) -> bool:
        return self.state in {"failed", "unreachable"}


@dataclass(slots=True)
class WaveRecord:
    """One wave. `sent` are the bytes that left the appliance on the nodes' network meanwhile; None where unknown."""

    name: str
    nodes: dict[str, NodeRecord] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    ok: bool | None = None
    seconds: float = 0.0
    sent: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "wave": self.name,
            "ok": self.ok,
            "seconds": round(self.seconds, 1),
            "sent": self.sent,
            "nodes": {
                name: {"state": node.state, "changed": node.changed, "what": node.what, "hint": node.hint}
                for name, node in self.nodes.items()
            },
            "changes": [
                {"node": change.node, "name": change.name, "state": change.state, "seconds": round(change.seconds, 1)}
                for change in self.changes
            ],
        }


@dataclass(slots=True)
class Record:
    """A run so far. `findings` are what somebody has to know, `proven` what *verify* found to be as ordered."""

    waves: list[WaveRecord] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    proven: list[str] = field(default_factory=list)

    def take(self, event: Event) -> None:
        match event:
            case Began():
                self.waves.append(WaveRecord(event.wave, {node: NodeRecord() for node in event.nodes}))
            case Finding():
                if event.level != "fine":
                    self.findings.append(event)
                elif event.wave == "verify":
                    self.proven.append(event.what)
            case Operation():
                if event.state != "unchanged":
                    change = Change(event.node, event.name, event.state, event.seconds)
                    self._wave(event.wave).changes.append(change)
            case NodeEnded():
                ended = NodeRecord(event.state, event.changed, event.what, event.hint)
                self._wave(event.wave).nodes[event.node] = ended
            case Ended():
                wave = self._wave(event.wave)
                wave.ok, wave.seconds = event.ok, event.seconds
            case _:
                pass

    def _wave(self, name: str) -> WaveRecord:
        """The last one of that name; a child that forgets to say `began` is still understood."""
        found = next((wave for wave in reversed(self.waves) if wave.name == name), None)
        if found is None:
            found = WaveRecord(name)
            self.waves.append(found)
        return found

    @property
    def current(self) -> WaveRecord | None:
        """The wave under way."""
        return self.waves[-1] if self.waves and self.waves[-1].ok is None else None

    @property
    def changed(self) -> int:
        return sum(node.changed for wave in self.waves for node in wave.nodes.values())

    @property
    def ok(self) -> bool:
        """Whether every wave ended, and no node was left behind."""
        return all(wave.ok and not any(node.bad for node in wave.nodes.values()) for wave in self.waves)

    def came_through(self) -> set[str]:
        """The nodes that were done with in every wave that they were in."""
        seen = {name for wave in self.waves for name in wave.nodes}
        return seen - {name for wave in self.waves for name, node in wave.nodes.items() if node.state != "done"}

    def left_behind(self) -> Iterator[tuple[str, str, NodeRecord]]:
        """Wave, name and end of each node that did not come through."""
        for wave in self.waves:
            for name, node in wave.nodes.items():
                if node.bad:
                    yield wave.name, name, node

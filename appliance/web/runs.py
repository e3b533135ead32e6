"""The installation under way, or the last one: how far each wave and each node is, and its events as they happen.

What runs on the nodes is read from the site's journal, which another process writes. Modules that need the site's model
are loaded when there is a site: a crate without one does without their memory.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_POLL = 0.5  # seconds
_SILENCE = 15.0  # seconds after which a comment keeps the connection known to proxies
_AT_ONCE = 2000  # events sent in one go; more wait for the next look
_OPERATORS = ("commands", "diff", "output")
"""Of an operation: what may tell more than strangers should know."""


@dataclass(frozen=True, slots=True)
class RunNode:
    """A node of the run: `state` is running, done, failed, unreachable or skipped, in its last wave.

    `said` is the last word about something long, `what` and `hint` why it is not done.
    """

    name: str
    wave: str
    state: str
    said: str
    what: str
    hint: str


@dataclass(frozen=True, slots=True)
class RunWave:
    """`state` is running, done or failed; `finished` of `nodes` are through with it."""

    name: str
    state: str
    seconds: float
    nodes: int
    finished: int
    changes: int


@dataclass(frozen=True, slots=True)
class RunFinding:
    """What a check says of a node, or with `node` empty of the cluster."""

    wave: str
    node: str
    check: str
    level: str
    what: str
    hint: str


@dataclass(frozen=True, slots=True)
class Run:
    """`outcome` is empty while it goes on, then done, failed, interrupted or died. `began` is as the run wrote it."""

    task: str
    began: str
    outcome: str
    seconds: float
    k3s: str
    coming: tuple[str, ...]
    waves: tuple[RunWave, ...]
    nodes: tuple[RunNode, ...]
    findings: tuple[RunFinding, ...]


def has_site(root: Path) -> bool:
    return (root / "site" / "journal.jsonl").exists() or (root / "site" / "site.toml").exists()


def latest_run(root: Path) -> Run | None:
    """None before the first. Not for the event loop's thread."""
    if not has_site(root):
        return None
    from appliance.cluster.journal import watch  # noqa: PLC0415 - see above
    from appliance.site.folder import SiteFolder  # noqa: PLC0415

    watched = watch(SiteFolder(root))
    if watched is None:
        return None
    nodes: dict[str, RunNode] = {}
    waves = []
    for wave in watched.record.waves:
        ended = [node for node in wave.nodes.values() if node.state != "running"]
        state = "running" if wave.ok is None else "done" if wave.ok else "failed"
        changes = sum(node.changed for node in wave.nodes.values())
        waves.append(RunWave(wave.name, state, wave.seconds, len(wave.nodes), len(ended), changes))
        for name, node in wave.nodes.items():
            if node.state == "skipped" and name in nodes:
                continue  # where it left says more
            said = watched.said.get(name, "") if node.state == "running" else ""
            nodes[name] = RunNode(name, wave.name, node.state, said, node.what.removeprefix(f"{name}: "), node.hint)
    begun = {wave.name for wave in waves}
    return Run(
        task=str(watched.run.get("task", "")),
        began=str(watched.run.get("began", "")),
        outcome=watched.outcome or "",
        seconds=watched.seconds,
        k3s=str(watched.run.get("k3s", "")),
        coming=tuple(str(name) for name in watched.run.get("waves", ()) if name not in begun),
        waves=tuple(waves),
        nodes=tuple(nodes.values()),
        findings=tuple(
            RunFinding(found.wave, found.node, found.check, found.level, found.what, found.hint)
            for found in watched.record.findings
        ),
    )


async def follow(root: Path, *, operator: bool) -> AsyncIterator[str]:
    """The run's events as they are written, each a message of an event stream (WHATWG HTML, 9.2 Server-sent events).

    Begins with the run under way, or the last one; goes on with the next when that begins. Endless.
    """
    tail = _Tail(root / "site" / "journal.jsonl")
    silent = 0.0
    yield "retry: 2000\n\n"
    while True:
        lines = await asyncio.to_thread(tail.read)
        for line in lines:
            if (message := _message(line, operator=operator)) is not None:
                yield message
        silent = 0.0 if lines else silent + _POLL
        if silent >= _SILENCE:
            silent = 0.0
            yield ": still here\n\n"
        if len(lines) < _AT_ONCE:
            await asyncio.sleep(_POLL)


class _Tail:
    """Reads what was added to a file since, whole lines only; begins anew when another file takes its place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = -1
        self._at = 0

    def read(self) -> list[bytes]:
        try:
            with self._path.open("rb") as file:
                inode = os.fstat(file.fileno()).st_ino
                if inode != self._inode:
                    self._inode, self._at = inode, 0
                file.seek(self._at)
                lines: list[bytes] = []
                for line in file:
                    if not line.endswith(b"\n") or len(lines) == _AT_ONCE:
                        break
                    lines.append(line)
                    self._at += len(line)
                return lines
        except OSError:
            return []


def _message(line: bytes, *, operator: bool) -> str | None:
    """A line of the journal; None for what is not for whoever asks."""
    try:
        said: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    kind = next((kind for kind in ("run", "event", "ended") if kind in said), None)
    if kind is None:
        return None
    data = dict(said[kind])
    if kind == "event":
        if data.get("event") == "learned" and not operator:
            return None
        data = {key: value for key, value in data.items() if operator or key not in _OPERATORS}
        data["at"] = said.get("at")
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"

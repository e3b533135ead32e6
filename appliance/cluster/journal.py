"""`site/journal.jsonl`: the run in progress, or the last one, as it can be watched while it goes on.

A line of JSON each:

    {"run": {"task": "deploy", "began": "2026-11-23T09:00:00Z", "nodes": […], "waves": […], …}}
    {"at": 1.2, "event": {…}}           seconds since it began, and what the child said (`deploys.events`)
    {"ended": {"outcome": "done", "seconds": 93.1}}

The last line is missing while the run goes on, and after a crash. Secrets are left out.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from appliance import locks
from appliance.cluster.record import Outcome, Record
from appliance.site.folder import SiteFolder
from deploys.events import EVENT, Event, Learned, Progressed


def lock_path(folder: SiteFolder) -> Path:
    """Held by a run, and by whatever is left of it on the nodes' side."""
    return folder.path / "lock"


class Journal:
    """Written as the run goes; each line is with the system before the next event is looked at."""

    def __init__(self, path: Path, run: dict[str, Any]) -> None:
        beside = path.with_name(f".{path.name}.part")
        beside.unlink(missing_ok=True)
        self._file = os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w")
        self._began = time.monotonic()
        self._write({"run": run})
        beside.rename(path)

    def add(self, event: Event) -> None:
        if not (isinstance(event, Learned) and event.secret):
            self._write({"at": self.seconds, "event": event.model_dump(mode="json", exclude_defaults=False)})

    def end(self, outcome: Outcome) -> None:
        self._write({"ended": {"outcome": outcome, "seconds": self.seconds}})

    @property
    def seconds(self) -> float:
        return round(time.monotonic() - self._began, 2)

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


@dataclass(frozen=True, slots=True)
class Watched:
    """A run as its journal tells it. `outcome` is None while it goes on; `died` is said of one whose process is gone.

    `said` is the last word about something long, by node.
    """

    run: dict[str, Any]
    record: Record
    outcome: Outcome | None
    seconds: float
    said: dict[str, str] = field(default_factory=dict)


def watch(folder: SiteFolder) -> Watched | None:
    """The run in progress, or the last one; None before the first."""
    going_on = locks.held(lock_path(folder))
    try:
        lines = list(_lines(folder.journal))
    except FileNotFoundError:
        return None
    if not lines or "run" not in lines[0]:
        return None
    record, said, seconds = Record(), {}, 0.0
    outcome: Outcome | None = None
    for line in lines[1:]:
        if "ended" in line:
            outcome, seconds = line["ended"]["outcome"], line["ended"]["seconds"]
            break
        with suppress(ValidationError):  # written by another version
            event = EVENT.validate_python(line["event"])
            record.take(event)
            if isinstance(event, Progressed):
                said[event.node] = event.what
        seconds = line["at"]
    if outcome is None and not going_on:
        outcome = "died"
    return Watched(lines[0]["run"], record, outcome, seconds, said)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(errors="replace") as file:
        for text in file:
            try:
                yield json.loads(text)
            except ValueError:
                return  # being written, or what a power cut has left of it

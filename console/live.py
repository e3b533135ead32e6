"""Progress on a terminal: a bar a task, redrawn in place."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from archive.progress import Task
from console.meter import SHOW_AFTER, Meter


class _LiveTask:
    def __init__(self, display: RichProgress, meter: Meter) -> None:
        self._display, self._meter = display, meter
        self._id: TaskID = display.add_task(meter.line(), total=meter.total)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.remove_task(self._id)
        if not self._display.task_ids:
            self._display.stop()
        if kind is None and time.monotonic() - self._meter.began > SHOW_AFTER:
            self._display.console.print(self._meter.line(ended=True), highlight=False, markup=False)

    def advance(self, amount: int) -> None:
        self._meter.done += amount
        self._display.update(self._id, advance=amount, description=self._meter.line())

    def detail(self, text: str) -> None:
        self._meter.hint = text

    def grow(self, total: int) -> None:
        self._meter.total = total
        self._display.update(self._id, total=total)


class Live:
    """For a terminal: one bar a task, redrawn in place."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._display: RichProgress | None = None

    def task(self, what: str, total: int | None = None, *, unit: str = "B") -> Task:
        if self._display is None or not self._display.task_ids:
            self._display = RichProgress(
                BarColumn(bar_width=24),
                TextColumn("{task.description}", markup=False),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
            )
            self._display.start()
        return _LiveTask(self._display, Meter(what, total, unit))

    def say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False)

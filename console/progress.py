"""Progress as a person sees it: a live display on a terminal, a plain line now and then without one."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from archive.progress import Progress, Task
from console import units

_PLAIN_EVERY = 5.0  # seconds between plain lines
_SHOW_AFTER = 2.0  # seconds before a short task is worth a plain line


class _Meter:
    """Counts what is done; the rate is over the whole task, which is steadier than over the last moment."""

    def __init__(self, what: str, total: int | None, unit: str) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done = 0
        self.hint = ""
        self.began = time.monotonic()

    def line(self, *, ended: bool = False) -> str:
        elapsed = max(time.monotonic() - self.began, 1e-6)
        words = [self.what, self._amount()]
        if self.unit == "B":
            words.append(f"{units.size(self.done / elapsed)}/s")
        if ended:
            words.append(f"in {units.duration(elapsed)}")
        elif self.total and 0 < self.done < self.total:
            words.append(f"{units.duration((self.total - self.done) * elapsed / self.done)} left")
        if self.hint and not ended:
            words.append(self.hint)
        return "  ".join(words)

    def _amount(self) -> str:
        percent = f" ({100 * self.done // self.total} %)" if self.total else ""
        if self.unit == "B":
            return units.size(self.done) + (f" of {units.size(self.total)}" if self.total else "") + percent
        return f"{self.done}" + (f" of {self.total}" if self.total else "") + f" {self.unit}" + percent


class _PlainTask:
    def __init__(self, meter: _Meter) -> None:
        self._meter = meter
        self._printed = meter.began + _SHOW_AFTER - _PLAIN_EVERY
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and time.monotonic() - self._meter.began > _SHOW_AFTER:
            print(self._meter.line(ended=True), file=sys.stderr, flush=True)  # noqa: T201 - this is the plain display

    def advance(self, amount: int) -> None:
        with self._lock:
            self._meter.done += amount
            now = time.monotonic()
            if now - self._printed >= _PLAIN_EVERY:
                self._printed = now
                print(self._meter.line(), file=sys.stderr, flush=True)  # noqa: T201

    def detail(self, text: str) -> None:
        self._meter.hint = text

    def grow(self, total: int) -> None:
        self._meter.total = total


class Plain:
    """For logs, pipes and serial consoles."""

    def task(self, what: str, total: int | None = None, *, unit: str = "B") -> Task:
        return _PlainTask(_Meter(what, total, unit))

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)  # noqa: T201


class _LiveTask:
    def __init__(self, display: RichProgress, meter: _Meter) -> None:
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
        if kind is None and time.monotonic() - self._meter.began > _SHOW_AFTER:
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
        return _LiveTask(self._display, _Meter(what, total, unit))

    def say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False)


def progress() -> Progress:
    """The display that suits standard error."""
    return Live() if sys.stderr.isatty() else Plain()

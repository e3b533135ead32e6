"""Progress as a person sees it: a plain line now and then, or on a terminal the display of `console.live`."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Self

from archive.progress import Progress, Task
from console.meter import SHOW_AFTER, Meter

_EVERY = 5.0  # seconds between plain lines


class _PlainTask:
    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._printed = meter.began + SHOW_AFTER - _EVERY
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and time.monotonic() - self._meter.began > SHOW_AFTER:
            print(self._meter.line(ended=True), file=sys.stderr, flush=True)  # noqa: T201 - this is the plain display

    def advance(self, amount: int) -> None:
        with self._lock:
            self._meter.done += amount
            now = time.monotonic()
            if now - self._printed >= _EVERY:
                self._printed = now
                print(self._meter.line(), file=sys.stderr, flush=True)  # noqa: T201

    def detail(self, text: str) -> None:
        self._meter.hint = text

    def grow(self, total: int) -> None:
        self._meter.total = total


class Plain:
    """For logs, pipes and serial consoles."""

    def task(self, what: str, total: int | None = None, *, unit: str = "B") -> Task:
        return _PlainTask(Meter(what, total, unit))

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)  # noqa: T201


def progress() -> Progress:
    """The display that suits standard error."""
    if not sys.stderr.isatty():
        return Plain()
    from console.live import Live  # noqa: PLC0415 - rich takes its time to load, and a script never sees it

    return Live()

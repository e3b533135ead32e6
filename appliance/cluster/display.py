"""A run as one watches it: lines that stay, and on a terminal what each node is at (`appliance.cluster.live`)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from appliance.cluster.lines import Lines
from console.visible import visible
from deploys.events import Began, Event, Operation, Progressed

_EVERY = 5.0  # seconds of silence about a node after which something long is worth a line

See = Callable[[Event], None]


class Plain:
    """For logs, pipes and serial consoles: every change is a line, every long thing one now and then."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write, self._lines = write, Lines()
        self._heard: dict[str, float] = {}  # when something was last said of a node

    def see(self, event: Event) -> None:
        for line in self._lines.of(event):
            self._write(line)
        if isinstance(event, Began):
            self._heard = dict.fromkeys(event.nodes, time.monotonic())
        elif isinstance(event, Operation):
            self._heard[event.node] = time.monotonic()
            if event.state in {"changed", "failed"}:
                self._write(visible(f"  {event.node}: {event.name}{' failed' if event.state == 'failed' else ''}"))
        elif isinstance(event, Progressed) and time.monotonic() - self._heard.get(event.node, 0) >= _EVERY:
            self._heard[event.node] = time.monotonic()
            self._write(visible(f"  {event.node}: {event.what} ..."))


@contextmanager
def watching() -> Iterator[See]:
    """The display that suits standard error, for as long as a run goes on."""
    if not sys.stderr.isatty():
        yield Plain(_print).see
        return
    from appliance.cluster.live import live  # noqa: PLC0415 - rich takes its time to load, and a script never sees it

    with live() as see:
        yield see


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - this is the plain display

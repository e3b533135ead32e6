"""A run on a terminal: below the lines that stay, a line a node that says what it is at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from appliance.cluster.lines import Lines
from console import units
from console.visible import visible
from deploys.events import Began, Ended, Event, NodeEnded, Operation, Progressed

_WHAT = 90  # characters


class _Nodes:
    """What is drawn: each node of the wave under way, what it did last, and since when it is at it."""

    def __init__(self) -> None:
        self.wave = ""
        self._at: dict[str, tuple[str, float]] = {}

    def take(self, event: Event) -> None:
        match event:
            case Began():
                self.wave = event.wave
                self._at = {node: ("", time.monotonic()) for node in event.nodes}
            case Operation():
                self._set(event.node, f"{event.name}{'' if event.state == 'unchanged' else f': {event.state}'}")
            case Progressed():
                self._set(event.node, event.what)
            case NodeEnded():
                self._at.pop(event.node, None)
            case Ended():
                self._at.clear()
            case _:
                pass

    def _set(self, node: str, what: str) -> None:
        if node in self._at:
            self._at[node] = (visible(what), time.monotonic())

    def __rich__(self) -> Table:
        grid = Table.grid(padding=(0, 2))
        for node, (what, since) in self._at.items():
            elapsed = units.duration(time.monotonic() - since)
            grid.add_row(Text(f"  {node}"), Text(elapsed, justify="right"), Text(what[:_WHAT], overflow="ellipsis"))
        return grid


@contextmanager
def live() -> Iterator[Callable[[Event], None]]:
    """Draws until it is left."""
    console, nodes, lines = Console(stderr=True), _Nodes(), Lines()
    with Live(nodes, console=console, transient=True, refresh_per_second=4) as drawn:

        def see(event: Event) -> None:
            for line in lines.of(event):
                drawn.console.print(line, highlight=False, markup=False)
            nodes.take(event)

        yield see

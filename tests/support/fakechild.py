"""Stands for `python -m deploys` where a test is about whoever starts it: takes an order, plays back a script.

    python tests/support/fakechild.py SCRIPT

SCRIPT is a file of JSON lines, each one step:

    {"event": "began", …}     said as it stands, as the real child says events
    {"raw": "text"}           said as it stands, with no line end of its own
    {"log": "text"}           a line on standard error
    {"order": "PATH"}         the order, as it was told, goes to this file
    {"orders": "PATH"}        the same, but into this folder, one file a run
    {"pid": "PATH"}           the process id goes to this file
    {"sleep": 0.5}            seconds
    {"deaf": true}            from now on SIGTERM is ignored
    {"last": {…}}             from now on SIGTERM says this event and ends with 1, as the real child does
    {"exit": 1}               ends with this code
    {"kill": 9}               ends by this signal

At the end of the script it ends with 0.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

Step = Mapping[str, Any]


def command(path: Path, steps: Iterable[Step]) -> tuple[str, ...]:
    """What to start in place of the real child, to have it play `steps`, which are written to `path`."""
    path.write_text("".join(f"{json.dumps(step)}\n" for step in steps))
    return (sys.executable, __file__, str(path))


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a program


def _last(event: Step) -> None:
    def end(_number: int, _frame: object) -> None:
        _say(f"{json.dumps(event)}\n")
        os._exit(1)

    signal.signal(signal.SIGTERM, end)


_STEPS: Mapping[str, Callable[[Any], object]] = {
    "raw": _say,
    "log": _log,
    "pid": lambda path: Path(path).write_text(str(os.getpid())),
    "sleep": time.sleep,
    "deaf": lambda _: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "last": _last,
    "exit": sys.exit,
    "kill": lambda number: os.kill(os.getpid(), number),
}


def _play(step: Step, order: str) -> None:
    if "event" in step:
        _say(f"{json.dumps(step)}\n")
    elif "order" in step:
        Path(step["order"]).write_text(order)
    elif "orders" in step:
        folder = Path(step["orders"])
        (folder / f"{len([*folder.iterdir()]):03}").write_text(order)
    else:
        ((name, value),) = step.items()
        _STEPS[name](value)


if __name__ == "__main__":
    told = sys.stdin.read()
    for line in Path(sys.argv[1]).read_text().splitlines():
        _play(json.loads(line), told)

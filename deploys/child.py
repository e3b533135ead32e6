"""The child process: an order in, events out, an exit code. `__main__` starts it after gevent's patch."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path

import gevent
from gevent import Greenlet
from pydantic import ValidationError

from archive.errors import Problem
from deploys.errors import BadOrder, Interrupted
from deploys.events import Event
from deploys.order import Order
from deploys.session import Session
from deploys.waves import waves

_TOLD_TO_END = 128 + signal.SIGTERM


def main() -> int:
    """0 when every wave ended well, 1 when some node failed, 2 for a bad order, 143 when told to end."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(message)s")
    for library in ("pyinfra", "paramiko"):
        logging.getLogger(library).setLevel(logging.CRITICAL)  # they say, in colours, what events say
    # a greenlet of its own, so that a signal can end it wherever it is
    work = gevent.spawn(_carry_out, sys.stdin.read())
    for name in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(name, _end, work)
    return int(work.get())


def _carry_out(text: str) -> int:
    try:
        order = _order(text)
        return 0 if Session(order, _emit).carry_out(waves(order)) else 1
    except Interrupted:
        return _TOLD_TO_END
    except Problem as error:
        sys.stderr.write(f"{error.what}\n" + (f"  hint: {error.hint}\n" if error.hint else ""))
        return error.exit_code


def _order(text: str) -> Order:
    try:
        order = Order.model_validate_json(text)
    except ValidationError as error:
        # not the values: secrets may be among them
        fields = ", ".join(".".join(str(part) for part in line["loc"]) or "it" for line in error.errors())
        raise BadOrder(f"the order cannot be read: {fields}") from None
    for what, path in (("key", order.ssh.key), ("known_hosts", order.ssh.known_hosts)):
        if not Path(path).is_file():
            raise BadOrder(f"there is no {what} file at {path}")
    return order


def _emit(event: Event) -> None:
    try:
        sys.stdout.write(event.model_dump_json() + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # whoever gave the order is gone, and with it the right to go on: what runs on a node ends there by itself
        os._exit(1)


def _end(work: Greenlet[[str], int]) -> None:
    work.kill(Interrupted("told to end"), block=False)

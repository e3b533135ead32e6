"""The daemon's scrub: once a week, so slowly that nobody notices."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time

from appliance.scrubbing import damages, state
from appliance.scrubbing.passes import scrub
from appliance.store import Store
from archive.errors import Problem

RATE = 4.0
"""MiB a second: 60 GiB in less than five hours, and a small part of what a card reads."""
_PERIOD = 7 * 24 * 3600  # seconds between the ends of two passes
_SETTLE = 300.0  # seconds after the daemon began to serve, so that starting is not slowed down
_EVERY = 600.0  # seconds between two looks whether a pass is due

_log = logging.getLogger("crate.health")


class Scrubber:
    """Scrubs `store` with `rate` MiB a second, in a thread of its own."""

    def __init__(self, store: Store, rate: float = RATE, settle: float = _SETTLE) -> None:
        self._store = store
        self._rate = rate * (1 << 20)
        self._settle = settle
        self._stop = threading.Event()

    async def keep_scrubbing(self) -> None:
        """For as long as the daemon serves; once cancelled it is over within a piece."""
        work = asyncio.get_running_loop().run_in_executor(None, self._work)
        try:
            await asyncio.shield(work)
        finally:
            self._stop.set()
            await asyncio.shield(work)

    def _work(self) -> None:
        wait = self._settle
        while not self._stop.wait(wait):
            wait = _EVERY
            if not self._due():
                continue
            try:
                done = scrub(self._store, pace=self._pace)
            except (Problem, OSError, sqlite3.Error):
                _log.exception("the scrub ended early; it goes on later")
                continue
            if done.damaged:
                for damage in damages.every(self._store):
                    _log.error("%s: %s", damage.told(), damage.reason)

    def _due(self) -> bool:
        known = state.read(self._store.root)
        now = time.time()
        # a last pass in the future is one by a clock that was wrong
        return bool(known.begun) or not 0 <= now - known.finished < _PERIOD

    def _pace(self, count: int) -> bool:
        return not self._stop.wait(count / self._rate)

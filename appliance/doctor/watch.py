"""The daemon's own look at itself: the quick checks every few minutes, and the latest report for whoever asks."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from appliance.doctor.examination import examine
from appliance.doctor.findings import Level, Report
from appliance.store import Store

_FIRST = 5.0  # seconds after the daemon began to serve
_EVERY = 300.0  # seconds

_log = logging.getLogger("crate.health")


class Watch:
    """`report` is the latest, None until the first is made; what is new in it goes to the log."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.report: Report | None = None

    async def keep_watching(self) -> None:
        """For as long as the daemon serves."""
        await asyncio.sleep(_FIRST)
        while True:
            self.look_at(await asyncio.to_thread(examine, self._store, whole=False))
            await asyncio.sleep(_EVERY)

    def look_at(self, report: Report) -> None:
        before = {(finding.check, finding.level) for finding in self.report.findings} if self.report else set()
        for finding in report.findings:
            if finding.level is not Level.FINE and (finding.check, finding.level) not in before:
                _log.warning("%s: %s", finding.check, finding.what)
        self.report = report


WATCH = web.AppKey("watch", Watch)
"""Where an application's handlers find it."""

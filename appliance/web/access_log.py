"""The access log: a line of JSON for each request that was answered, in a fixed amount of disk.

    {"time": "2026-11-23T13:00:00.123Z", "client": "10.77.0.11", "user": "ann", "method": "GET",
     "path": "/v2/team-a/app/manifests/1", "status": 200, "bytes": 1234, "seconds": 0.0012, "agent": "containerd/2.0"}

Queries and headers are left out, because secrets travel there; `bytes` is what the answer announced. The event loop
only notes a request; a thread writes them down in batches, so that logging is not felt by whoever pulls. When more come
than the disk takes, lines are left out and counted.
"""

from __future__ import annotations

import asyncio
import logging
import logging.handlers
import os
import time
from collections import deque
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp.abc import AbstractAccessLogger

from appliance.registry.callers import WHO
from appliance.web.metrics import Metrics

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest, StreamResponse

FLUSH = 1.0
"""Seconds between two writes."""
FILES = 4
SIZE = 32
"""MiB of disk for all files together, unless it is set otherwise."""
_PENDING = 50_000  # requests that may wait to be written
_LONGEST = 500  # characters of a path or user agent

Note = tuple[float, str | None, str, str, str, int, int, float, str]
_log = logging.getLogger("crate")


class AccessLog:
    """`folder` is made at the first line. `note` belongs to the event loop's thread, `flush` to any one at a time."""

    def __init__(self, folder: Path, metrics: Metrics, size: int = SIZE) -> None:
        """`size` in MiB; 0 writes nothing, and only counts."""
        self._folder = folder
        self._metrics = metrics
        self._size = size
        self._pending: deque[Note] = deque()
        self._file: _Batches | None = None
        self._failed = False

    def logger(self) -> type[AbstractAccessLogger]:
        """What aiohttp calls with each answer; it wants a class."""
        log = self

        class Noting(AbstractAccessLogger):
            def log(self, request: BaseRequest, response: StreamResponse, time: float) -> None:
                log.note(request, response, time)

        return Noting

    def note(self, request: BaseRequest, response: StreamResponse, seconds: float) -> None:
        path, announced = request.rel_url.raw_path, response.content_length
        # what the kernel sends past aiohttp is in no count but this
        sent = 0 if request.method == "HEAD" else announced if announced is not None else response.body_length
        self._metrics.count(request.method, path, response.status, sent, seconds)
        if not self._size:
            return
        if len(self._pending) >= _PENDING:
            self._metrics.unlogged += 1
            return
        user, agent = request.get(WHO, ""), request.headers.get("User-Agent", "")
        self._pending.append(
            (time.time(), request.remote, user, request.method, path, response.status, sent, seconds, agent)
        )

    def flush(self) -> None:
        """Writes down what was noted; while the disk takes nothing, it is let go of and counted."""
        lines = [_line(self._pending.popleft()) for _ in range(len(self._pending))]
        if not lines:
            return
        try:
            self._write(lines)
            self._failed = False
        except OSError as error:
            self._metrics.unlogged += len(lines)
            if not self._failed:
                _log.warning("the access log cannot be written: %s", error)
            self._failed = True

    def _write(self, lines: list[str]) -> None:
        if self._file is None:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            limit = self._size * (1 << 20) // FILES
            self._file = _Batches(self._folder / "access.jsonl", maxBytes=limit, backupCount=FILES - 1, delay=True)
        for start in range(0, len(lines), 1000):
            self._file.write("".join(lines[start : start + 1000]))

    async def keep_writing(self) -> None:
        """For as long as the daemon serves; what is left is written when it is cancelled."""
        try:
            while True:
                await asyncio.sleep(FLUSH)
                if self._pending:
                    await asyncio.to_thread(self.flush)
        finally:
            self.flush()
            self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class _Batches(logging.handlers.RotatingFileHandler):
    """The library's rotation, for many lines at once."""

    def write(self, text: str) -> None:
        """Raises `OSError`."""
        if self.stream is None:
            self.stream = self._open()
        self.stream.seek(0, os.SEEK_END)
        if self.stream.tell() + len(text) > self.maxBytes:
            self.doRollover()
            self.stream = self.stream or self._open()
        self.stream.write(text)
        self.stream.flush()


def _line(note: Note) -> str:
    """Spelled by hand, because it is done for every request: a third of what a JSON encoder takes."""
    at, client, user, method, path, status, sent, seconds, agent = note
    who = f'"user": {_quoted(user)}, ' if user else ""
    return (
        f'{{"time": "{_second(int(at))}.{int(at % 1 * 1000):03}Z", "client": "{client or ""}", {who}'
        f'"method": {_quoted(method)}, "path": {_quoted(path[:_LONGEST])}, "status": {status}, "bytes": {sent},'
        f' "seconds": {seconds:.5f}, "agent": {_quoted(agent[:_LONGEST])}}}\n'
    )


@lru_cache(maxsize=4)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")

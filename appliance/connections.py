"""Connections as aiohttp keeps them, but with an end to its patience, and to its talking about other people's mistakes.

aiohttp closes a connection that is silent after a request, and waits for the first one for as long as it takes; it
logs a malformed request with a traceback and the bytes that it could not read, credentials among them. Such a request
is answered 400 and stands in the access log like every other.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

FIRST = 30.0
"""Seconds for the first request's headers, at the most."""


class Connection(web.RequestHandler):
    """One client's."""

    __slots__ = ("_end", "patience")

    patience: float
    _end: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._end = self._loop.call_later(self.patience, self._look)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._end.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        if not self._request_count:
            self.force_close()

    def log_exception(self, *args: Any, **kw: Any) -> None:
        if not isinstance(kw.get("exc_info"), HttpProcessingError):
            super().log_exception(*args, **kw)


class Server(web.Server):
    """aiohttp's, of such connections."""

    patience = FIRST

    def __call__(self) -> web.RequestHandler:
        connection = Connection(self, loop=self._loop, **self._kwargs)
        connection.patience = self.patience
        return connection


class Runner(web.AppRunner):
    """aiohttp's, of such a server."""

    __slots__ = ("_patience",)

    def __init__(self, application: web.Application, patience: float, **settings: Any) -> None:
        """`patience` in seconds, for the first request's headers."""
        super().__init__(application, **settings)
        self._patience = min(FIRST, patience)

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        server = Server(made.request_handler, request_factory=made.request_factory, **self._kwargs)
        server.patience = self._patience
        return server

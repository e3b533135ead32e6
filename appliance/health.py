"""/healthz: whether the daemon can answer from its store, and which generation it answers from."""

from __future__ import annotations

import json
import logging
import sqlite3

from aiohttp import web

from appliance.store import Store

_log = logging.getLogger(__name__)


def add_health(application: web.Application, store: Store) -> None:
    async def get_health(_request: web.Request) -> web.Response:
        try:
            state, status = {"status": "ok", "generation": store.generation()}, 200
        except sqlite3.Error:
            _log.exception("the store's database does not answer")
            state, status = {"status": "the store's database does not answer"}, 503
        return web.Response(status=status, body=json.dumps(state).encode(), content_type="application/json")

    application.router.add_get("/healthz", get_health)

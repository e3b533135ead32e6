"""All of it, added to the daemon's HTTPS port."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator

from aiohttp import web

from appliance.access import ANYBODY
from appliance.addresses import Address
from appliance.doctor.watch import Watch
from appliance.registry.service import Registry
from appliance.store import Store
from appliance.web import metrics
from appliance.web.api import ROOT, add_api, as_json, refusal
from appliance.web.metrics import Metrics, Sample
from appliance.web.overview import Web
from appliance.web.pages import add_pages
from appliance.web.recent import aside
from appliance.web.visitors import PROTECTION
from archive.errors import Problem

_ROOM = 64 << 20  # bytes without which the database may not be able to commit


def add_web(
    application: web.Application,
    registry: Registry,
    watch: Watch,
    *,
    authority: Callable[[], bytes],
    plain: Address | None,
    counted: Metrics,
) -> None:
    """Pages, API, /metrics and /readyz. `authority` gives the PEM that clients are to trust."""
    asked = Web(registry, watch, authority, plain)
    application.router.add_get(f"{ROOT}/openapi.json", _describe)
    add_api(application, asked)
    add_pages(application, asked)

    async def get_metrics(request: web.Request) -> web.Response:
        try:
            asked.visitors.require_reader(await asked.visitors.identify(request))
            body = metrics.text([*counted.samples(), *await _measured(asked)])
        except (Problem, sqlite3.Error) as problem:
            return refusal(problem).response()
        return web.Response(body=body.encode(), headers={**PROTECTION, "Content-Type": metrics.CONTENT_TYPE})

    async def get_ready(_request: web.Request) -> web.Response:
        wrong = await aside(lambda: [*_unready(registry.store)])
        state = {"ready": not wrong, "why": wrong}
        return web.Response(
            status=503 if wrong else 200, body=json.dumps(state).encode(), content_type="application/json"
        )

    async def close(_application: web.Application) -> None:
        asked.close()

    application.router.add_get("/metrics", get_metrics)
    application.router.add_get("/readyz", get_ready)
    application.on_shutdown.append(close)


async def _describe(_request: web.Request) -> web.Response:
    from appliance.web.openapi import document  # noqa: PLC0415 - pydantic is loaded when somebody asks

    return as_json(document())


async def _measured(asked: Web) -> list[Sample]:
    """Of the store and the cluster, as anybody may know of them."""
    seen, nodes = await asked.wellbeing.get(), await asked.nodes.get()
    found = await aside(asked.items.search, asked.access, ANYBODY, size=1)
    levels = {level: sum(concern.level == level for concern in seen.concerns) for level in ("fatal", "warning")}
    states = [node.state for node in nodes]
    return [
        metrics.gauge("crate_generation", "The active generation, 0 before the first.", seen.status.generation or 0),
        metrics.gauge("crate_store_bytes", "What the store takes of the disk.", seen.status.used),
        metrics.gauge("crate_disk_free_bytes", "What is left of the disk.", seen.status.free),
        metrics.by_label("crate_items", "Versions that are here and open to anybody.", "kind", dict(found.counts)),
        metrics.by_label("crate_concerns", "What is not well.", "level", levels),
        metrics.gauge("crate_unmet_requests", "Things asked for that are not here.", len(await asked.unmet.get())),
        metrics.by_label("crate_nodes", "Nodes, by how the last run left them.", "state", _tally(states)),
    ]


def _tally(states: list[str]) -> dict[str, float]:
    return {state: float(states.count(state)) for state in {*states}}


def _unready(store: Store) -> Iterator[str]:
    """Why nobody should be sent here now."""
    try:
        store.generation()
    except sqlite3.Error:
        yield "the store's database does not answer"
    if not os.access(store.root, os.W_OK):
        yield "the store cannot be written to"
    elif shutil.disk_usage(store.root).free < _ROOM:
        yield "the disk of the store is full"

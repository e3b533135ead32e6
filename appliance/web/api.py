"""The API below /api/v1/: one table of what is asked and answered. The server goes by it, and so does its description.

Answers are JSON, made of the dataclasses that the table names; refusals have the shape of the registry's. What changes
anything is an operator's.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from itertools import groupby
from typing import Any, Literal

from aiohttp import web

from appliance import collect, generations
from appliance.access import Caller
from appliance.collect import Collection
from appliance.errors import NoGeneration, StoreBusy, StoreFull
from appliance.generations import Activation, Generation
from appliance.items import KINDS, LONGEST, Found, Held
from appliance.registry.errors import Refusal, Unsupported, error_response
from appliance.requests import Requests
from appliance.web import changes as changing
from appliance.web import runs
from appliance.web.changes import Changes
from appliance.web.commands import Command, commands
from appliance.web.nodes import Node, answering
from appliance.web.overview import Overview, Web
from appliance.web.recent import aside
from appliance.web.runs import Run
from appliance.web.space import Space
from appliance.web.visitors import PROTECTION
from archive.errors import Problem
from archive.requests import Unmet

ROOT = "/api/v1"
_LARGEST = 2**53 - 1  # that JSON readers keep exact
_STREAMS = 50  # that may be open at once
_CHANGES = 5_000

_log = logging.getLogger(__name__)


class BadParameter(Refusal):
    """A parameter that is none, or has a value that it cannot have."""

    code, status = "BAD_REQUEST", 400


class NotHere(Refusal):
    code, status = "NOT_FOUND", 404


class Conflict(Refusal):
    code, status = "CONFLICT", 409


class Busy(Refusal):
    code, status = "UNAVAILABLE", 503


@dataclass(frozen=True, slots=True)
class Parameter:
    """Of a query, or with `path` of the path. Without a `default` it must be there."""

    name: str
    about: str
    type: Literal["string", "integer"] = "string"
    default: str | int | None = None
    among: Sequence[str] = ()
    path: bool = False

    def read(self, text: str | None) -> str | int:
        """Raises `BadParameter`."""
        if text is None:
            if self.default is None:
                raise BadParameter(f"{self.name} is missing", hint=self.about)
            return self.default
        if self.type == "integer":
            if not text.isascii() or not text.isdigit() or not 1 <= len(text) <= 16 or not 1 <= int(text) <= _LARGEST:
                raise BadParameter(f"{self.name} is no whole number from 1 on", hint=self.about)
            return int(text)
        if self.among and text not in self.among:
            raise BadParameter(f"{self.name} is none of {', '.join(self.among)}", hint=self.about)
        if not self.path and len(text) > LONGEST:
            raise BadParameter(f"{self.name} is longer than {LONGEST} characters", hint=self.about)
        return text


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: who asks, and what by which parameters."""

    here: Web
    request: web.Request
    caller: Caller
    given: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Version:
    """What the crate holds of one version, and the commands that fetch it."""

    item: Held
    commands: tuple[Command, ...]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many requests were forgotten."""

    forgotten: int


@dataclass(frozen=True, slots=True)
class Route:
    """`answer` is the type of the JSON; None for an event stream."""

    method: str
    path: str
    handle: Callable[[Ask], Awaitable[object]]
    answer: Any
    about: str
    parameters: Sequence[Parameter] = ()
    operator: bool = False


async def _status(ask: Ask) -> Overview:
    return await ask.here.overview(ask.caller)


async def _items(ask: Ask) -> Found:
    given = ask.given
    search = ask.here.items.search
    return await aside(search, ask.here.access, ask.caller, given["q"], kind=given["kind"], page=given["page"])


async def _item(ask: Ask) -> tuple[Version, ...]:
    kind, name = ask.given["kind"], ask.given["name"]
    found = await aside(ask.here.items.versions, ask.here.access, ask.caller, kind, name)
    if not found:
        raise NotHere(f"there is no {kind} {name[:LONGEST]} here", hint="GET items?q= searches")
    address = ask.here.registry.callers.origin(ask.request).partition("//")[2]
    return tuple(Version(held, commands(held, address)) for held in found)


async def _generations(ask: Ask) -> tuple[Generation, ...]:
    return await ask.here.generations()


async def _changes(ask: Ask) -> Changes:
    return await changes(ask, ask.given["since"], ask.given["generation"], limit=_CHANGES)


async def changes(ask: Ask, since: int, generation: int, *, limit: int) -> Changes:
    """Raises `NoGeneration`."""
    here = ask.here
    return await aside(
        changing.changes, here.registry.store.database, here.access, ask.caller, since, generation, limit=limit
    )


async def _requests(ask: Ask) -> tuple[Unmet, ...]:
    return await ask.here.requests(ask.caller)


async def _nodes(ask: Ask) -> tuple[Node, ...]:
    return await answering(await ask.here.nodes.get())


async def _run(ask: Ask) -> Run | None:
    return await ask.here.run.get()


async def _space(ask: Ask) -> Space:
    return await ask.here.space.get()


async def _events(ask: Ask) -> web.StreamResponse:
    streams = ask.here.streams
    if len(streams) >= _STREAMS:
        raise Busy("too many look on already", hint="GET run tells how far it is", headers={"Retry-After": "10"})
    response = web.StreamResponse(headers={**PROTECTION, "Content-Type": "text/event-stream"})
    task = asyncio.current_task()
    streams.add(task)
    try:
        await response.prepare(ask.request)
        operator = ask.here.access.may_operate(ask.caller)
        async for message in runs.follow(ask.here.registry.store.root, operator=operator):
            async with asyncio.timeout(ask.here.registry.idle):
                await response.write(message.encode())
    except (ConnectionError, TimeoutError):
        pass  # nobody looks any more
    finally:
        streams.discard(task)
    return response


async def forget_requests(ask: Ask) -> Forgotten:
    gone = await asyncio.to_thread(Requests(ask.here.registry.store.database).clear)
    ask.here.changed()
    return Forgotten(gone)


async def activate(ask: Ask) -> Activation:
    try:
        return await asyncio.to_thread(generations.rollback, ask.here.registry.store, ask.given["generation"])
    finally:
        ask.here.changed()


async def collect_now(ask: Ask) -> Collection:
    try:
        return await asyncio.to_thread(collect.collect, ask.here.registry.store)
    finally:
        ask.here.changed()


_KIND = Parameter("kind", "one kind of item", among=KINDS, path=True)
_GENERATION = Parameter("generation", "the number of a generation", type="integer", path=True)

ROUTES: Sequence[Route] = (
    Route("GET", "/status", _status, Overview, "What the crate is, and whether all is well."),
    Route(
        "GET",
        "/items",
        _items,
        Found,
        "What the crate holds, searched: every word of `q` must be in a name or version.",
        (
            Parameter("q", "words to look for", default=""),
            Parameter("kind", "one kind of item; empty for all", default="", among=("", *KINDS)),
            Parameter("page", "which page of 50 items", type="integer", default=1),
        ),
    ),
    Route(
        "GET",
        "/items/{kind}/{name}",
        _item,
        tuple[Version, ...],
        "All versions of one name, each with the commands that fetch it.",
        (_KIND, Parameter("name", "its name, slashes included", path=True)),
    ),
    Route("GET", "/generations", _generations, tuple[Generation, ...], "What was active when, the latest first."),
    Route(
        "GET",
        "/generations/{generation}/changes",
        _changes,
        Changes,
        "What a generation has that an earlier one has not, and the other way round.",
        (_GENERATION, Parameter("since", "the number of the earlier one", type="integer")),
    ),
    Route(
        "POST",
        "/generations/{generation}/activate",
        activate,
        Activation,
        "Goes back to a generation that is still here.",
        (_GENERATION,),
        operator=True,
    ),
    Route("GET", "/requests", _requests, tuple[Unmet, ...], "What was asked for and is not here, the latest first."),
    Route("DELETE", "/requests", forget_requests, Forgotten, "Forgets what was asked for.", operator=True),
    Route("GET", "/nodes", _nodes, tuple[Node, ...], "The machines of the site."),
    Route("GET", "/run", _run, Run | None, "The installation under way, or the last one; null before the first."),
    Route(
        "GET",
        "/run/events",
        _events,
        None,
        "The same as it happens: server-sent events `run`, `event` and `ended`, each with JSON. Endless.",
    ),
    Route("GET", "/space", _space, Space, "The disk, and what a collection would give back."),
    Route("POST", "/space/collect", collect_now, Collection, "Gives back what nothing needs any more.", operator=True),
)


def add_api(application: web.Application, asked: Web) -> None:
    """Every route of the table, and a refusal for what else is asked."""
    for path, routes in groupby(ROUTES, key=lambda route: route.path):
        _add_routes(application, asked, path.replace("{name}", "{name:.+}"), [*routes])

    async def nothing(request: web.Request) -> web.Response:
        refusal = NotHere(f"there is nothing at {request.path[:LONGEST]}", hint=f"{ROOT}/openapi.json lists what is")
        return _refused(refusal)

    application.router.add_route("*", f"{ROOT}{{path:(/.*)?}}", nothing)


def _add_routes(application: web.Application, asked: Web, path: str, routes: Sequence[Route]) -> None:
    """Those of one path; other methods are refused, naming these."""
    methods = {route.method: route for route in routes}

    async def handle(request: web.Request) -> web.StreamResponse:
        route = methods.get(request.method)
        if route is None:
            return _refused(
                Unsupported(f"{request.method} means nothing here", headers={"Allow": ", ".join(sorted(methods))})
            )
        return await answer(asked, route, request)

    application.router.add_route("*", f"{ROOT}{path}", handle)


async def answer(asked: Web, route: Route, request: web.Request) -> web.StreamResponse:
    """The handler's answer as JSON, or why there is none."""
    try:
        caller = await asked.visitors.identify(request)
        if route.operator:
            asked.visitors.require_operator(request, caller)
        else:
            asked.visitors.require_reader(caller)
        found = await route.handle(Ask(asked, request, caller, _given(route, request)))
    except (Refusal, Problem, sqlite3.Error) as problem:
        return _refused(refusal(problem))
    return found if isinstance(found, web.StreamResponse) else as_json(found)


def refusal(problem: Exception) -> Refusal:
    """What a problem is to whoever asked by HTTP."""
    match problem:
        case Refusal():
            return problem
        case NoGeneration():
            return NotHere(problem.what, hint=problem.hint)
        case StoreBusy() | StoreFull():
            return Busy(problem.what, hint=problem.hint, headers={"Retry-After": "10"})
        case Problem():
            return Conflict(problem.what, hint=problem.hint)
        case _:
            _log.error("the database does not answer: %s", problem)
            return Busy("the database does not answer", hint="try again", headers={"Retry-After": "2"})


def _given(route: Route, request: web.Request) -> dict[str, str | int]:
    """Raises `BadParameter`."""
    known = {parameter.name for parameter in route.parameters if not parameter.path}
    for name in request.query:
        if name not in known:
            hint = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
            raise BadParameter(f"there is no parameter {name[:40]!r}", hint=hint)
        if len(request.query.getall(name)) > 1:
            raise BadParameter(f"{name} is given twice")
    return {
        parameter.name: parameter.read((request.match_info if parameter.path else request.query).get(parameter.name))
        for parameter in route.parameters
    }


def as_json(found: object) -> web.Response:
    body = json.dumps(found, default=_plain).encode()
    return web.Response(body=body, content_type="application/json", headers=PROTECTION)


def _plain(found: object) -> object:
    if is_dataclass(found) and not isinstance(found, type):
        return asdict(found)
    raise TypeError(f"{type(found).__name__} is not for JSON")


def _refused(refused: Refusal) -> web.Response:
    headers = {**PROTECTION, **refused.headers}
    return error_response(refused.status, refused.code, refused.what, refused.hint, headers)

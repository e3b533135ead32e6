"""The page for people: what the API answers, as HTML that works without JavaScript."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote

from aiohttp import web

from appliance.access import ANYBODY, Caller
from appliance.client_setup import CLIENTS
from appliance.items import KINDS, LONGEST, Held
from appliance.registry.errors import Refusal, TooManyRequests, Unauthorized
from appliance.web import api, render
from appliance.web.api import Ask, NotHere, Parameter, refusal
from appliance.web.commands import commands
from appliance.web.nodes import answering
from appliance.web.overview import Web
from appliance.web.recent import aside
from appliance.web.setup import Guide, guide, script
from appliance.web.visitors import PROTECTION
from archive.errors import Problem

_FORM = 16 << 10  # bytes
_FOR_GOOD = {"Cache-Control": "public, max-age=31536000, immutable"}
_NEXT = re.compile(r"/(?!/)[A-Za-z0-9/_.~%?=&+:@-]{0,300}")
_CHANGES = 300

Values = Mapping[str, Any]
View = Callable[[Ask], Awaitable[tuple[str, Values]]]
"""The name of a template, and what is filled in."""
Act = Callable[[Ask], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class _Page:
    path: str
    show: View
    parameters: Sequence[Parameter] = ()


@dataclass(frozen=True, slots=True)
class _Deed:
    """A form that an operator sends; then `back` is shown, which says what came of it."""

    path: str
    act: Act
    back: str
    parameters: Sequence[Parameter] = ()


async def _overview(ask: Ask) -> tuple[str, Values]:
    return "overview", {"here": await ask.here.overview(ask.caller)}


async def _contents(ask: Ask) -> tuple[str, Values]:
    found = await aside(
        ask.here.items.search,
        ask.here.access,
        ask.caller,
        ask.given["q"],
        kind=ask.given["kind"],
        page=ask.given["page"],
    )
    rows = [(held, _link(held), commands(held, _address(ask))[:1]) for held in found.items]
    return "contents", {"found": found, "rows": rows, "q": ask.given["q"], "kind": ask.given["kind"]}


async def _item(ask: Ask) -> tuple[str, Values]:
    kind, name = ask.given["kind"], ask.given["name"]
    found = await aside(ask.here.items.versions, ask.here.access, ask.caller, kind, name)
    if not found:
        raise NotHere(f"there is no {name[:LONGEST]} among the {render.KIND_NAMES[kind].lower()} here")
    rows = [(held, commands(held, _address(ask))) for held in reversed(found)]
    return "item", {"name": name, "kind": kind, "rows": rows}


async def _nodes(ask: Ask) -> tuple[str, Values]:
    seen = await ask.here.wellbeing.get()
    nodes = await answering(await ask.here.nodes.get())
    return "nodes", {"nodes": nodes, "run": seen.run}


async def _generations(ask: Ask) -> tuple[str, Values]:
    found = await ask.here.generations()
    seen = await ask.here.wellbeing.get()
    return "generations", {"generations": found, "signers": seen.signers}


async def _generation(ask: Ask) -> tuple[str, Values]:
    found = await ask.here.generations()
    chosen = next((each for each in found if each.id == ask.given["generation"]), None)
    if chosen is None:
        raise NotHere(f"there is no generation {ask.given['generation']}")
    others = [each for each in found if each.id != chosen.id]
    older = [each for each in others if each.activated_at < chosen.activated_at]
    since = ask.given["since"] or (older or others or [chosen])[0].id
    changes = await api.changes(ask, since, chosen.id, limit=_CHANGES)
    return "generation", {"chosen": chosen, "others": others, "changes": changes}


async def _requests(ask: Ask) -> tuple[str, Values]:
    requests = await ask.here.requests(ask.caller)
    remedies = await aside(_remedies, requests)
    return "requests", {"rows": [*zip(requests, remedies, strict=True)]}


def _remedies(requests: Sequence[Any]) -> list[str]:
    if not requests:
        return []
    from mirror.requested import remedy  # noqa: PLC0415 - loads every ecosystem's rules

    found = [remedy(request) for request in requests]
    return [each.line() if each else "" for each in found]


async def _installation(ask: Ask) -> tuple[str, Values]:
    return "installation", {"run": await ask.here.run.get()}


async def _space(ask: Ask) -> tuple[str, Values]:
    return "space", {"space": await ask.here.space.get()}


async def _setup(_ask: Ask) -> tuple[str, Values]:
    return "setup", {"clients": sorted(CLIENTS)}


async def _client(ask: Ask) -> tuple[str, Values]:
    found: Guide = await aside(guide, ask.here, ask.request, ask.given["client"])
    return "client", {"guide": found, "clients": sorted(CLIENTS)}


_GENERATION = Parameter("generation", "the number of a generation", type="integer", path=True)
_CLIENT = Parameter("client", "one of the clients", among=sorted(CLIENTS), path=True)
PAGES: Sequence[_Page] = (
    _Page("/", _overview),
    _Page(
        "/contents",
        _contents,
        (
            Parameter("q", "words to look for", default=""),
            Parameter("kind", "one kind of item", default="", among=("", *KINDS)),
            Parameter("page", "which page", type="integer", default=1),
        ),
    ),
    _Page(
        "/contents/{kind}/{name:.+}",
        _item,
        (Parameter("kind", "one kind of item", among=KINDS, path=True), Parameter("name", "its name", path=True)),
    ),
    _Page("/nodes", _nodes),
    _Page("/generations", _generations),
    _Page(
        "/generations/{generation}",
        _generation,
        (_GENERATION, Parameter("since", "the one to compare with", type="integer", default=0)),
    ),
    _Page("/requests", _requests),
    _Page("/installation", _installation),
    _Page("/space", _space),
    _Page("/setup", _setup),
    _Page("/setup/{client}", _client, (_CLIENT,)),
)
DEEDS: Sequence[_Deed] = (
    _Deed("/requests/forget", api.forget_requests, "/requests"),
    _Deed("/generations/{generation}/activate", api.activate, "/generations", (_GENERATION,)),
    _Deed("/space/collect", api.collect_now, "/space"),
)


def add_pages(application: web.Application, here: Web) -> None:
    async def get_script(request: web.Request) -> web.StreamResponse:
        return await _script(here, request)

    application.router.add_get("/setup/{client}.sh", get_script)
    for page in PAGES:
        _add_page(application, here, page)
    for deed in DEEDS:
        _add_deed(application, here, deed)

    async def sign_on(request: web.Request) -> web.StreamResponse:
        return await _sign_on(here, request)

    async def sign_off(request: web.Request) -> web.StreamResponse:
        return _sign_off(here, request)

    application.router.add_get("/sign-on", sign_on)
    application.router.add_post("/sign-on", sign_on)
    application.router.add_post("/sign-off", sign_off)
    application.router.add_get("/page/{stamp}/{name}", _static)


def _add_page(application: web.Application, here: Web, page: _Page) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await _shown(here, request, page)

    application.router.add_get(page.path, handle)


def _add_deed(application: web.Application, here: Web, deed: _Deed) -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await _done(here, request, deed)

    application.router.add_post(deed.path, handle)


async def _shown(here: Web, request: web.Request, page: _Page) -> web.Response:
    caller = ANYBODY
    try:
        caller = await here.visitors.identify(request)
        here.visitors.require_reader(caller)
        template, values = await page.show(Ask(here, request, caller, _lenient(page.parameters, request)))
    except (Refusal, Problem, sqlite3.Error) as problem:
        return _refused(request, caller, refusal(problem))
    return _html(request, caller, template, values)


async def _done(here: Web, request: web.Request, deed: _Deed) -> web.Response:
    caller = ANYBODY
    try:
        caller = await here.visitors.identify(request)
        here.visitors.require_operator(request, caller)
        await deed.act(Ask(here, request, caller, _lenient(deed.parameters, request)))
    except (Refusal, Problem, sqlite3.Error) as problem:
        return _refused(request, caller, refusal(problem))
    return _elsewhere(deed.back)


def _lenient(parameters: Sequence[Parameter], request: web.Request) -> dict[str, Any]:
    """As people type addresses: what is unknown is passed over, what makes no sense is as if it were not there."""
    given: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.path:
            given[parameter.name] = parameter.read(request.match_info.get(parameter.name))
            continue
        text = request.query.get(parameter.name)
        try:
            given[parameter.name] = parameter.read(text and text[:LONGEST])
        except Refusal:
            given[parameter.name] = parameter.default
    return given


async def _sign_on(here: Web, request: web.Request) -> web.Response:
    wanted, wrong, status = request.query.get("next", "/"), "", 200
    if request.method == "POST":
        try:
            here.visitors.require_own_page(request)
            form = await _form(request)
            response = _elsewhere(_local(form.get("next", "/")))
            if await here.visitors.begin(request, form.get("name", ""), form.get("password", ""), response):
                return response
            wrong, status, wanted = "Name and password do not fit.", 401, form.get("next", "/")
        except TooManyRequests as refused:
            wrong, status = f"{refused.what[:1].upper()}{refused.what[1:]}.", refused.status
        except (Problem, sqlite3.Error) as problem:
            return _refused(request, ANYBODY, refusal(problem))
    return _html(request, ANYBODY, "sign-on", {"next": _local(wanted), "wrong": wrong}, status=status)


def _sign_off(here: Web, request: web.Request) -> web.Response:
    try:
        here.visitors.require_own_page(request)
    except Refusal as refused:
        return _refused(request, ANYBODY, refused)
    response = _elsewhere("/")
    here.visitors.end(request, response)
    return response


async def _script(here: Web, request: web.Request) -> web.Response:
    try:
        here.visitors.require_reader(await here.visitors.identify(request))
        client = _CLIENT.read(request.match_info["client"])
        text = await aside(script, here, request, str(client))
    except (Problem, sqlite3.Error) as problem:
        return refusal(problem).response()
    return web.Response(text=text, content_type="text/plain", headers=PROTECTION)


async def _form(request: web.Request) -> dict[str, str]:
    """Raises `Refusal`, for what is no small form."""
    if request.content_type != "application/x-www-form-urlencoded" or (request.content_length or 0) > _FORM:
        raise api.BadParameter("this is no form of ours")
    try:
        fields = parse_qs((await request.read()).decode(errors="replace"), max_num_fields=20)
    except ValueError as error:
        raise api.BadParameter("this is no form of ours") from error
    return {name: values[0] for name, values in fields.items()}


async def _static(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    if name not in render.STATIC or request.path != render.address_of(name):
        return web.Response(status=404, text="there is nothing here\n", headers=PROTECTION)
    headers = {**PROTECTION, **_FOR_GOOD, "Content-Type": render.STATIC[name]}
    return web.Response(body=render.static(name), headers=headers)


def _html(request: web.Request, caller: Caller, template: str, values: Values, *, status: int = 200) -> web.Response:
    filled = {"caller": caller, "operator": caller.role is not None and caller.role.value == "operator", **values}
    body = render.page(template, {**filled, "path": request.path, "secure": request.secure}).encode()
    return web.Response(body=body, status=status, content_type="text/html", charset="utf-8", headers=PROTECTION)


def _refused(request: web.Request, caller: Caller, refused: Refusal) -> web.Response:
    if isinstance(refused, Unauthorized) and request.method == "GET" and "Authorization" not in request.headers:
        return _elsewhere(f"/sign-on?next={quote(_local(request.path_qs))}")
    response = _html(request, caller, "refused", {"refused": refused}, status=refused.status)
    response.headers.update(refused.headers)
    return response


def _elsewhere(path: str) -> web.Response:
    return web.Response(status=303, headers={**PROTECTION, "Location": path})


def _local(path: str) -> str:
    """A page of ours, whatever was asked for."""
    return path if _NEXT.fullmatch(path) else "/"


def _address(ask: Ask) -> str:
    return ask.here.registry.callers.origin(ask.request).partition("//")[2]


def _link(held: Held) -> str:
    return f"/contents/{held.kind}/{quote(held.name)}"

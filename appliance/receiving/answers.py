"""How an upload ends: published, or one of the ways in which it is not, in words that the clients show."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from appliance.access import Caller
from appliance.errors import (
    BadContribution,
    BadPublication,
    CrateConflict,
    HeldByCrate,
    HeldByOthers,
    StoreFailed,
    StoreFull,
)
from appliance.registry.errors import Denied, Refusal, Unauthorized
from appliance.registry.service import Registry
from archive.errors import Problem

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="crate"'}

_log = logging.getLogger(__name__)


def answering(handler: Handler) -> Handler:
    """`handler`, with problems told as statuses and a line of text."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refusal as refusal:
            status = {401: 401, 403: 403, 429: 429}.get(refusal.status, 400)
            headers = _CHALLENGE if status == 401 else dict(refusal.headers)
            return _told(status, refusal, headers)
        except (HeldByCrate, HeldByOthers, CrateConflict) as problem:
            return _told(409, problem)
        except StoreFull as problem:
            return _told(507, problem)
        except StoreFailed as problem:
            _log.error("%s", problem.what)
            return _told(503, problem)
        except (BadContribution, BadPublication, Problem) as problem:
            return _told(400, problem)

    return answer


async def may_publish(registry: Registry, request: web.Request, name: str) -> Caller:
    """Whoever sent the request, if he may publish `name`. Raises `Unauthorized`, `Denied`."""
    return allowed(registry, await registry.callers.identify(request), name)


def allowed(registry: Registry, caller: Caller, name: str) -> Caller:
    if not registry.access.may_publish(caller, name):
        if caller.role is None:
            raise Unauthorized(f"{name} wants a publisher's name and password, or token")
        raise Denied(f"{caller.name} may not publish {name}", hint="an operator gives rights")
    return caller


def _told(status: int, problem: Problem, headers: dict[str, str] | None = None) -> web.Response:
    text = f"{problem.what}; {problem.hint}" if problem.hint else problem.what
    # reason: what twine shows, and the body what npm and curl show
    return web.Response(status=status, reason=text.splitlines()[0][:300], text=f"{text}\n", headers=headers)

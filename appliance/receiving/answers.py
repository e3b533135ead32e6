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
    StoreBusy,
    StoreFailed,
    StoreFull,
)
from appliance.registry.errors import Denied, Refusal, Unauthorized
from appliance.registry.service import Registry
from archive.errors import Problem

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_RIGHTS = "an operator gives rights: crate-appliance users change"
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
        except (StoreBusy, StoreFailed) as problem:
            _log.error("%s", problem.what)
            return _told(503, problem, {"Retry-After": "5"})
        except (BadContribution, BadPublication, Problem) as problem:
            return _told(400, problem)

    return answer


async def publisher(registry: Registry, request: web.Request) -> Caller:
    """Whoever sent the request, known before its body is read. Raises `Unauthorized`, `Denied`."""
    caller = await registry.callers.identify(request)
    if caller.role is None:
        raise Unauthorized("publishing wants a publisher's name and password, or token")
    if not caller.publishes:
        raise Denied(f"{caller.name} reads here, and may not publish", hint=_RIGHTS)
    return caller


def check_right(registry: Registry, caller: Caller, name: str) -> None:
    """Raises `Denied` unless he may publish under this name."""
    if not registry.access.may_publish(caller, name):
        raise Denied(f"{caller.name} may not publish {name}", hint=_RIGHTS)


def _told(status: int, problem: Problem, headers: dict[str, str] | None = None) -> web.Response:
    text = f"{problem.what}; {problem.hint}" if problem.hint else problem.what
    # reason: what twine shows, and the body what npm and curl show
    return web.Response(status=status, reason=text.splitlines()[0][:300], text=f"{text}\n", headers=headers)

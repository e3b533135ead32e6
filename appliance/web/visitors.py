"""Who looks at the page or asks the API, whether a browser was tricked into it, and what protects the answer.

A browser signs on with a cookie that it sends to this very origin alone (RFC 6265bis: SameSite=Strict, the __Host-
prefix). What changes anything must come from a page of ours: with a cookie, `Origin` or `Sec-Fetch-Site` has to say so.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from appliance.access import ANYBODY, Caller
from appliance.registry.callers import WHO
from appliance.registry.errors import Denied, Unauthorized
from appliance.registry.service import Registry
from appliance.sessions import PAGE_LASTING

_CHALLENGE = {"WWW-Authenticate": 'Basic realm="crate"'}

PROTECTION: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with none at all, browsers hide the origin of our own forms
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Headers of every answer of page and API: nothing from elsewhere, no inline script or style, in nobody's frame."""


class Visitors:
    """Over the callers of a registry. To be used from the event loop's thread."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def identify(self, request: web.Request) -> Caller:
        """By credentials, or else by the page's cookie. Raises `Unauthorized`, `Denied`, `TooManyRequests`."""
        if "Authorization" in request.headers:
            return await self._registry.callers.identify(request)
        session = request.cookies.get(_cookie(request), "")
        caller = self._registry.callers.of_session(session) if session else ANYBODY
        request[WHO] = caller.name
        return caller

    def require_reader(self, caller: Caller) -> None:
        """Raises `Unauthorized` where looking is not open to everybody."""
        if not self._registry.access.may_list(caller):
            raise Unauthorized("this is not open to everybody", hint="sign on", headers=_CHALLENGE)

    def require_operator(self, request: web.Request, caller: Caller) -> None:
        """Raises `Unauthorized`, or `Denied` for others and for what another site's page sent."""
        if caller.role is None:
            raise Unauthorized("an operator may do this", hint="sign on", headers=_CHALLENGE)
        if "Authorization" not in request.headers:
            self.require_own_page(request)
        if not self._registry.access.may_operate(caller):
            raise Denied(f"{caller.name} may not do this", hint="an operator may: crate-appliance users change")

    def require_own_page(self, request: web.Request) -> None:
        """Raises `Denied` unless the browser says that a page of this crate sent the request."""
        origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
        if (
            (origin or site)
            and origin in {None, self._registry.callers.origin(request)}
            and site in {None, "same-origin"}
        ):
            return
        raise Denied("this did not come from a page of the crate", hint="open the crate's own page and do it there")

    async def begin(self, request: web.Request, name: str, password: str, response: web.Response) -> bool:
        """Signs a person on, who is remembered by a cookie of `response`; whether the password was right.

        Raises `Denied`, `TooManyRequests`.
        """
        session = await self._registry.callers.begin_session(request, name, password)
        if session is not None:
            response.set_cookie(
                _cookie(request),
                session,
                max_age=PAGE_LASTING,
                path="/",
                secure=request.secure,
                httponly=True,
                samesite="Strict",
            )
        return session is not None

    def end(self, request: web.Request, response: web.Response) -> None:
        """Has the browser forget its session."""
        response.del_cookie(_cookie(request), path="/", secure=request.secure, httponly=True, samesite="Strict")


def _cookie(request: web.Request) -> str:
    """Without TLS (this machine's own connections alone may sign on) browsers refuse the stricter name."""
    return "__Host-crate" if request.secure else "crate"

"""Who asks, and the token service that docker's login, pulls and pushes are built on.

Docker logs in only where `/v2/` answers 401, and pulls without credentials only where the challenge is Bearer. So
`/v2/` challenges everybody to fetch a token; where pulls are open the service gives one that says "nobody in
particular", and in exchange for a crate's token (as the password of any user) it gives that token itself. Clients
that skip all this (curl, containerd) are answered without a token as far as pulls are open.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import re

from aiohttp import web

from appliance.access import ANYBODY, Access, Caller
from appliance.registry.errors import Denied, Unauthorized
from appliance.tokens import Tokens

TOKEN_PATH = "/token"  # noqa: S105 - a path
SERVICE = "crate"
_ANONYMOUS = "anonymous"
_EXPIRES = 3600  # seconds; clients ask again then. Revoking a token works at once all the same.
_HOST = re.compile(r"[A-Za-z0-9.\-_\[\]:]{1,255}")
_FORM_LIMIT = 16 << 10  # bytes of a token request's form


class Callers:
    """Tells callers apart by what they send."""

    def __init__(self, tokens: Tokens, access: Access, fallback_host: str) -> None:
        """`fallback_host` goes into challenges to clients that send no usable Host."""
        self._tokens = tokens
        self._access = access
        self._fallback_host = fallback_host

    def identify(self, request: web.Request) -> Caller:
        """Raises `Unauthorized` for credentials that are none, `Denied` where they should not have been sent."""
        header = request.headers.get("Authorization")
        if header is None:
            return ANYBODY
        scheme, _, value = header.partition(" ")
        secret = _password(value) if scheme.lower() == "basic" else value.strip()
        if scheme.lower() == "bearer" and secret == _ANONYMOUS and self._access.open_pulls:
            return ANYBODY
        self._refuse_in_the_clear(request)
        caller = self._tokens.caller(secret)
        if caller is None:
            raise Unauthorized(
                "this token is not known here",
                hint="crate-appliance token create makes one; it is the password of any user name",
                headers=self.challenge(request),
            )
        return caller

    def wanted(self, request: web.Request) -> Unauthorized:
        """What `/v2/` says to whoever brings no token at all."""
        return Unauthorized("a token is wanted, and given at the realm", headers=self.challenge(request))

    def challenge(self, request: web.Request, repository: str = "", actions: str = "pull") -> dict[str, str]:
        """Where and for what to fetch a token (distribution's token authentication, "How to authenticate")."""
        realm = f"{self.origin(request)}{TOKEN_PATH}"
        scope = f',scope="repository:{repository}:{actions}"' if repository else ""
        return {"WWW-Authenticate": f'Bearer realm="{realm}",service="{SERVICE}"{scope}'}

    def origin(self, request: web.Request) -> str:
        """The crate's base URL as this client wrote it."""
        host = request.headers.get("Host", "")
        if not _HOST.fullmatch(host):
            host = self._fallback_host
        secure = request.secure or request.headers.get("X-Forwarded-Proto") == "https"
        return f"{'https' if secure else 'http'}://{host}"

    async def give_token(self, request: web.Request) -> web.Response:
        """The token service: GET with Basic credentials or none, POST with an OAuth 2 form, as docker does both."""
        secret = await self._offered_secret(request)
        if secret is None:
            if not self._access.open_pulls:
                raise Unauthorized(
                    "pulls are not open here",
                    hint="log in with a token as the password",
                    headers={"WWW-Authenticate": f'Basic realm="{SERVICE}"'},
                )
            secret = _ANONYMOUS
        else:
            self._refuse_in_the_clear(request)
            anonymous = secret == _ANONYMOUS and self._access.open_pulls
            if not anonymous and self._tokens.caller(secret) is None:
                raise Unauthorized("the password is no token of this crate", hint="crate-appliance token list")
        answer = {"token": secret, "access_token": secret, "expires_in": _EXPIRES}
        return web.Response(
            body=json.dumps(answer).encode(), content_type="application/json", headers={"Cache-Control": "no-store"}
        )

    async def _offered_secret(self, request: web.Request) -> str | None:
        header = request.headers.get("Authorization", "")
        if header.lower().startswith("basic "):
            return _password(header.partition(" ")[2])
        if request.method == "POST":
            form = await _small_form(request)
            return form.get("password") or form.get("refresh_token")
        return None

    def _refuse_in_the_clear(self, request: web.Request) -> None:
        """A token that crossed a network in the clear is everybody's."""
        if not request.secure and not _is_loopback(request.remote):
            raise Denied("tokens are taken over TLS only", hint="use the https address, and revoke this token")


async def _small_form(request: web.Request) -> dict[str, str]:
    if request.content_type != "application/x-www-form-urlencoded" or (request.content_length or 0) > _FORM_LIMIT:
        return {}
    return {name: value for name, value in (await request.post()).items() if isinstance(value, str)}


def _password(basic: str) -> str:
    """The password of Basic credentials; empty when they are malformed."""
    try:
        return base64.b64decode(basic, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _is_loopback(address: str | None) -> bool:
    try:
        return ipaddress.ip_address((address or "").partition("%")[0]).is_loopback
    except ValueError:
        return False

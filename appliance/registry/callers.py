"""Who asks, and the token service that docker's login, pulls and pushes are built on.

Docker logs in only where `/v2/` answers 401, and pulls without credentials only where the challenge is Bearer. So
`/v2/` challenges everybody to fetch a token; where pulls are open the service gives one that says "nobody in
particular", in exchange for a crate's token (as the password of any user) it gives that token itself, and in exchange
for a user's password a session. Clients that skip all this (curl, containerd) are answered without a token as far as
pulls are open; those that know Basic credentials alone (pip, npm, apt, twine) send either kind with every request.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import json
import re
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable
from urllib.parse import parse_qsl

from aiohttp import web

from appliance.access import ANYBODY, Access, Caller
from appliance.registry.errors import Denied, TooManyRequests, Unauthorized
from appliance.sessions import PAGE_LASTING, Sessions
from appliance.throttle import Throttle
from appliance.tokens import Tokens, looks_like_token
from appliance.users import User, Users, caller_of

TOKEN_PATH = "/token"  # noqa: S105 - a path
SERVICE = "crate"
WHO = web.RequestKey("who", str)
"""Under this a request keeps the name of who signed on for it, for the log."""
_ANONYMOUS = "anonymous"
_EXPIRES = 3600  # seconds; clients ask again then. Revoking a token works at once all the same.
_HOST = re.compile(r"[A-Za-z0-9.\-_\[\]:]{1,255}")
_FORM_LIMIT = 16 << 10  # bytes of a token request's form
_FIELDS = 100  # of one
_PATIENCE = 10.0  # seconds for a small body, which anybody may send
_WAITING = 16  # sign-ons that wait for their turn; more are told to come again
_PROVEN = 1000  # passwords that were right lately, which is known by a keyed hash of them


class Callers:
    """Tells callers apart by what they send. To be used from the event loop's thread."""

    def __init__(
        self, tokens: Tokens, users: Users, sessions: Sessions, access: Callable[[], Access], fallback_host: str
    ) -> None:
        """`fallback_host` goes into challenges to clients that send no usable Host."""
        self._tokens = tokens
        self._users = users
        self._sessions = sessions
        self._access = access
        self._fallback_host = fallback_host
        self._throttle = Throttle()
        self._turn = asyncio.Lock()  # a password costs 16 MiB and a tenth of a second, so one at a time
        self._waiting: Counter[bytes] = Counter()
        self._key = secrets.token_bytes(32)
        self._proven: OrderedDict[bytes, int] = OrderedDict()

    async def identify(self, request: web.Request) -> Caller:
        """Raises `Unauthorized` for what is no credential, `Denied` in the clear, `TooManyRequests` for guessing."""
        header = request.headers.get("Authorization")
        if header is None:
            return ANYBODY
        scheme, _, value = header.partition(" ")
        if scheme.lower() == "basic":
            name, secret = _name_and_password(value)
        else:
            name, secret = "", value.strip()
            if scheme.lower() == "bearer" and secret == _ANONYMOUS and self._access().open_pulls:
                return ANYBODY
        self._refuse_in_the_clear(request)
        caller = self._tokens.caller(secret) or (None if name else self._sessions.caller(secret))
        if caller is None and name and not looks_like_token(secret):
            user = await self._sign_on(request, name, secret)
            caller = caller_of(user) if user else None
        if caller is None:
            raise Unauthorized(
                "this password or token is not known here",
                hint="crate-appliance users and tokens make them; a token is the password of any user name",
                headers=self.challenge(request),
            )
        request[WHO] = caller.name
        return caller

    async def begin_session(self, request: web.Request, name: str, password: str) -> str | None:
        """What a browser is to keep for a person who signs on; None when the password is not right.

        Raises `Denied`, `TooManyRequests`.
        """
        self._refuse_in_the_clear(request)
        user = await self._sign_on(request, name, password)
        return self._sessions.begin(user) if user else None

    def of_session(self, session: str) -> Caller:
        """Whose the session in a browser's cookie is; to be asked by pages alone, since cookies travel unasked."""
        return self._sessions.caller(session, PAGE_LASTING) or ANYBODY

    async def _sign_on(self, request: web.Request, name: str, password: str) -> User | None:
        try:
            proof = hmac.digest(self._key, f"{name}\0{password}".encode(), hashlib.sha256)
        except UnicodeEncodeError:  # half of a pair, out of JSON: nobody's name or password
            return None
        user = self._users.find(name)
        if user and self._proven.get(proof) == user.stamp:
            return user
        address = "" if _is_loopback(request.remote) else request.remote or "?"
        # the many connections of one client are one
        if proof not in self._waiting and len(self._waiting) >= _WAITING:
            raise TooManyRequests("too many people sign on at this moment", headers={"Retry-After": "2"})
        self._waiting[proof] += 1
        try:
            async with self._turn:
                if user and self._proven.get(proof) == user.stamp:
                    return user
                if wait := self._throttle.wait(address, name):
                    raise TooManyRequests(
                        f"too many wrong passwords; the next is looked at in {wait} seconds",
                        headers={"Retry-After": str(wait)},
                    )
                user = await asyncio.to_thread(self._users.sign_on, name, password)
        finally:
            self._waiting[proof] -= 1
            self._waiting += Counter()  # forgets those that nobody waits for
        if user is None:
            self._throttle.failed(address, name)
            return None
        self._throttle.succeeded(address, name)
        self._proven[proof] = user.stamp
        while len(self._proven) > _PROVEN:
            self._proven.popitem(last=False)
        return user

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
        offered = await self._offered(request)
        if offered is None:
            if not self._access().open_pulls:
                raise Unauthorized(
                    "pulls are not open here",
                    hint="log in with a token as the password",
                    headers={"WWW-Authenticate": f'Basic realm="{SERVICE}"'},
                )
            secret = _ANONYMOUS
        else:
            secret = await self._exchanged(request, *offered)
        answer = {"token": secret, "access_token": secret, "expires_in": _EXPIRES}
        return web.Response(
            body=json.dumps(answer).encode(), content_type="application/json", headers={"Cache-Control": "no-store"}
        )

    async def _exchanged(self, request: web.Request, name: str, secret: str) -> str:
        """The token that these credentials are worth. Raises `Unauthorized`, `Denied`, `TooManyRequests`."""
        self._refuse_in_the_clear(request)
        if (secret == _ANONYMOUS and self._access().open_pulls) or self._tokens.caller(secret):
            return secret
        if not name and self._sessions.caller(secret):
            return secret
        if name and not looks_like_token(secret) and (user := await self._sign_on(request, name, secret)):
            return self._sessions.begin(user)
        raise Unauthorized(
            "the password is no user's and no token of this crate", hint="crate-appliance users list, tokens list"
        )

    async def _offered(self, request: web.Request) -> tuple[str, str] | None:
        """Name and secret; the name empty where a client hands back what it was given."""
        header = request.headers.get("Authorization", "")
        if header.lower().startswith("basic "):
            return _name_and_password(header.partition(" ")[2])
        if request.method == "POST":
            form = await _small_form(request)
            if form.get("password"):
                return form.get("username", ""), form["password"]
            return ("", form["refresh_token"]) if form.get("refresh_token") else None
        return None

    def _refuse_in_the_clear(self, request: web.Request) -> None:
        """A token that crossed a network in the clear is everybody's."""
        if not request.secure and not _is_loopback(request.remote):
            raise Denied("tokens are taken over TLS only", hint="use the https address, and revoke this token")


async def _small_form(request: web.Request) -> dict[str, str]:
    """Its fields; none when it is no form. Raises `Denied` when it does not come."""
    if request.content_type != "application/x-www-form-urlencoded":
        return {}
    try:
        return dict(parse_qsl((await small_body(request, _FORM_LIMIT)).decode(), max_num_fields=_FIELDS))
    except ValueError:
        return {}


async def small_body(request: web.Request, limit: int) -> bytes:
    """The whole body, from whoever it is, within seconds. Raises `Denied` for one that is too long or breaks off."""
    body = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE):
            while len(body) <= limit and (chunk := await request.content.readany()):
                body += chunk
    except (TimeoutError, ConnectionError, web.RequestPayloadError) as error:
        raise Denied("the body broke off") from error
    if len(body) > limit:
        raise Denied(f"a body of more than {limit} bytes is not taken here")
    return bytes(body)


def _name_and_password(basic: str) -> tuple[str, str]:
    """Those of Basic credentials (RFC 7617); empty when they are malformed."""
    try:
        name, _, password = base64.b64decode(basic, validate=True).decode().partition(":")
    except ValueError:  # the base64, or what it holds
        return "", ""
    return name, password


def _is_loopback(address: str | None) -> bool:
    try:
        return ipaddress.ip_address((address or "").partition("%")[0]).is_loopback
    except ValueError:
        return False

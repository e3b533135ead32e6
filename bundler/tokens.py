"""How a registry lets a client in: its challenge, and the tokens that answer it.

A 401 says which (RFC 9110 section 11.6.1): Basic, or Bearer with a token service to be asked first
(docs.docker.com's "Token authentication specification", and its OAuth2 form for identity tokens).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

from archive import documents
from archive.errors import InvalidValue
from bundler.answers import basic, body, expect, parse, shown
from bundler.credentials import Credentials, Login
from bundler.errors import AccessDenied, FetchFailed, MalformedAnswer, PlainHttpRefused
from bundler.http import Http
from bundler.upstreams import host_of

ANSWER_LIMIT = 1 << 20
_DEFAULT_LIFE = 60.0  # seconds, when the token service does not say
_MARGIN = 0.1  # of a token's life: how long before its end it is no longer used
_CLIENT = "buzzcrate"
_SCHEME = re.compile(r"(?:^|,)\s*(Bearer|Basic)(?:\s+|$)", re.IGNORECASE)
_PARAMETER = re.compile(r"""([a-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """A repository at the host that is really asked."""

    origin: URL
    repository: str

    @property
    def host(self) -> str:
        return host_of(self.origin)


@dataclass(frozen=True, slots=True)
class Challenge:
    """`realm` is empty for Basic; for Bearer it is the token service's URL."""

    realm: str = ""
    service: str = ""
    scope: str = ""

    @classmethod
    def parse(cls, values: Iterable[str], repository: str) -> Challenge | None:
        """The best of what WWW-Authenticate offers, Bearer before Basic; None when it is neither."""
        offered: dict[str, Mapping[str, str]] = {}
        for value in values:
            starts = list(_SCHEME.finditer(value))
            ends = [*(start.start() for start in starts[1:]), len(value)]
            for start, end in zip(starts, ends, strict=False):
                found = _PARAMETER.finditer(value[start.end() : end])
                parameters = {m[1].lower(): re.sub(r"\\(.)", r"\1", m[2]) if m[3] is None else m[3] for m in found}
                offered.setdefault(start[1].lower(), parameters)
        if bearer := offered.get("bearer"):
            scope = bearer.get("scope") or f"repository:{repository}:pull"
            return cls(bearer["realm"], bearer.get("service", ""), scope) if "realm" in bearer else None
        return cls() if "basic" in offered else None


@dataclass(slots=True)
class _Token:
    text: str = field(default="", repr=False)
    expires: float = 0.0  # of the monotonic clock
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Authorizer:
    """Remembers challenges by place and tokens by (realm, service, scope); one request in flight for each of those."""

    def __init__(self, http: Http, credentials: Credentials) -> None:
        self._http = http
        self._credentials = credentials
        self._challenges: dict[Place, Challenge] = {}
        self._tokens: dict[tuple[str, str, str], _Token] = {}

    async def headers(self, place: Place) -> dict[str, str]:
        """What to send to a place of which a challenge is known; nothing to others. Raises `FetchFailed`."""
        challenge = self._challenges.get(place)
        if challenge is None:
            return {}
        login = await self._credentials.find(place.host, place.repository)
        if login is not None and login.registry_token:
            return {"Authorization": f"Bearer {login.registry_token}"}
        if not challenge.realm:
            return {"Authorization": basic(login.user, login.password)} if login is not None else {}
        token = self._tokens.setdefault((challenge.realm, challenge.service, challenge.scope), _Token())
        async with token.lock:
            if time.monotonic() >= token.expires:
                token.text, life = await self._http.persist(lambda: self._request(place, challenge, login))
                token.expires = time.monotonic() + life * (1 - _MARGIN)
            return {"Authorization": f"Bearer {token.text}"}

    def challenged(self, place: Place, answer: aiohttp.ClientResponse, sent: Mapping[str, str]) -> bool:
        """Takes in a 401, and forgets the token that met it. False when there is no way to answer it."""
        if answer.url.origin() != place.origin:
            return False  # a redirect led elsewhere, and that host has no say in where credentials go
        challenge = Challenge.parse(answer.headers.getall("WWW-Authenticate", []), place.repository)
        if challenge is None:
            return False
        self._challenges[place] = challenge
        token = self._tokens.get((challenge.realm, challenge.service, challenge.scope))
        if token is not None and sent.get("Authorization") == f"Bearer {token.text}":
            token.expires = 0.0
        return True

    async def refusal(self, place: Place, status: int) -> AccessDenied:
        """The problem that a final 401 or 403 is, with all that can be said without telling a secret."""
        login = await self._credentials.find(place.host, place.repository)
        note = self._credentials.notes.get(place.host)
        how = (
            f"with the credentials of {login.source}" if login else f"without credentials{f'; {note}' if note else ''}"
        )
        return AccessDenied(
            f"{place.host}/{place.repository} may not be read {how} (status {status}){f'; {note}' if note else ''}",
            hint=f"log in (`docker login {place.host}` or `podman login`), and check that the name is right: "
            "some registries say this of images that do not exist",
        )

    async def _request(self, place: Place, challenge: Challenge, login: Login | None) -> tuple[str, float]:
        """One attempt to get a token, and the seconds it is good for."""
        realm = self._realm(place, challenge)
        asked = {name: value for name, value in (("service", challenge.service), ("scope", challenge.scope)) if value}
        headers: dict[str, str] = {}
        form: dict[str, str] | None = None
        if login is not None and login.identity_token:
            form = {"grant_type": "refresh_token", "client_id": _CLIENT, "refresh_token": login.identity_token, **asked}
        else:
            realm = realm.update_query(asked)
            if login is not None:
                headers["Authorization"] = basic(login.user, login.password)
        method = "GET" if form is None else "POST"
        async with self._http.open(realm, method=method, headers=headers, form=form) as answer:
            if answer.status in {400, 401, 403}:
                raise await self.refusal(place, answer.status)
            expect(answer, realm)
            return _token(await body(answer, realm, ANSWER_LIMIT), shown(realm))

    def _realm(self, place: Place, challenge: Challenge) -> URL:
        try:
            realm = parse(challenge.realm)
        except InvalidValue as error:
            raise MalformedAnswer(f"{place.host} names a token service that is no URL") from error
        if self._http.locate(realm).scheme == "http" and place.origin.scheme == "https":
            raise PlainHttpRefused(
                f"{place.host} names a token service on plain HTTP: {shown(realm)}",
                hint=f'if that is meant, write it into [upstreams]: "{place.host}" = "http://…"',
            )
        return realm


def _token(answer: bytes, where: str) -> tuple[str, float]:
    problem: FetchFailed = MalformedAnswer(f"the token service {where} gives an answer without a token")
    try:
        document = documents.parse(answer, "the answer")
        text = document.get("token") or document.get("access_token")
        life = float(document.get("expires_in") or _DEFAULT_LIFE)
    except (InvalidValue, AttributeError, TypeError, ValueError):
        raise problem from None  # without the cause, which may quote a token
    if not isinstance(text, str) or not text.isprintable() or not text.isascii():
        raise problem
    return text, max(life, 1.0)

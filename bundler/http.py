"""HTTP as the connected side speaks it: upstreams rewritten, redirects followed with care, hosts not overrun.

aiohttp does the protocol. What is added: a limit per host, idle timeouts in place of whole-request ones, retries with
Retry-After, Authorization kept from other hosts, plain HTTP only where asked for, a CA for each host, proxies from
the environment, and every failure as a `Problem` whose text holds no secret.
"""

from __future__ import annotations

import asyncio
import ssl
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
from yarl import URL

from archive.errors import InvalidValue
from archive.progress import SILENT, Progress
from bundler.answers import basic, check_passing, parse, shown, translated
from bundler.errors import MalformedAnswer, PlainHttpRefused, Unreachable, UpstreamsInvalid
from bundler.retries import Attempts, Passing, Timing
from bundler.upstreams import Upstreams, host_of
from console import units
from mirror.logins import Logins

PER_HOST = 6
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 10
_BUFFER = 1 << 18  # bytes read ahead for each response; bounds the memory of a transfer
_WORTH_SAYING = 2.0  # seconds of waiting that a person is told about

_T = TypeVar("_T")


class _Host:
    """One host's turn: at most so many requests at once, and none before the time that it asked for."""

    def __init__(self, limit: int) -> None:
        self._slots = asyncio.Semaphore(limit)
        self._opens = 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        async with self._slots:
            await asyncio.sleep(max(self._opens - asyncio.get_running_loop().time(), 0))
            try:
                yield
            except Passing as trouble:
                if trouble.retry_after is not None:
                    self._opens = asyncio.get_running_loop().time() + trouble.retry_after
                raise


class Http:
    """An async context manager. URLs given to it are the upstreams' own; `upstreams` is applied inside."""

    _session: aiohttp.ClientSession

    def __init__(
        self,
        upstreams: Upstreams,
        *,
        timing: Timing | None = None,
        per_host: int = PER_HOST,
        progress: Progress = SILENT,
        logins: Logins | None = None,
    ) -> None:
        self.upstreams = upstreams
        self.logins = logins or Logins()
        self.per_host = per_host
        self._timing = timing or Timing()
        self._progress = progress
        self._hosts: dict[str, _Host] = {}
        self._trust: dict[Path, ssl.SSLContext] = {}
        self._proxies = urllib.request.getproxies()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(sock_connect=self._timing.connect, sock_read=self._timing.idle),
            headers={"User-Agent": "buzzcrate", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # a digest is of the bytes as they are stored, whatever Content-Encoding says
            read_bufsize=_BUFFER,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    @asynccontextmanager
    async def open(
        self,
        url: str | URL,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        pinned: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One attempt at `url`: the answer that no redirect follows, of any status that waiting does not change.

        `pinned` says that a digest protects what comes, so that a redirect may lead to plain HTTP. A `form` is posted
        and never follows a redirect. Raises `Passing` for what a later attempt may mend, else `FetchFailed`; the same
        while the answer is read inside the context.
        """
        target = self.locate(url)
        sent = dict(headers or {})
        if target.raw_user is not None:
            sent.setdefault("Authorization", basic(target.user or "", target.password or ""))
            target = target.with_user(None)
        for _ in range(_MAX_REDIRECTS):
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(self._host(target).turn())
                stack.enter_context(translated(target))
                answer = await stack.enter_async_context(
                    self._session.request(
                        method,
                        target,
                        headers=sent,
                        data=form,
                        allow_redirects=False,
                        ssl=self._ssl(target),
                        proxy=self._proxy(target),
                    )
                )
                location = answer.headers.get("Location")
                if answer.status not in _REDIRECTS or not location or form is not None:
                    check_passing(answer, target)
                    yield answer
                    return
            following = self._follow(target, location, pinned=pinned)
            if following.origin() != target.origin():
                sent.pop("Authorization", None)
            target = following
        raise MalformedAnswer(f"{shown(url)} redirects more than {_MAX_REDIRECTS} times")

    def package(
        self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, pinned: bool = False
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """`open` for what is no registry's, with what this machine's package clients log in with there."""
        known = self.logins.headers(str(self.locate(url)))
        return self.open(url, method=method, headers={**known, **(headers or {})}, pinned=pinned)

    async def persist(self, attempt: Callable[[], Awaitable[_T]], *, position: Callable[[], int] = lambda: 0) -> _T:
        """Calls `attempt` until it succeeds or has failed too often in a row without getting further."""
        attempts = Attempts(self._timing)
        while True:
            try:
                return await attempt()
            except Passing as trouble:
                pause = attempts.pause(trouble, position())
                if pause > _WORTH_SAYING:
                    self._progress.say(f"{trouble.problem.what}; trying again in {units.duration(pause)}")
                await asyncio.sleep(pause)

    def locate(self, url: str | URL) -> URL:
        """Where `url` is really asked for. Raises `InvalidValue` for what is no http(s) URL."""
        return self.upstreams.rewrite(parse(url))

    def _host(self, target: URL) -> _Host:
        return self._hosts.setdefault(host_of(target), _Host(self.per_host))

    def _ssl(self, target: URL) -> ssl.SSLContext | bool:
        authority = self.upstreams.ca_for(host_of(target))
        if authority is None:
            return True
        if authority not in self._trust:
            self._trust[authority] = _context(authority)
        return self._trust[authority]

    def _proxy(self, target: URL) -> str | None:
        """The environment's word (`https_proxy`, `no_proxy` …), as curl reads it. Raises `Unreachable`."""
        proxy = self._proxies.get(target.scheme) or self._proxies.get("all")
        if proxy is None or urllib.request.proxy_bypass(host_of(target)):
            return None
        if not proxy.startswith(("http://", "https://")):
            raise Unreachable(
                f"the proxy for {host_of(target)} is not an HTTP proxy", hint="set https_proxy to an http:// address"
            )
        return proxy

    def _follow(self, target: URL, location: str, *, pinned: bool) -> URL:
        try:
            following = parse(target.join(parse(location, relative=True)))
        except (ValueError, InvalidValue) as error:
            raise MalformedAnswer(f"{shown(target)} redirects to what is no URL") from error
        if host_of(following) != host_of(target):
            following = self.upstreams.rewrite(following)
        if following.scheme == "http" and target.scheme == "https" and not pinned:
            raise PlainHttpRefused(
                f"{shown(target)} redirects to plain HTTP: {shown(following)}",
                hint="no digest protects this; name an https:// address for the host in [upstreams]",
            )
        return following.with_user(None)


def _context(authority: Path) -> ssl.SSLContext:
    """The system's authorities and this one."""
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(authority)
    except (ssl.SSLError, OSError) as error:
        raise UpstreamsInvalid(f"{authority} is no CA file: {error}", hint="name a PEM file") from error
    return context

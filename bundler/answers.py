"""What an answer, or the lack of one, amounts to: a small body, a `Problem`, or an attempt to be repeated."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
from yarl import URL

from archive.errors import InvalidValue
from bundler.errors import (
    AccessDenied,
    FetchFailed,
    MalformedAnswer,
    NotFound,
    ServerFailed,
    TooLarge,
    TooManyRequests,
    Unreachable,
    UntrustedServer,
)
from bundler.retries import PASSING_STATUS, Passing, retry_after
from bundler.upstreams import host_of
from console import units

_LATER = "run the same command again later; what has come is kept"
_PROXY = "check http_proxy, https_proxy and no_proxy in the environment"
_CONNECT = "check the network, the proxy settings and [upstreams]"


@contextmanager
def translated(target: URL) -> Iterator[None]:
    """The failures of aiohttp, also those of reading a body, as `Passing` or `FetchFailed`."""
    try:
        yield
    except aiohttp.ClientConnectorError as error:
        raise _unconnected(error, target) from error
    except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
        raise _broken(error, target) from error


def _unconnected(error: aiohttp.ClientConnectorError, target: URL) -> Passing | FetchFailed:
    host = host_of(target)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return UntrustedServer(
            f"{host} shows a certificate that is not trusted: {error.certificate_error}",
            hint=f'if it is meant to, name its CA: [upstreams] "{host}" = {{ ca = "company.pem" }}',
        )
    if isinstance(error, aiohttp.ClientSSLError):
        return UntrustedServer(
            f"{host} does not speak TLS as it should",
            hint=f'if it speaks plain HTTP, say so: [upstreams] "{host}" = "http://{host}"',
        )
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return Passing(Unreachable(f"no connection to the proxy for {host}", hint=_PROXY))
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Passing(Unreachable(f"the name {target.host} cannot be looked up", hint=_CONNECT))
    reason = os.strerror(error.os_error.errno) if error.os_error.errno else "it cannot be reached"
    return Passing(Unreachable(f"no connection to {host}: {reason}", hint=_CONNECT))


def _broken(error: Exception, target: URL) -> Passing | FetchFailed:
    host, where = host_of(target), shown(target)
    if isinstance(error, TimeoutError):
        return Passing(Unreachable(f"{host} stalls: nothing came from {where}", hint=_LATER))
    if isinstance(error, aiohttp.ClientPayloadError):
        return Passing(Unreachable(f"{where} ends before it is whole", hint=_LATER))
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return Unreachable(f"the proxy does not lead to {host} (status {error.status})", hint=_PROXY)
    if isinstance(error, aiohttp.ClientConnectionError | ConnectionError):
        return Passing(Unreachable(f"{host} broke the connection at {where}", hint=_LATER))
    if isinstance(error, aiohttp.InvalidURL):
        return MalformedAnswer(f"{where} is no URL that can be asked for")
    return Passing(MalformedAnswer(f"{host} does not answer in HTTP: {type(error).__name__}"))


def expect(answer: aiohttp.ClientResponse, url: str | URL, *statuses: int) -> None:
    """Raises the `FetchFailed` that fits unless the status is one of `statuses`, which default to 200."""
    if answer.status in (statuses or (200,)):
        return
    where = shown(url)
    if answer.status in {404, 410}:
        raise NotFound(f"{where} does not exist (status {answer.status})", hint="check the name, tag and version")
    if answer.status in {401, 403}:
        raise AccessDenied(f"{where} may not be read (status {answer.status})", hint="it wants credentials")
    raise ServerFailed(f"{where} answers with status {answer.status}")


async def body(answer: aiohttp.ClientResponse, url: str | URL, limit: int) -> bytes:
    """The whole body. Raises `TooLarge` as soon as it is certain to have more than `limit` bytes."""
    problem = TooLarge(f"{shown(url)} is larger than the {units.size(limit)} that it may have")
    if (answer.content_length or 0) > limit:
        raise problem
    data = bytearray()
    async for block in answer.content.iter_any():
        data += block
        if len(data) > limit:
            raise problem
    return bytes(data)


def basic(user: str, password: str) -> str:
    """The value of an Authorization header (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def shown(url: str | URL) -> str:
    """A URL for messages: user info, query and fragment hold secrets, so they are left out."""
    try:
        return str(URL(url).with_user(None).with_query(None).with_fragment(None))
    except ValueError:
        return "a URL that is none"


def check_passing(answer: aiohttp.ClientResponse, target: URL) -> None:
    """Raises `Passing` for a status that may be another one later."""
    if answer.status not in PASSING_STATUS:
        return
    wait = retry_after(answer.headers)
    problem: FetchFailed
    if answer.status == 429:
        when = f" and asks to come back in {units.duration(wait)}" if wait else ""
        problem = TooManyRequests(
            f"{host_of(target)} allows no more requests for now{when}",
            hint="log in (`docker login`, `podman login`), name a pull-through cache in [upstreams], or wait",
        )
    else:
        problem = ServerFailed(f"{shown(target)} answers with status {answer.status}", hint=_LATER)
    raise Passing(problem, retry_after=wait)


def parse(url: str | URL, *, relative: bool = False) -> URL:
    """Keeps the spelling of a URL that is one: `%2B` and signed queries must not change. Raises `InvalidValue`."""
    try:
        parsed = (
            url if isinstance(url, URL) else URL(url, encoded=url.isascii() and url.isprintable() and " " not in url)
        )
        valid = relative or (parsed.scheme in {"http", "https"} and bool(parsed.host))
    except ValueError:
        valid = False
    if not valid:
        raise InvalidValue(f"{shown(url)!r} is no http:// or https:// URL")
    return parsed

"""Sends a blob, or a range of one, from wherever it lies (RFC 9110, sections 13 and 14).

Over plain HTTP the kernel copies from the file to the socket. Python's TLS has no sendfile; there the file is read and
written in pieces, small enough that hundreds of slow clients do not add up. Whatever the client accepts, a blob is
never content-encoded: its digest names these bytes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from contextlib import aclosing
from dataclasses import dataclass

from aiohttp import web

from appliance.blobs import OpenExtent
from appliance.readahead import read_cached, warm_slices

_SLICE = 1 << 20  # bytes handed to the kernel at once; over a minute of idleness, 17 KiB a second at least
_TLS_PIECE = 64 << 10  # bytes encrypted at once, and held for a slow client
_AT_ONCE = 128 << 10  # bytes that go out with the headers in one system call, if they are in memory
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")

_log = logging.getLogger(__name__)


def etag_matches(header: str | None, etag: str) -> bool:
    """Whether an If-None-Match `header` names `etag` (quotes included)."""
    return header is not None and any(word.strip().removeprefix("W/") in {etag, "*"} for word in header.split(","))


def select_range(header: str, size: int) -> tuple[int, int] | None:
    """The (start, length) that a Range header asks for; None means all of it, as for what is not understood.

    Several ranges are answered with the whole, too (RFC 9110, 14.2 allows it). Raises `ValueError` when nothing of the
    range lies within `size` bytes.
    """
    form = _RANGE.fullmatch(header.strip())
    if form is None or not (form[1] or form[2]):
        return None
    if not form[1]:
        length = min(int(form[2]), size)
        start = size - length
    else:
        start = int(form[1])
        if form[2] and int(form[2]) < start:
            return None
        length = min(int(form[2]) + 1 if form[2] else size, size) - start
    if length <= 0:
        raise ValueError(f"nothing of {header!r} lies within {size} bytes")
    return start, length


@dataclass(frozen=True, slots=True)
class Part:
    """What to answer with: `length` bytes from `start` of the content."""

    status: int
    headers: Mapping[str, str]
    start: int
    length: int


def part_for(request: web.Request, size: int, headers: Mapping[str, str]) -> Part | web.Response:
    """The part of `size` bytes that a GET or HEAD asks for; 304 or 416 where that is the whole answer.

    `headers` must hold an ETag. A Last-Modified is compared for equality: what is older is another content, too.
    """
    etag, modified = headers["ETag"], headers.get("Last-Modified", "")
    asked = request.headers
    unchanged = "If-None-Match" not in asked and modified and asked.get("If-Modified-Since") == modified
    if unchanged or etag_matches(asked.get("If-None-Match"), etag):
        return web.Response(status=304, headers=headers)
    whole = Part(200, {**headers, "Accept-Ranges": "bytes"}, 0, size)
    wanted = asked.get("Range")
    if not wanted or asked.get("If-Range", etag) not in {etag, modified}:
        return whole
    try:
        selected = select_range(wanted, size)
    except ValueError:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{size}"})
    if not selected:
        return whole
    start, length = selected
    return Part(206, {**whole.headers, "Content-Range": f"bytes {start}-{start + length - 1}/{size}"}, start, length)


async def send_extent(
    request: web.Request, extent: OpenExtent, headers: Mapping[str, str], executor: Executor, *, idle: float
) -> web.StreamResponse:
    """Answers a GET or HEAD with the extent; `headers` must hold an ETag. The caller closes the extent.

    A client that takes longer than `idle` seconds for one slice counts as gone.
    """
    part = part_for(request, extent.size, headers)
    if isinstance(part, web.Response):
        return part
    if part.length <= _AT_ONCE:
        body = read_cached(extent.file.fileno(), extent.offset + part.start, part.length)
        if body is not None:
            return web.Response(status=part.status, headers=part.headers, body=body)

    async def send(response: web.StreamResponse) -> None:
        await _send(request, response, extent, (part.start, part.length), executor, idle=idle)

    return await stream(request, part, f"sha256:{extent.sha256}", send)


async def send_bytes(request: web.Request, body: bytes, headers: Mapping[str, str]) -> web.Response:
    """Answers a GET or HEAD with what is in memory; `headers` must hold an ETag."""
    part = part_for(request, len(body), headers)
    if isinstance(part, web.Response):
        return part
    return web.Response(status=part.status, headers=part.headers, body=body[part.start : part.start + part.length])


async def stream(
    request: web.Request, part: Part, what: str, send: Callable[[web.StreamResponse], Awaitable[None]]
) -> web.StreamResponse:
    """Answers with a part that `send` writes piece by piece; `what` it is, for the log."""
    response = web.StreamResponse(status=part.status, headers=part.headers)
    response.content_length = part.length
    await response.prepare(request)
    if request.method != "HEAD" and part.length:
        try:
            await send(response)
        except OSError as error:  # a time-out is one, too
            # The status is out; all that can be said now is said by breaking the connection.
            if not isinstance(error, ConnectionError):
                _log.warning("sending %s to %s broke off: %s", what, request.remote, str(error) or "timed out")
            if request.transport is not None:
                request.transport.abort()
    return response


async def _send(
    request: web.Request,
    response: web.StreamResponse,
    extent: OpenExtent,
    selected: tuple[int, int],
    executor: Executor,
    *,
    idle: float,
) -> None:
    descriptor, (start, length) = extent.file.fileno(), selected
    secure = request.transport is not None and request.transport.get_extra_info("sslcontext") is not None
    loop = asyncio.get_running_loop()
    if secure and request.transport is not None:
        # asyncio would take half a megabyte from us for every client that does not read
        request.transport.set_write_buffer_limits(high=_TLS_PIECE)
    async with aclosing(warm_slices(descriptor, extent.offset + start, length, _SLICE, executor)) as slices:
        async for offset, count in slices:
            if request.transport is None:
                raise ConnectionResetError("the client went away")
            async with asyncio.timeout(idle):
                if secure:
                    await _write(response, descriptor, offset, count)
                elif await loop.sendfile(request.transport, extent.file, offset, count, fallback=False) != count:
                    raise OSError(f"the file ends before byte {offset + count}")


async def _write(response: web.StreamResponse, descriptor: int, offset: int, count: int) -> None:
    for at in range(offset, offset + count, _TLS_PIECE):
        piece = os.pread(descriptor, min(_TLS_PIECE, offset + count - at), at)
        if len(piece) < min(_TLS_PIECE, offset + count - at):
            raise OSError(f"the file ends before byte {offset + count}")
        await response.write(piece)

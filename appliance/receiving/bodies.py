"""Bodies on their way to the disk, hashed as they come; nothing of them is held in memory."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from appliance import disk
from appliance.contributing import Received
from appliance.errors import StoreFull
from appliance.registry.errors import SizeInvalid
from appliance.registry.service import Registry
from appliance.registry.uploading import next_chunk
from archive.errors import Problem

MALFORMED = (ValueError, LookupError, AssertionError, HttpProcessingError)
"""What aiohttp raises for a form that is none, whose charset nobody knows, or whose headers are no headers."""
LARGEST = 8 << 30  # bytes of one file
_PIECE = 1 << 20
_FIELD = 1 << 20  # bytes of a form's field


class BrokenUpload(Problem):
    """The body ended before it was whole, or is not what its headers say."""


async def whole(registry: Registry, request: web.Request) -> Received:
    """The body as a file; the caller removes it. Raises `BrokenUpload`, `StoreFull`, `Refusal`."""
    if (request.content_length or 0) > registry.uploads.free():
        raise StoreFull("the disk of the store has no room for this", hint="crate-appliance gc frees space")

    async def chunks() -> AsyncIterator[bytes]:
        while chunk := await next_chunk(request, registry.idle):
            yield chunk

    return await _kept(registry, chunks())


async def part(registry: Registry, reader: BodyPartReader) -> Received:
    """A file of a multipart form. Raises `BrokenUpload`, `StoreFull`."""

    async def chunks() -> AsyncIterator[bytes]:
        while chunk := await _next(registry, reader):
            yield chunk

    return await _kept(registry, chunks())


async def field(registry: Registry, reader: BodyPartReader) -> str:
    """A field of a multipart form. Raises `BrokenUpload`."""
    text = bytearray()
    while chunk := await _next(registry, reader):
        text += chunk
        if len(text) > _FIELD:
            raise BrokenUpload(f"the field {reader.name!r} is larger than {_FIELD >> 20} MiB")
    return text.decode(errors="replace")


@asynccontextmanager
async def removed(received: Received) -> AsyncIterator[Received]:
    """Takes the file away at the end, if it is still there."""
    try:
        yield received
    finally:
        received.path.unlink(missing_ok=True)


async def _next(registry: Registry, reader: BodyPartReader) -> bytes:
    try:
        async with asyncio.timeout(registry.idle):
            return await reader.read_chunk(64 << 10)
    except (TimeoutError, ConnectionError, web.RequestPayloadError, *MALFORMED) as error:
        raise BrokenUpload("the body broke off") from error


async def _kept(registry: Registry, chunks: AsyncIterator[bytes]) -> Received:
    path, digest, size = registry.store.uploads / secrets.token_hex(16), hashlib.sha256(), 0

    def append(piece: bytes) -> None:
        with disk.problems("receiving an upload"), path.open("ab") as file:
            file.write(piece)
        digest.update(piece)

    try:
        await registry.write(append, b"")
        piece = bytearray()
        async for chunk in chunks:
            piece += chunk
            size += len(chunk)
            if size > LARGEST:
                raise SizeInvalid(f"files of more than {LARGEST >> 30} GiB are not taken")
            if len(piece) >= _PIECE:
                await registry.write(append, bytes(piece))
                piece.clear()
        if piece:
            await registry.write(append, bytes(piece))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Received(path, digest.hexdigest(), size)

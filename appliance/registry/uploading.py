"""Blobs on their way in: sessions, chunks, mounts (distribution-spec, "Pushing blobs"), and their deletion."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from appliance.errors import StoreFull
from appliance.registry.errors import (
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    RangeInvalid,
    SizeInvalid,
)
from appliance.registry.service import Call, Registry, parse_digest
from appliance.uploads import Upload
from archive.digests import Digest
from archive.references import is_repository

_PIECE = 1 << 20  # bytes gathered before a thread writes and hashes them
_CONTENT_RANGE = re.compile(r"(?:bytes )?(\d{1,18})-(\d{1,18})(?:/.*)?")


async def begin_upload(registry: Registry, call: Call) -> web.StreamResponse:
    """POST: opens a session, or takes a whole blob (`?digest=`), or mounts one (`?mount=`)."""
    repository = registry.writable(call)
    if mount := call.parameter("mount"):
        digest = parse_digest(mount)
        if _mountable(registry, call, digest) and await registry.write(registry.pushed.link_blob, repository, digest):
            return _created(call, digest)
    whole = call.parameter("digest")
    expected = parse_digest(whole) if whole else None
    upload = registry.uploads.begin(repository)
    if expected is None:
        return _accepted(call, upload)
    try:
        with _alone(upload):
            await _receive(registry, call, upload)
            return await _finish(registry, call, upload, expected)
    finally:
        registry.uploads.drop(upload)


async def continue_upload(registry: Registry, call: Call) -> web.StreamResponse:
    """PATCH: one more chunk, or all of it as a stream."""
    upload = _session(registry, call)
    with _alone(upload):
        await _receive(registry, call, upload)
    return _accepted(call, upload)


async def finish_upload(registry: Registry, call: Call) -> web.StreamResponse:
    """PUT: the last chunk, if any, and the digest that makes it a blob."""
    upload = _session(registry, call)
    expected = parse_digest(call.parameter("digest"))
    with _alone(upload):
        await _receive(registry, call, upload)
        try:
            return await _finish(registry, call, upload, expected)
        finally:
            registry.uploads.drop(upload)


async def upload_status(registry: Registry, call: Call) -> web.StreamResponse:
    return _accepted(call, _session(registry, call), status=204)


async def cancel_upload(registry: Registry, call: Call) -> web.StreamResponse:
    registry.uploads.drop(_session(registry, call))
    return web.Response(status=204)


async def delete_blob(registry: Registry, call: Call) -> web.StreamResponse:
    registry.check_write(call, "delete")
    digest, repository = parse_digest(call.target.reference), call.target.repository
    if await registry.write(registry.pushed.delete_blob, repository, digest):
        return web.Response(status=202)
    if registry.contents.holds_blob(repository, digest):
        raise registry.held_by_crate(repository)
    raise BlobUnknown(f"{repository} holds no blob {digest}")


def _session(registry: Registry, call: Call) -> Upload:
    upload = registry.uploads.find(call.target.reference, registry.writable(call))
    if upload is None:
        raise BlobUploadUnknown("this upload is finished, cancelled or expired", hint="begin a new one")
    return upload


def _mountable(registry: Registry, call: Call, digest: Digest) -> bool:
    """Whether a repository that the caller may read holds the blob: the one named by `from`, or any."""
    source = call.parameter("from")
    if source:
        sources = [source] if is_repository(source) and registry.contents.holds_blob(source, digest) else []
    else:
        sources = registry.contents.holders_of(digest)
    return any(registry.access.may_read(call.caller, repository) for repository in sources)


@contextmanager
def _alone(upload: Upload) -> Iterator[None]:
    """Two requests that write to one session would mix their bytes."""
    if upload.busy:
        raise RangeInvalid(
            "another request is writing to this upload", hint="ask how far it is", headers=_progress(upload)
        )
    upload.busy = True
    try:
        yield
    finally:
        upload.busy = False


async def _receive(registry: Registry, call: Call, upload: Upload) -> None:
    """Appends the body. What arrived before a client went away stays, for it to go on from."""
    request = call.request
    length = request.content_length
    end = _announced_end(request, upload)
    if length is not None and length > registry.uploads.free():
        raise StoreFull(f"the disk of the store has no room for {length} bytes", hint="crate-appliance gc frees space")
    piece = bytearray()
    try:
        while chunk := await next_chunk(request, registry.idle):
            piece += chunk
            if len(piece) >= _PIECE:
                await registry.write(upload.append, piece)
                piece = bytearray()
    finally:
        if piece:
            await registry.write(upload.append, piece)
    if end is not None and upload.size != end:
        registry.uploads.drop(upload)
        raise SizeInvalid("the body is not as long as its Content-Range says", hint="begin a new upload")


async def next_chunk(request: web.Request, idle: float) -> bytes:
    """Empty at the end. Raises `BlobUploadInvalid` when the client fell silent for `idle` seconds or went away."""
    try:
        async with asyncio.timeout(idle):
            return await request.content.readany()
    except (TimeoutError, ConnectionError, web.RequestPayloadError) as error:
        raise BlobUploadInvalid("the body broke off", hint="ask how far the upload is, and go on from there") from error


def _announced_end(request: web.Request, upload: Upload) -> int | None:
    """The size after this chunk, as its Content-Range says. Raises `RangeInvalid`, `SizeInvalid`."""
    header = request.headers.get("Content-Range")
    if header is None:
        return None
    form = _CONTENT_RANGE.fullmatch(header)
    if form is None or int(form[1]) != upload.size:
        raise RangeInvalid(
            f"the chunk {header[:80]!r} does not begin where the upload ends ({upload.size} bytes)",
            hint="send the chunks in order",
            headers=_progress(upload),
        )
    end = int(form[2]) + 1
    if request.content_length is not None and request.content_length != end - upload.size:
        raise SizeInvalid(f"the chunk {header[:80]!r} has a Content-Length of {request.content_length}")
    return end


async def _finish(registry: Registry, call: Call, upload: Upload, expected: Digest) -> web.StreamResponse:
    """Durable before it is acknowledged: file, name and row are on disk when this returns."""

    def keep() -> None:
        sha256, actual = upload.digests(expected)
        if actual != expected:
            raise DigestInvalid(f"the content is {actual}, not {expected}; nothing was stored")
        registry.store.blobs.add_loose(upload.path, sha256, [] if expected == sha256 else [expected])
        registry.pushed.link_blob(upload.repository, sha256)

    await registry.write(keep)
    return _created(call, expected)


def _progress(upload: Upload) -> dict[str, str]:
    """How far it is: inclusive, so an empty upload reads like one of a single byte, which is what clients expect."""
    return {"Range": f"0-{max(upload.size - 1, 0)}", "Docker-Upload-UUID": upload.id}


def _accepted(call: Call, upload: Upload, status: int = 202) -> web.Response:
    location = f"/v2/{call.target.repository}/blobs/uploads/{upload.id}"
    return web.Response(status=status, headers={"Location": location, **_progress(upload)})


def _created(call: Call, digest: Digest) -> web.Response:
    location = f"/v2/{call.target.repository}/blobs/{digest}"
    return web.Response(status=201, headers={"Location": location, "Docker-Content-Digest": str(digest)})

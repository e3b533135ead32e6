"""/files/: what recipes list under `[[files]]`, by name, and a list of it all."""

from __future__ import annotations

import json
import logging

from aiohttp import web

from appliance.errors import UnknownBlob
from appliance.registry.errors import Refusal, Unauthorized
from appliance.registry.service import Registry
from appliance.sending import send_extent

_PREFIX = "/files/"
_log = logging.getLogger(__name__)
_missing = logging.getLogger("crate.missing")


def add_files(application: web.Application, registry: Registry) -> None:
    """GET and HEAD of /files/<path>; /files/ itself lists path, size and sha256 as JSON."""

    async def get_file(request: web.Request) -> web.StreamResponse:
        try:
            if not registry.access.may_read(registry.callers.identify(request), "files"):
                raise Unauthorized("files are not open here", headers=registry.callers.challenge(request))
        except Refusal as refusal:
            return refusal.response()
        path = request.path.removeprefix(_PREFIX)
        return await _send(registry, request, path) if path else _list(registry)

    application.router.add_get("/files/{path:.*}", get_file)


def _list(registry: Registry) -> web.Response:
    listed = [
        {"path": file.path, "size": file.size, "sha256": file.digest.hex, "mediaType": file.media_type}
        for file in registry.contents.files()
    ]
    return web.Response(body=json.dumps(listed, indent=1).encode(), content_type="application/json")


async def _send(registry: Registry, request: web.Request, path: str) -> web.StreamResponse:
    file = registry.contents.file(path)
    if file is None:
        _missing.info("file %r (asked by %s)", path[:300], request.remote)
        return web.Response(status=404, text="no crate brought this file; /files/ lists those that are here\n")
    try:
        extent = registry.store.blobs.open(file.digest)
    except UnknownBlob:
        _log.exception("%s is published, but the store lost it", path)
        return web.Response(status=404, text="the store lost this file; install the crate again\n")
    with extent:
        headers = {
            "ETag": f'"{file.digest}"',
            "Content-Type": file.media_type or "application/octet-stream",
            "Cache-Control": "no-cache",
        }
        return await send_extent(request, extent, headers, registry.readers)

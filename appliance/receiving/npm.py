"""`npm publish`, `npm login` and `npm whoami`: a PUT of a packument whose tarball is attached in base64.

The attachment may be large, so the body goes to the disk and the tarball is decoded from there, piece by piece.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import mmap
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import web

from appliance import contributing
from appliance.contributing import Received
from appliance.receiving.answers import answering, check_right, publisher
from appliance.receiving.bodies import BrokenUpload, removed, whole
from appliance.registry.errors import Unauthorized
from appliance.registry.service import Registry

_DATA = b'"data":"'
_PIECE = 4 << 18  # base64 characters decoded at once, a multiple of four
_REST = 16 << 20  # bytes of the packument without its tarball
_SMALL = 10_000  # bytes of a login
_LOGIN = "/npm/-/user/org.couchdb.user:{name}"


def add_npm(application: web.Application, registry: Registry) -> None:
    async def publish(request: web.Request) -> web.StreamResponse:
        caller = await publisher(registry, request)
        async with removed(await whole(registry, request)) as body:
            document, received = await registry.write(_opened, registry.store.uploads, body.path)
            async with removed(received):
                (item,) = await registry.write(contributing.items, received, "the tarball", "npm")
                check_right(registry, caller, f"npm/{item.name}")
                tags = sorted(map(str, document.get("dist-tags") or {"latest": ""}))
                item = replace(item, publish={**item.publish, "tags": tags})
                if document.get("name") != item.name or item.version not in (document.get("versions") or {}):
                    raise BrokenUpload(f"the tarball is {item.name} {item.version}, which is not what was announced")
                await registry.write(contributing.publish, registry.store, [received], [item], caller.name)
        return web.json_response({"ok": True, "id": item.name}, status=201)

    async def login(request: web.Request) -> web.StreamResponse:
        sent = await request.json() if (request.content_length or 0) < 10_000 else {}
        name, password = (
            (str(sent.get(key, "")) for key in ("name", "password")) if isinstance(sent, dict) else ("", "")
        )
        session = await registry.callers.begin_session(request, name, password)
        if session is None:
            raise Unauthorized("this is not the password")
        return web.json_response({"ok": True, "token": session}, status=201)

    async def whoami(request: web.Request) -> web.StreamResponse:
        caller = await registry.callers.identify(request)
        if caller.role is None:
            raise Unauthorized("nobody is signed on")
        return web.json_response({"username": caller.name})

    application.router.add_put(_LOGIN, answering(login))
    application.router.add_get("/npm/-/whoami", answering(whoami))
    application.router.add_put("/npm/{name:.*}", answering(publish))


def _opened(folder: Path, body: Path) -> tuple[dict[str, Any], Received]:
    """The document without its attachment, and that as a file of its own. Raises `BrokenUpload`."""
    if not body.stat().st_size:
        raise BrokenUpload("the body is empty")
    with body.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        begin = data.find(_DATA) + len(_DATA)
        end = data.find(b'"', begin)
        if begin < len(_DATA) or end < 0 or data.find(_DATA, end) >= 0:
            raise BrokenUpload("one package with one tarball is published at a time")
        if len(data) - (end - begin) > _REST:
            raise BrokenUpload(f"a packument of more than {_REST >> 20} MiB is not taken")
        try:
            document = json.loads(data[:begin] + data[end:])
        except (ValueError, RecursionError) as error:
            raise BrokenUpload(f"the packument is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise BrokenUpload("the packument is not an object")
        return document, _decoded(folder / secrets.token_hex(16), data, begin, end)


def _decoded(path: Path, data: mmap.mmap, begin: int, end: int) -> Received:
    digest = hashlib.sha256()
    try:
        with path.open("wb") as target:
            for at in range(begin, end, _PIECE):
                piece = base64.b64decode(data[at : min(at + _PIECE, end)], validate=True)
                target.write(piece)
                digest.update(piece)
            return Received(path, digest.hexdigest(), target.tell())
    except binascii.Error as error:
        path.unlink(missing_ok=True)
        raise BrokenUpload(f"the tarball is not base64: {error}") from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise

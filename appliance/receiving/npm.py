"""`npm publish`, `npm login` and `npm whoami`: a PUT of a packument whose tarball is attached in base64.

The attachment may be large, so the body goes to the disk and the tarball is decoded from there, piece by piece.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from aiohttp import web

from appliance import contributing, disk
from appliance.contributing import Received
from appliance.receiving.answers import answering, check_right, publisher
from appliance.receiving.bodies import BrokenUpload, removed, whole
from appliance.registry.callers import small_body
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
                versions, tags = document.get("versions"), document.get("dist-tags") or {"latest": ""}
                if not isinstance(versions, dict) or not isinstance(tags, dict):
                    raise BrokenUpload("the packument's versions or dist-tags are no objects")
                if not all(map(str.isprintable, tags)):
                    raise BrokenUpload("a dist-tag has characters in it that no name has")
                if document.get("name") != item.name or item.version not in versions:
                    raise BrokenUpload(f"the tarball is {item.name} {item.version}, which is not what was announced")
                item = replace(item, publish={**item.publish, "tags": sorted(tags)})
                await registry.write(contributing.publish, registry.store, [received], [item], caller.name)
        return web.json_response({"ok": True, "id": item.name}, status=201)

    async def login(request: web.Request) -> web.StreamResponse:
        session = await registry.callers.begin_session(request, *_name_and_password(await small_body(request, _SMALL)))
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


def _name_and_password(body: bytes) -> tuple[str, str]:
    """Those of a login. Raises `BrokenUpload`."""
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BrokenUpload("the login is not JSON") from error
    name, password = (sent.get(key) for key in ("name", "password")) if isinstance(sent, dict) else (None, None)
    if not isinstance(name, str) or not isinstance(password, str):
        raise BrokenUpload("a login holds a name and a password")
    return name, password


def _opened(folder: Path, body: Path) -> tuple[dict[str, Any], Received]:
    """The document without its attachment, and that as a file of its own. Raises `BrokenUpload`."""
    with body.open("rb") as file:
        begin = _find(file, _DATA, 0) + len(_DATA)
        end = _find(file, b'"', begin)
        if begin < len(_DATA) or end < 0 or _find(file, _DATA, end) >= 0:
            raise BrokenUpload("one package with one tarball is published at a time")
        if body.stat().st_size - (end - begin) > _REST:
            raise BrokenUpload(f"a packument of more than {_REST >> 20} MiB is not taken")
        file.seek(0)
        head = file.read(begin)
        file.seek(end)
        try:
            document = json.loads(head + file.read())
        except (ValueError, RecursionError) as error:
            raise BrokenUpload(f"the packument is not JSON: {error}") from error
        if not isinstance(document, dict):
            raise BrokenUpload("the packument is not an object")
        file.seek(begin)
        return document, _decoded(folder / secrets.token_hex(16), file, end - begin)


def _find(file: BinaryIO, sought: bytes, start: int) -> int:
    """Where `sought` is at or after `start`; -1 when it is not."""
    file.seek(start)
    kept = b""
    while block := file.read(_PIECE):
        window = kept + block
        if (at := window.find(sought)) >= 0:
            return start - len(kept) + at
        start += len(block)
        kept = window[len(window) - len(sought) + 1 :]
    return -1


def _decoded(path: Path, file: BinaryIO, left: int) -> Received:
    """The next `left` characters of a file, of base64."""
    digest = hashlib.sha256()
    try:
        with disk.problems("receiving an upload"), path.open("wb") as target:
            while left:
                text = file.read(min(left, _PIECE))
                left -= len(text)
                piece = base64.b64decode(text, validate=True)
                target.write(piece)
                digest.update(piece)
            return Received(path, digest.hexdigest(), target.tell())
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, binascii.Error):
            raise BrokenUpload(f"the tarball is not base64: {error}") from error
        raise

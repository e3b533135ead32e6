"""The paths of the active generation: package repositories as their clients expect them, and plain files.

What is served where was decided when the generation was published; here is only how: which variant, in what part, and
whether the client has it already.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from aiohttp import web

from appliance import misses
from appliance.access import Caller, name_of
from appliance.errors import UnknownBlob
from appliance.negotiation import choose
from appliance.published import SMALL, Served
from appliance.registry.errors import Denied, Refusal, Unauthorized
from appliance.registry.service import Registry
from appliance.sending import part_for, send_bytes, send_extent, stream
from archive.digests import Digest

ROOTS = ("files", "apt", "pypi", "npm", "helm")
SIGNED = ("apt",)
"""What clients check by the repository's own signature, so that it needs no TLS."""

# Package clients know Basic credentials, and send none before they are asked.
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="crate"'}
_TOKEN = "send a user's password, or a token as the password of any user"  # noqa: S105 - a hint

# A page that somebody publishes must not run in a browser as one of the crate's own.
_HARMLESS = {"Content-Security-Policy": "default-src 'none'; sandbox", "X-Content-Type-Options": "nosniff"}

_SLASH = re.compile("%2f", re.IGNORECASE)
_PIECE = 256 << 10  # bytes of a large document in memory for one client

_log = logging.getLogger(__name__)


def add_mirrors(application: web.Application, registry: Registry, roots: Iterable[str] = ROOTS) -> None:
    """GET and HEAD of everything that is published below these roots."""

    def route(root: str) -> None:
        async def get(request: web.Request) -> web.StreamResponse:
            try:
                caller = await registry.callers.identify(request)
                if not registry.access.may_read(caller, name_of(_path(request, root))):
                    raise _refused(caller, root)
            except Refusal as refusal:
                return refusal.response()
            return await _answer(registry, request, root)

        application.router.add_get(f"/{root}/{{path:.*}}", get)

    for root in roots:
        route(root)


def _refused(caller: Caller, root: str) -> Refusal:
    if caller.role is None:
        return Unauthorized(f"this is not open to everybody below /{root}/", hint=_TOKEN, headers=_CHALLENGE)
    return Denied(f"{caller.name} may not read this below /{root}/", hint="an operator gives rights")


async def _answer(registry: Registry, request: web.Request, root: str) -> web.StreamResponse:
    path = _path(request, root)
    variants = registry.paths.variants(path)
    if variants:
        served = choose(variants, request.headers.get("Accept", ""))
        try:
            return await _send(registry, request, served, _headers(registry, request, served, len(variants) > 1))
        except UnknownBlob:
            _log.exception("/%s is published, but the store lost it", path)
            return web.Response(status=404, text="the store lost this; install the crate again\n")
    if registry.paths.variants(f"{path}/"):
        return web.Response(status=301, headers={"Location": f"{request.rel_url.raw_path}/"})
    registry.requests.note(misses.of_path(path), request.remote)
    return web.Response(status=404, text=f"no crate brought /{path[:300]}\n")


def add_catch_all(application: web.Application, registry: Registry) -> None:
    """GET of what leads nowhere: 404, and remembered. To be added behind everything else."""

    async def get(request: web.Request) -> web.Response:
        path = request.path.removeprefix("/")
        registry.requests.note(misses.of_path(path), request.remote)
        return web.Response(status=404, text=f"there is nothing at /{path[:300]}\n")

    application.router.add_get("/{path:.+}", get)


def _path(request: web.Request, root: str) -> str:
    """From the server's root. npm encodes the slash of a scope; nobody else means a slash by %2f."""
    raw = request.rel_url.raw_path.removeprefix("/")
    if root == "npm":
        return unquote(_SLASH.sub("/", raw))
    return raw if _SLASH.search(raw) else unquote(raw)


def _headers(registry: Registry, request: web.Request, served: Served, varies: bool) -> Mapping[str, str]:
    bound = f"@{registry.callers.origin(request)}" if served.origin_bound else ""
    return {
        "ETag": f'"sha256:{served.sha256}{bound}"',
        "Last-Modified": served.last_modified,
        "Content-Type": served.media_type,
        "Cache-Control": "no-cache",
        **_HARMLESS,
        **({"Vary": "Accept"} if varies else {}),
    }


async def _send(
    registry: Registry, request: web.Request, served: Served, headers: Mapping[str, str]
) -> web.StreamResponse:
    if served.document is None:
        with registry.store.blobs.open(Digest.sha256(served.sha256)) as extent:
            return await send_extent(request, extent, headers, registry.readers, idle=registry.idle)
    if served.origin_bound or served.size <= SMALL:
        origin = registry.callers.origin(request).encode()
        return await send_bytes(request, await registry.documents.whole(served, origin), headers)
    part = part_for(request, served.size, headers)
    if isinstance(part, web.Response):
        return part
    end = part.start + part.length

    async def send(response: web.StreamResponse) -> None:
        for at in range(part.start, end, _PIECE):
            async with asyncio.timeout(registry.idle):
                await response.write(await registry.documents.piece(served, at, min(_PIECE, end - at)))

    return await stream(request, part, f"/{served.path}", send)

"""The registry's table: what leads where. Everything else is 405, naming the methods that there are."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from appliance.errors import StoreBusy, StoreFailed, StoreFull
from appliance.registry import listing, paths, pulling, pushing, uploading
from appliance.registry.callers import TOKEN_PATH
from appliance.registry.errors import Refusal, Unsupported, error_response
from appliance.registry.paths import Kind
from appliance.registry.service import Call, Registry

Handler = Callable[[Registry, Call], Awaitable[web.StreamResponse]]
Table = Mapping[tuple[Kind, str], Handler]

READ: Table = {
    (Kind.BASE, "GET"): pulling.get_base,
    (Kind.BASE, "HEAD"): pulling.get_base,
    (Kind.MANIFEST, "GET"): pulling.get_manifest,
    (Kind.MANIFEST, "HEAD"): pulling.get_manifest,
    (Kind.BLOB, "GET"): pulling.get_blob,
    (Kind.BLOB, "HEAD"): pulling.get_blob,
    (Kind.TAGS, "GET"): listing.list_tags,
    (Kind.CATALOG, "GET"): listing.list_repositories,
    (Kind.REFERRERS, "GET"): listing.list_referrers,
}
WRITE: Table = {
    (Kind.UPLOADS, "POST"): uploading.begin_upload,
    (Kind.UPLOAD, "PATCH"): uploading.continue_upload,
    (Kind.UPLOAD, "PUT"): uploading.finish_upload,
    (Kind.UPLOAD, "GET"): uploading.upload_status,
    (Kind.UPLOAD, "DELETE"): uploading.cancel_upload,
    (Kind.BLOB, "DELETE"): uploading.delete_blob,
    (Kind.MANIFEST, "PUT"): pushing.put_manifest,
    (Kind.MANIFEST, "DELETE"): pushing.delete_manifest,
}
ALL: Table = {**READ, **WRITE}
# Without TLS there is nothing but what a digest protects.
BY_DIGEST: Table = {key: READ[key] for key in ((Kind.BLOB, "GET"), (Kind.BLOB, "HEAD"))}

_log = logging.getLogger(__name__)


def add_registry(application: web.Application, registry: Registry, table: Table) -> None:
    """Serves the part of the API that `table` names below /v2/, with the token service if it writes."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = await answer(registry, table, request)
        if not response.prepared and pulling.API_VERSION.keys().isdisjoint(response.headers):
            response.headers.update(pulling.API_VERSION)
        return response

    async def token(request: web.Request) -> web.StreamResponse:
        try:
            return await registry.callers.give_token(request)
        except Refusal as refusal:
            return refusal.response()

    application.router.add_route("*", "/v2/{path:.*}", handle)
    application.router.add_route("*", "/v2", handle)
    if table is ALL:
        application.router.add_get(TOKEN_PATH, token)
        application.router.add_post(TOKEN_PATH, token)


async def answer(registry: Registry, table: Table, request: web.Request) -> web.StreamResponse:
    """The handler's answer, or the refusal as the specification spells it."""
    try:
        target = paths.parse(request.rel_url.raw_path)
        handler = table.get((target.kind, request.method))
        if handler is None:
            allowed = ", ".join(sorted(method for kind, method in table if kind is target.kind))
            raise Unsupported(f"{request.method} means nothing here", headers={"Allow": allowed})
        return await handler(registry, Call(request, target, await registry.callers.identify(request)))
    except Refusal as refusal:
        return refusal.response()
    except StoreFull as problem:
        return error_response(507, "UNAVAILABLE", problem.what, "crate-appliance gc frees space", {})
    except StoreBusy as problem:
        return error_response(503, "UNAVAILABLE", problem.what, problem.hint, {"Retry-After": "5"})
    except StoreFailed as problem:
        _log.error("%s", problem.what)
        return error_response(503, "UNAVAILABLE", problem.what, problem.hint, {})
    except sqlite3.DatabaseError as error:
        _log.error("the store's database: %s", error)
        return error_response(503, "UNAVAILABLE", "the store's database does not answer", "", {})

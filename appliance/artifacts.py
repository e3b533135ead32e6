"""`/blobs/sha256/<hex>`: files and charts by digest, for downloaders that know neither a token nor our authority.

The digest in the address is the integrity, so plain HTTP will do. Nothing is told here that /files/ and /helm/ would
not tell anybody.
"""

from __future__ import annotations

import logging
import re

from aiohttp import web

from appliance.access import ANYBODY, name_of
from appliance.errors import UnknownBlob
from appliance.published import BY_DIGEST
from appliance.registry.service import Registry
from appliance.sending import send_extent
from archive.digests import Digest

FOLDERS = ("files", "helm/charts")
"""What is published below these is answered by digest as well."""
_HEX = re.compile(r"[0-9a-f]{64}")
_FOREVER = "public, max-age=31536000, immutable"

_log = logging.getLogger(__name__)


def add_artifacts(application: web.Application, registry: Registry) -> None:
    """GET and HEAD, whole or by Range, of what the active generation publishes and anybody may read."""

    async def get(request: web.Request) -> web.StreamResponse:
        sha256 = request.match_info["sha256"]
        if not registry.access.may_list(ANYBODY):
            return web.Response(status=401, text="nothing is open here: this crate is served with --private\n")
        if not _HEX.fullmatch(sha256) or not _open_to_anybody(registry, sha256):
            return web.Response(status=404, text="no crate brought a file or chart of this digest\n")
        headers = {
            "ETag": f'"sha256:{sha256}"',
            "Content-Type": "application/octet-stream",
            "Cache-Control": _FOREVER,
        }
        try:
            with registry.store.blobs.open(Digest.sha256(sha256)) as extent:
                return await send_extent(request, extent, headers, registry.readers, idle=registry.idle)
        except UnknownBlob:
            _log.exception("sha256:%s is published, but the store lost it", sha256)
            return web.Response(status=404, text="the store lost this; install the crate again\n")

    application.router.add_get(f"{BY_DIGEST}{{sha256}}", get)


def _open_to_anybody(registry: Registry, sha256: str) -> bool:
    """Whether one of the paths that the blob is served at may be read without signing on."""
    paths = (path for folder in FOLDERS for path in registry.paths.of_blob(folder, sha256))
    return any(registry.access.may_read(ANYBODY, name_of(path)) for path in paths)

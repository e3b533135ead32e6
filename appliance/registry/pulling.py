"""GET and HEAD of manifests and blobs (distribution-spec, "Pull").

What the client accepts is not looked at: stored bytes are what a digest or tag names, and converting them would change
the digest.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache

from aiohttp import web

from appliance.access import ANYBODY
from appliance.errors import UnknownBlob
from appliance.registry.contents import HeldManifest
from appliance.registry.errors import BlobUnknown, ManifestUnknown, NameUnknown
from appliance.registry.service import Call, Registry, parse_digest
from appliance.sending import etag_matches, send_extent
from archive.digests import Digest

API_VERSION = {"Docker-Distribution-API-Version": "registry/2.0"}
# A client keeps what a digest names for as long as it likes.
_FOREVER = "public, max-age=31536000, immutable"
_WORTH_A_REDIRECT = 256 << 10  # bytes; below that a second connection costs more than TLS does

_log = logging.getLogger(__name__)


async def get_base(registry: Registry, call: Call) -> web.StreamResponse:
    """`/v2/`: 200 for whoever brought a token, be it the anonymous one; a challenge for everybody else."""
    if "Authorization" not in call.request.headers:
        raise registry.callers.wanted(call.request)
    return web.Response(body=b"{}", content_type="application/json")


async def get_manifest(registry: Registry, call: Call) -> web.StreamResponse:
    reference = call.target.reference
    repositories = registry.readable(call)
    for repository in repositories:
        found = registry.manifest(repository, reference)
        if found is None or not await registry.keep_for(call, found.digest):
            continue
        headers = _manifest_headers(found)
        if etag_matches(call.request.headers.get("If-None-Match"), headers["ETag"]):
            return web.Response(status=304, headers=headers)
        try:
            return web.Response(body=await registry.manifest_bytes(found.digest), headers=headers)
        except UnknownBlob:
            _log.exception("%s in %s is published, but the store lost it", found.digest, repository)
    wanted = f"{call.target.repository}{'@' if ':' in reference else ':'}{reference[:160]}"
    registry.note_missing(call, reference)
    if not any(registry.contents.holds(repository) for repository in repositories):
        raise NameUnknown(f"no crate brought {call.target.repository}, and nobody pushed it")
    raise ManifestUnknown(f"{wanted} is not here")


async def get_blob(registry: Registry, call: Call) -> web.StreamResponse:
    digest = parse_digest(call.target.reference)
    for repository in registry.readable(call):
        if not registry.contents.holds_blob(repository, digest) or not await registry.keep_for(call, digest):
            continue
        try:
            extent = registry.store.blobs.open(digest)
        except UnknownBlob:
            _log.exception("%s in %s is published, but the store lost it", digest, repository)
            continue
        with extent:
            location = _plain_location(registry, call, repository, digest) if extent.size > _WORTH_A_REDIRECT else ""
            if location:
                return web.Response(status=307, headers={"Location": location, **API_VERSION})
            headers = {
                **_content_headers(digest),
                "Content-Type": "application/octet-stream",
                "Cache-Control": _FOREVER,
            }
            return await send_extent(call.request, extent, headers, registry.readers, idle=registry.idle)
    raise BlobUnknown(f"{call.target.repository} holds no blob {digest}")


def _plain_location(registry: Registry, call: Call, repository: str, digest: Digest) -> str:
    """Where the plain port has the blob; empty where it is to be sent from here.

    Whoever sent a token stays on TLS: clients might send it on. The digest is what protects the content.
    """
    anybody = call.caller is ANYBODY and registry.access.may_read(ANYBODY, repository)
    if not anybody or registry.plain is None or call.request.method != "GET" or not call.request.secure:
        return ""
    base = registry.plain.as_reached_by(call.request)
    return f"http://{base}/v2/{repository}/blobs/{digest}" if base else ""


@lru_cache(maxsize=1024)
def _manifest_headers(manifest: HeldManifest) -> Mapping[str, str]:
    return {**_content_headers(manifest.digest), "Content-Type": manifest.media_type}


def _content_headers(digest: Digest) -> Mapping[str, str]:
    return {**API_VERSION, "Docker-Content-Digest": str(digest), "ETag": f'"{digest}"'}

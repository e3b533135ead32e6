"""Tags, catalogue and referrers (distribution-spec, "Content Discovery")."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web

from appliance.errors import UnknownBlob
from appliance.manifest import DOCKER_LIST, OCI_INDEX
from appliance.registry.errors import NameUnknown, PaginationNumberInvalid
from appliance.registry.service import Call, Registry, parse_digest
from archive.digests import Digest


async def list_tags(registry: Registry, call: Call) -> web.StreamResponse:
    limit = _limit(call)
    for repository in registry.readable(call):
        if registry.contents.holds(repository):
            wanted = -1 if limit is None else limit + 1
            tags = registry.contents.tags(repository, call.parameter("last"), wanted)
            return _page(call, {"name": call.target.repository}, "tags", tags, limit)
    registry.note_missing(call, "")
    raise NameUnknown(f"no crate brought {call.target.repository}, and nobody pushed it")


async def list_repositories(registry: Registry, call: Call) -> web.StreamResponse:
    """Those that the caller may read."""
    registry.check_list(call)
    limit = _limit(call)
    held = registry.contents.repositories(call.parameter("last"))
    access = registry.access
    readable = [repository for repository in held if access.may_read(call.caller, repository)]
    return _page(call, {}, "repositories", readable, limit)


async def list_referrers(registry: Registry, call: Call) -> web.StreamResponse:
    """Never 404: what nobody refers to has an empty list."""
    subject = parse_digest(call.target.reference)
    found: dict[str, dict[str, Any]] = {}
    for repository in registry.readable(call):
        for descriptor in registry.contents.referrers(repository, subject):
            found.setdefault(descriptor["digest"], descriptor)
        for descriptor in await _from_fallback_tag(registry, repository, subject):
            found.setdefault(descriptor["digest"], descriptor)
    wanted = call.parameter("artifactType")
    headers = {"OCI-Filters-Applied": "artifactType"} if wanted else {}
    listed = [descriptor for descriptor in found.values() if not wanted or descriptor.get("artifactType") == wanted]
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}
    return web.Response(body=json.dumps(index).encode(), headers={**headers, "Content-Type": OCI_INDEX})


async def _from_fallback_tag(registry: Registry, repository: str, subject: Digest) -> list[dict[str, Any]]:
    """What a client without the referrers API left (distribution-spec, "Referrers Tag Schema")."""
    tagged = registry.contents.tagged(repository, f"{subject.algorithm}-{subject.hex[:64]}")
    held = tagged and registry.contents.manifest(repository, tagged)
    if not held or held.media_type not in {OCI_INDEX, DOCKER_LIST}:
        return []
    try:
        index = json.loads(await registry.manifest_bytes(held.digest))
    except UnknownBlob:
        return []
    return list(index.get("manifests") or ())


def _limit(call: Call) -> int | None:
    text = call.parameter("n")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise PaginationNumberInvalid(f"n={text[:40]!r} is no number of entries")
    return int(text)


def _page(
    call: Call, fields: dict[str, str], key: str, entries: Sequence[str], limit: int | None
) -> web.StreamResponse:
    """The first `limit` of `entries`, and where the next ones are when there are more."""
    listed = entries if limit is None else entries[:limit]
    headers = {}
    if limit and len(entries) > limit:
        query = {"n": str(limit), "last": listed[-1]}
        if namespace := call.parameter("ns"):
            query["ns"] = namespace
        path = quote(call.request.rel_url.raw_path, safe="/%:")
        headers["Link"] = f'<{path}?{urlencode(query)}>; rel="next"'
    return web.Response(
        body=json.dumps({**fields, key: listed}).encode(), content_type="application/json", headers=headers
    )

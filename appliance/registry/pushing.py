"""Manifests on their way in and out (distribution-spec, "Pushing Manifests", "Deleting tags", "Deleting manifests")."""

from __future__ import annotations

from aiohttp import web

from appliance.manifest import DOCKER_LIST, LIMIT, MEDIA_TYPES, OCI_INDEX, Manifest
from appliance.registry.errors import (
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestTooLarge,
    ManifestUnknown,
)
from appliance.registry.service import Call, Registry, parse_digest
from appliance.registry.uploading import next_chunk
from archive import documents
from archive.digests import Digest
from archive.errors import InvalidValue
from archive.references import is_tag


async def put_manifest(registry: Registry, call: Call) -> web.StreamResponse:
    """Stored byte for byte under its digest, and under the tag of the path or those of `?tag=`."""
    repository, reference = registry.writable(call), call.target.reference
    expected = parse_digest(reference) if ":" in reference else None
    tags = call.request.query.getall("tag", []) if expected else [reference]
    for tag in tags:
        if not is_tag(tag):
            raise ManifestInvalid(f"{tag[:160]!r} is not a tag", hint="use letters, digits and . _ - , at most 128")
    body = await _body(call.request, registry.idle)
    manifest = accept(body, call.request.headers.get("Content-Type", ""))
    sha256 = Digest.of(body)
    actual = Digest.of(body, expected.algorithm) if expected else sha256
    if expected and actual != expected:
        raise DigestInvalid(f"the manifest is {actual}, not {expected}; nothing was stored")

    def keep() -> list[Digest]:
        with registry.uploads.scratch(body) as path:
            registry.store.blobs.add_loose(path, sha256, [] if actual == sha256 else [actual])
        return registry.pushed.put_manifest(repository, sha256, len(body), manifest, tags)

    if missing := await registry.write(keep):
        named = ", ".join(map(str, missing[:5]))
        raise ManifestBlobUnknown(f"{repository} holds no blob {named}", hint="push the blobs before the manifest")
    response = web.Response(
        status=201,
        headers={"Location": f"/v2/{repository}/manifests/{actual}", "Docker-Content-Digest": str(actual)},
    )
    if manifest.subject:
        response.headers["OCI-Subject"] = str(manifest.subject)
    for tag in tags if expected else []:
        response.headers.add("OCI-Tag", tag)
    return response


async def delete_manifest(registry: Registry, call: Call) -> web.StreamResponse:
    """By tag: the tag alone. By digest: the manifest and every tag on it."""
    registry.check_write(call, "delete")
    repository, reference = call.target.repository, call.target.reference
    if ":" in reference:
        digest = parse_digest(reference)
        deleted = await registry.write(registry.pushed.delete_manifest, repository, digest)
        held = registry.contents.manifest(repository, digest) is not None
    else:
        deleted = await registry.write(registry.pushed.delete_tag, repository, reference)
        held = registry.contents.tagged(repository, reference) is not None
    if deleted:
        return web.Response(status=202)
    if held:
        raise registry.held_by_crate(repository)
    raise ManifestUnknown(f"{reference[:160]} is not in {repository}")


def accept(body: bytes, content_type: str) -> Manifest:
    """A manifest as a registry takes it: one of four media types, and one meaning. Raises `ManifestInvalid`."""
    try:
        document = documents.parse(body, "the manifest")
        sent_as = content_type.partition(";")[0].strip()
        written = document.get("mediaType") if isinstance(document, dict) else None
        if not isinstance(written, str | None):
            raise InvalidValue("the manifest's mediaType is no string")
        media_type = sent_as or written or ""
        if media_type not in MEDIA_TYPES:
            raise InvalidValue(
                f"manifests of type {media_type[:160]!r} are not accepted",
                hint="push OCI manifests and indexes, or Docker schema 2",
            )
        if written not in {None, media_type}:
            raise InvalidValue(f"sent as {media_type}, but says of itself to be {str(written)[:160]!r}")
        # One document that is an image to one client and an index to another (CVE-2021-41190).
        index = media_type in {OCI_INDEX, DOCKER_LIST}
        foreign = {"config", "layers"} if index else {"manifests"}
        if isinstance(document, dict) and foreign & document.keys():
            raise InvalidValue(f"a manifest of type {media_type} has no {' or '.join(sorted(foreign))}")
        if isinstance(document, dict) and document.get("schemaVersion") != 2:
            raise InvalidValue("the manifest is not of schema version 2")
        return Manifest.parse(body, media_type)
    except InvalidValue as error:
        raise ManifestInvalid(error.what, hint=error.hint) from error


async def _body(request: web.Request, idle: float) -> bytes:
    """Raises `ManifestTooLarge` before it holds more than the limit."""
    body = bytearray()
    if (request.content_length or 0) <= LIMIT:
        while chunk := await next_chunk(request, idle):
            body += chunk
            if len(body) > LIMIT:
                break
        else:
            return bytes(body)
    raise ManifestTooLarge(f"manifests of more than {LIMIT} bytes are not accepted")

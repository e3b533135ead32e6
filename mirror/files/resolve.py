"""From `[[files]]` to catalogue items: every file pinned to a digest and a size."""

from __future__ import annotations

from pathlib import Path
from posixpath import basename
from urllib.parse import unquote, urlsplit

from archive.catalogue import File, Item
from mirror import origins
from mirror.ecosystem import Resolution, ResolveContext
from mirror.errors import DigestMissing, LocalFileChanged
from mirror.files import checksums
from mirror.files.section import FileRequest, FileSection
from mirror.transport import Transport

KIND = "file"
CHECKSUMS_LIMIT = 4 * 2**20  # bytes


async def resolve(section: FileSection, context: ResolveContext) -> Resolution:
    """The files that one section means. Raises `Problem`."""
    requests = section.requests(context.platforms)
    return Resolution(tuple([await resolve_request(request, context.transport, context.base) for request in requests]))


async def resolve_request(request: FileRequest, transport: Transport, base: Path) -> Item:
    if request.path:
        return await _local(request, transport, base)
    if not request.sha256 and not request.checksums:
        raise DigestMissing(
            f"the recipe has no sha256 of {request.name}", hint="add it to the table, or leave the platform out"
        )
    evidence = {"recipe": "sha256"}
    sha256 = request.sha256
    if request.checksums:
        document = await transport.read(request.checksums, limit=CHECKSUMS_LIMIT)
        name = basename(unquote(urlsplit(request.url).path))
        sha256 = checksums.find(document.body.decode(errors="replace"), name, origins.public_url(request.checksums))
        evidence = {"sha256sums": origins.public_url(request.checksums)}
    size = await transport.size(request.url)
    if size is None:
        size = (await transport.fetch(request.url, sha256=sha256)).size
    return _item(request, sha256, size, origins.public_url(request.url), evidence)


async def _local(request: FileRequest, transport: Transport, base: Path) -> Item:
    fetched = await transport.adopt(base / request.path)
    if request.sha256 and fetched.sha256 != request.sha256:
        raise LocalFileChanged(
            f"{request.path} has sha256 {fetched.sha256}, the recipe says {request.sha256}",
            hint="correct the recipe, or bring the file that it means",
        )
    evidence = {"recipe": "sha256"} if request.sha256 else {}
    return _item(request, fetched.sha256, fetched.size, origins.local(request.path, base), evidence)


def _item(request: FileRequest, sha256: str, size: int, origin: str, evidence: dict[str, str]) -> Item:
    return Item(
        kind=KIND,
        name=request.name,
        version=request.version,
        platform=str(request.platform or ""),
        origin=origin,
        files=(File(sha256, size, path=request.name),),
        evidence=evidence,
    )

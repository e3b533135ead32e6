"""`[k3s]`: a release's binaries, verified by its checksum files, and its images one by one or as air-gap tarballs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from archive.catalogue import Item
from archive.platforms import Platform
from archive.references import Reference
from bundler.recipe import K3sSection
from mirror.files.resolve import resolve_request
from mirror.files.section import FileRequest
from mirror.together import together
from mirror.transport import Transport

RELEASES = "https://github.com/k3s-io/k3s/releases/download"
_BINARIES = {"amd64": "k3s", "arm64": "k3s-arm64", "arm": "k3s-armhf"}
_LIST_LIMIT = 2**20  # bytes
_AT_ONCE = 8


async def resolve_files(section: K3sSection, platforms: Sequence[Platform], transport: Transport) -> list[Item]:
    """The binary for each platform, and its tarball of images when the recipe asks for `airgap`."""
    requests = [
        request
        for platform in platforms
        for request in _requests(section.version, platform, with_images=section.airgap)
    ]
    return await together([resolve_request(request, transport, Path()) for request in requests], limit=_AT_ONCE)


async def image_references(section: K3sSection, transport: Transport) -> list[Reference]:
    """The images of k3s-images.txt."""
    document = await transport.read(f"{_release(section.version)}/k3s-images.txt", limit=_LIST_LIMIT)
    lines = (line.strip() for line in document.body.decode("utf-8", "replace").splitlines())
    return [Reference.parse(line) for line in lines if line and not line.startswith("#")]


def _requests(version: str, platform: Platform, *, with_images: bool) -> list[FileRequest]:
    assets = [_BINARIES[platform.architecture]]
    if with_images:
        assets.append(f"k3s-airgap-images-{platform.architecture}.tar.zst")
    return [
        FileRequest(
            name=f"k3s/{version}/{asset}",
            version=version,
            platform=platform,
            url=f"{_release(version)}/{asset}",
            path="",
            sha256="",
            checksums=f"{_release(version)}/sha256sum-{platform.architecture}.txt",
        )
        for asset in assets
    ]


def _release(version: str) -> str:
    """A `+` in a path is a plus sign to some servers and a space to others; quoted it is a plus to all."""
    return f"{RELEASES}/{quote(version, safe='')}"

"""What a .deb says of itself, as the items that publish it: one for each architecture whose index lists it."""

from __future__ import annotations

from pathlib import Path

from archive.catalogue import File, Item
from archive.names import check_file_name
from mirror.apt.architectures import platform_of
from mirror.apt.deb import read_package
from mirror.apt.packages import Origin

_COMPONENT = "main"
_EVERYWHERE = ("amd64", "arm64", "armhf")
"""Whose indexes list a package for all architectures."""
_MEDIA_TYPE = "application/vnd.debian.binary-package"


def contribute(
    path: Path, _name: str, sha256: str, size: int, *, repository: str = "local", suite: str = "stable"
) -> tuple[Item, ...]:
    """Raises `BadIndex` for what is no .deb, `BadSection` for an architecture that nobody knows."""
    package = read_package(path, sha256, size, Origin(repository, suite, _COMPONENT, order=0))
    source = package.source[0]
    version = package.version.partition(":")[2] or package.version
    file = f"{package.name}_{version}_{package.architecture}.deb"
    served = check_file_name(f"{repository}/pool/{_COMPONENT}/{source}/{sha256[:8]}/{file}")
    architectures = _EVERYWHERE if package.architecture == "all" else (package.architecture,)
    return tuple(
        Item(
            kind="apt",
            name=package.name,
            version=package.version,
            platform=platform_of(architecture),
            files=(File(sha256, size, served, _MEDIA_TYPE),),
            publish={
                "repository": repository,
                "suite": suite,
                "component": _COMPONENT,
                "architecture": architecture,
                "source": source,
                "automatic": True,
                "stanza": package.text,
            },
        )
        for architecture in architectures
    )

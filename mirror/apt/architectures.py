"""Debian's names of architectures, and the platforms that run them."""

from __future__ import annotations

from archive.platforms import Platform
from mirror.errors import BadSection

_PLATFORMS = {
    "amd64": Platform("linux", "amd64"),
    "arm64": Platform("linux", "arm64"),
    "armhf": Platform("linux", "arm"),
    "armel": Platform("linux", "arm", "v6"),
    "i386": Platform("linux", "386"),
    "ppc64el": Platform("linux", "ppc64le"),
    "riscv64": Platform("linux", "riscv64"),
    "s390x": Platform("linux", "s390x"),
    "loong64": Platform("linux", "loong64"),
    "mips64el": Platform("linux", "mips64le"),
}
_ARCHITECTURES = {platform.normalised(): name for name, platform in _PLATFORMS.items()}


def architecture_of(platform: Platform) -> str:
    """`arm64` for `linux/arm64`. Raises `BadSection` for what Debian does not run on."""
    found = _ARCHITECTURES.get(platform.normalised())
    if found is None:
        raise BadSection(f"no Debian architecture is known for {platform}", hint="name `architectures` in the section")
    return found


def platform_of(architecture: str) -> str:
    """`linux/arm64` for `arm64`. Raises `BadSection`."""
    if architecture not in _PLATFORMS:
        raise BadSection(
            f"{architecture[:40]!r} is not an architecture that is known here", hint=f"one of {' '.join(_PLATFORMS)}"
        )
    return str(_PLATFORMS[architecture])

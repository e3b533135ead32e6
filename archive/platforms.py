"""Platforms, as the OCI image index names them (image-index.md, `platform`)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from archive.errors import InvalidValue

_WORD = re.compile(r"[a-z0-9_.]{1,32}")
# What uname, dpkg and people call the architectures that the OCI specification takes from Go.
_ARCHITECTURE_ALIASES = {"x86_64": "amd64", "aarch64": "arm64", "armhf": "arm", "i386": "386"}
# The variant that an architecture has when none is written (containerd's platforms.Normalize).
_DEFAULT_VARIANT = {"arm64": "v8", "arm": "v7"}


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """Operating system, architecture and, where it matters, a variant: `linux/arm64`, `linux/arm/v7`."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Accepts `os/architecture[/variant]`, and the architecture alone for linux. Raises `InvalidValue`."""
        words = text.split("/")
        if len(words) == 1:
            words = ["linux", *words]
        if len(words) > 3 or not all(_WORD.fullmatch(word) for word in words):
            raise InvalidValue(f"{text[:80]!r} is not a platform", hint="write it like linux/arm64 or linux/arm/v7")
        words[1] = _ARCHITECTURE_ALIASES.get(words[1], words[1])
        return cls(*words).normalised()

    def normalised(self) -> Platform:
        """Without the variant that the architecture has anyway, so that equal platforms compare equal."""
        if self.variant == _DEFAULT_VARIANT.get(self.architecture):
            return Platform(self.os, self.architecture)
        return self

    def satisfied_by(self, offered: Iterable[Platform]) -> bool:
        return self.normalised() in {platform.normalised() for platform in offered}

    def __str__(self) -> str:
        return "/".join(word for word in (self.os, self.architecture, self.variant) if word)

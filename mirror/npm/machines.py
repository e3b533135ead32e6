"""What a package's `os`, `cpu` and `libc` fields are held against: one machine that the crate serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from archive.platforms import Platform
from mirror.errors import BadSection

# process.arch, where Node.js names an architecture otherwise than Go does.
_CPUS = {"amd64": "x64", "386": "ia32", "ppc64le": "ppc64"}
_KNOWN = {"x64", "ia32", "arm", "arm64", "ppc64", "s390x", "riscv64", "loong64"}


@dataclass(frozen=True, slots=True)
class Machine:
    platform: Platform
    libc: str

    def __post_init__(self) -> None:
        if self.platform.os != "linux" or self.cpu not in _KNOWN:
            raise BadSection(f"Node.js does not run on {self.platform}", hint="set `platforms` in [[npm]]")

    @property
    def cpu(self) -> str:
        return _CPUS.get(self.platform.architecture, self.platform.architecture)

    def runs(self, os: Sequence[str], cpu: Sequence[str], libc: Sequence[str]) -> bool:
        """Npm's own rule (npm-install-checks): a `!word` shuts out, any other word lets in, nothing lets all in."""
        return _listed(self.platform.os, os) and _listed(self.cpu, cpu) and _listed(self.libc, libc)

    def __str__(self) -> str:
        return f"{self.platform} ({self.libc})"


def _listed(value: str, words: Sequence[str]) -> bool:
    if f"!{value}" in words:
        return False
    welcome = [word for word in words if not word.startswith("!")]
    return not welcome or value in welcome or welcome == ["any"]

"""What this board is, and which of a crate's boot files are for it."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundler.stick.board.ground import FAILED, Stop

_MACHINES = {"x86_64": "linux/amd64", "aarch64": "linux/arm64", "riscv64": "linux/riscv64"}


@dataclass(frozen=True)
class Choice:
    """What of the boot files is for this machine, and the Python that it is for."""

    python: str
    files: list[dict[str, Any]]

    @property
    def version(self) -> str:
        """That of the appliance, from the name of its wheel. Raises `Stop`."""
        for one in self.files:
            if one["file"].startswith("buzzcrate-"):
                return str(one["file"].split("-")[1])
        raise Stop(FAILED, "this crate does not carry the appliance", "add [appliance] to its recipe and build again")

    @property
    def name(self) -> str:
        """The folder of the release that this makes: another Python or any other file makes another one."""
        words = [str(Path(self.python).resolve()), *sorted(one["sha256"] for one in self.files)]
        return f"{self.version}-{hashlib.sha256(' '.join(words).encode()).hexdigest()[:12]}"


def choose(release: dict[str, Any]) -> Choice:
    """The Python to set up with, and the boot files for it and this machine."""
    here = _platform()
    boot: list[dict[str, Any]] = release["boot"]
    if not boot:
        raise Stop(FAILED, "this crate does not carry the appliance", "add [appliance] to its recipe and build again")
    platforms = sorted({word for one in boot for word in one["platform"].split(",") if word})
    if platforms and here not in platforms:
        hint = "use a board of one of those, or name this platform in the recipe and build again"
        if here == "linux/arm":
            hint = "this system is of 32 bits; install the one of 64 bits, which most boards can run"
        raise Stop(FAILED, f"this board is {here}, and the crate is for {', '.join(platforms)}", hint)
    boot = [one for one in boot if not one["platform"] or here in one["platform"].split(",")]
    pythons = sorted(
        {word for one in boot for word in one["python"].split(",") if word},
        key=lambda word: [int(number) for number in word.split(".")],
    )
    version, python = _python(pythons)
    chosen = [one for one in boot if not one["python"] or version in one["python"].split(",")]
    if not _glibc() and not any("musllinux" in one["file"] for one in chosen):
        raise Stop(FAILED, "this system does not run on glibc", "use Debian, Ubuntu or Raspberry Pi OS")
    return Choice(python, chosen)


def _platform() -> str:
    machine = platform.machine()
    if struct.calcsize("P") == 4:  # a system of 32 bits, on whichever kernel
        return "linux/arm" if machine.startswith(("arm", "aarch64")) else "linux/386"
    return _MACHINES.get(machine, "linux/arm" if machine.startswith("arm") else f"linux/{machine}")


def _python(offered: list[str]) -> tuple[str, str]:
    """The version and path of a Python here that the crate brings wheels for."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    if own in offered or not offered:
        return own, sys.executable
    for version in reversed(offered):
        if found := shutil.which(f"python{version}"):
            return version, found
    raise Stop(
        FAILED,
        f"the crate is for Python {', '.join(offered)}, and here is {own}",
        f'add "{own}" to `python` in [appliance] of the recipe and build again',
    )


def _glibc() -> str:
    with suppress(ValueError, OSError):
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    return ""

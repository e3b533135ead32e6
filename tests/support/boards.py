"""Boards for tests of the stick: a real Debian with python3 and an ssh client, no network, and a stick at /media.

What a board keeps is in `folder`, so that one command goes on where another one was killed; between commands it is
off. The root is that of the lab's appliance.
"""

from __future__ import annotations

import os
import platform
import pty
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mirror.apt.sources import apt_settings, machine_sources
from tests.support.lab import roots
from tests.support.tools import root, tool

_PATIENCE = 900  # seconds
_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True)
class Told:
    """How a command on a board ended; `said` is both of its streams."""

    code: int
    said: str


@dataclass(frozen=True)
class Board:
    """`systems` are the layers below what it keeps, the uppermost first: a Debian, or another board and its Debian.

    `before` is shell that prepares it each time, as root, with its root folder at $ROOT.
    """

    folder: Path
    systems: tuple[Path, ...]
    stick: Path
    before: str = ""

    @classmethod
    def of(cls, folder: Path, suite: str, stick: Path, before: str = "") -> Board:
        root("boards are made of namespaces and overlays")
        return cls(folder, (roots.machine_root(suite, roots.APPLIANCE),), stick, before)

    @classmethod
    def emulated(cls, folder: Path, suite: str, architecture: str, stick: Path) -> Board:
        """One of another architecture, which qemu's user mode emulates: every program on it is of that architecture."""
        root("boards are made of namespaces and overlays")
        return cls(folder, (foreign_root(suite, architecture),), stick)

    def copy(self, folder: Path, stick: Path) -> Board:
        """Another board, which begins where this one is."""
        return Board(folder, (self.upper, *self.systems), stick, self.before)

    @property
    def upper(self) -> Path:
        """What has changed on the board."""
        return self.folder / "upper"

    def path(self, path: str) -> Path:
        """A file that was written on the board, seen from outside."""
        return self.upper / path.lstrip("/")

    def run(self, command: str, *, typed: str | None = None) -> Told:
        """Runs a shell command as root; with `typed` there is a terminal, at which that is typed."""
        if typed is None:
            done = subprocess.run(
                self._words(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
            return Told(done.returncode, done.stdout)
        ours, theirs = pty.openpty()
        with os.fdopen(ours, "w") as keyboard:
            keyboard.write(typed)
            keyboard.flush()
            done = subprocess.run(
                self._words(command),
                stdin=theirs,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
            os.close(theirs)
        return Told(done.returncode, done.stdout)

    def succeed(self, command: str) -> str:
        told = self.run(command)
        assert told.code == 0, told.said
        return told.said

    def kill_when(self, command: str, moment: Callable[[], bool]) -> bool:
        """Runs a command and kills all of the board as soon as `moment` has come; whether it came before the end."""
        process = subprocess.Popen(
            self._words(command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            while process.poll() is None:
                if moment():
                    process.send_signal(signal.SIGKILL)
                    return True
                time.sleep(0.005)
            return False
        finally:
            process.kill()
            process.wait()

    def _words(self, command: str) -> list[str]:
        work, merged = self.folder / "work", self.folder / "merged"
        for path in (self.upper, work, merged):
            path.mkdir(parents=True, exist_ok=True)
        script = f"""set -e
export ROOT={merged}
ip link set lo up
mount -t overlay overlay -o lowerdir={":".join(map(str, self.systems))},upperdir={self.upper},workdir={work} $ROOT
mount -t proc proc $ROOT/proc
mount --rbind /dev $ROOT/dev
mkdir -p $ROOT/media
mount --bind -o ro {self.stick} $ROOT/media
{self.before}
exec chroot $ROOT /bin/sh -c {shlex.quote(f"cd /root; {command}")}
"""
        return [tool("unshare"), "--mount", "--net", "--pid", "--fork", "--kill-child", "bash", "-c", script]


def foreign_root(suite: str, architecture: str) -> Path:
    """A Debian of another architecture, with python3 and an ssh client. Takes about four minutes the first time."""
    _emulate(architecture)
    with roots.kept(f"{suite}-{architecture}") as made:
        if not made.is_dir():
            partial = made.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            url = machine_sources(apt_settings())[0].url
            words = [tool("debootstrap"), f"--arch={architecture}", "--foreign", "--variant=minbase"]
            for step in (
                [*words, "--include=python3,openssh-client", suite, str(partial), url],
                [tool("chroot"), str(partial), "/debootstrap/debootstrap", "--second-stage"],
            ):
                subprocess.run(step, check=True, capture_output=True)
            partial.rename(made)
    return made


def _emulate(architecture: str) -> None:
    """Has the kernel hand programs of `architecture` to qemu, in every root (binfmt_misc's flag F)."""
    machine = _MACHINES[architecture]
    if platform.machine() == machine:
        return
    tool(f"qemu-{machine}-static")
    if not _BINFMT.joinpath("register").exists():
        subprocess.run([tool("mount"), "-t", "binfmt_misc", "binfmt_misc", _BINFMT], check=True)
    if not _BINFMT.joinpath(f"qemu-{machine}").exists():
        subprocess.run([tool("update-binfmts"), "--enable", f"qemu-{machine}"], check=True)

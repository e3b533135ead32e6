"""Boards for tests of the stick: a real Debian with python3 and an ssh client, no network, and a stick at /media.

What a board keeps is in `folder`, so that one command goes on where another one was killed; between commands it is
off. The root is that of the lab's appliance.
"""

from __future__ import annotations

import os
import pty
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.lab import roots
from tests.support.tools import root, tool

_PATIENCE = 280  # seconds


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

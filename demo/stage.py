"""How the demo shows itself: numbered steps, short sentences, and every command as a user would type it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

WIDTH = 100
# With these in the environment, pip would trust what they name and not what it is told.
_OWN_TRUST = frozenset({"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"})
_BOLD, _DIM, _GREEN, _CYAN = "1", "2", "32", "36"


class DemoFailed(Exception):  # noqa: N818 - ends the demo with one line
    """A command did something else than the story says; the message shows what."""


class Stage:
    """A workshop folder, the command lines of this checkout on the PATH, and a voice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._steps = 0
        self._began = time.monotonic()
        self._servers: list[subprocess.Popen[bytes]] = []
        self._environment = {
            **{name: value for name, value in os.environ.items() if name not in _OWN_TRUST},
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }

    def step(self, title: str) -> None:
        self._steps += 1
        print(f"\n{self._paint(_BOLD, f'{self._steps}. {title}')}")

    def say(self, text: str) -> None:
        print(textwrap.fill(text, WIDTH, initial_indent="   ", subsequent_indent="   "))

    def show(self, text: str) -> None:
        """A document, or what a program said, indented and dimmed."""
        for line in text.rstrip().splitlines():
            print(self._paint(_DIM, f"   │ {line}".rstrip()))

    def write(self, name: str, text: str) -> None:
        """A file that the user would write in an editor."""
        (self.folder / name).write_text(text)
        print(self._paint(_CYAN, f"   {name}"))
        self.show(text)

    def run(self, command: str, *, expect: int = 0, quiet: bool = False) -> str:
        """Types `command` into a shell in the workshop folder, shows what it says, and returns it.

        Raises `DemoFailed` when it ends with another code than `expect`.
        """
        print(self._paint(_GREEN, f"   $ {command}"), flush=True)
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        unexpected = done.returncode != expect
        if done.stdout and (unexpected or not quiet):
            self.show(done.stdout)
        if unexpected:
            raise DemoFailed(f"that ended with exit code {done.returncode}, where {expect} was expected")
        return done.stdout

    def let(self, name: str, value: str) -> None:
        """Sets a variable that later commands use."""
        print(self._paint(_GREEN, f"   $ export {name}={value}"))
        self._environment[name] = value

    def serve(self, command: str, *, healthy: str) -> None:
        """Starts a server in the background and waits until the URL `healthy` answers."""
        print(self._paint(_GREEN, f"   $ {command} &"), flush=True)
        log = self.folder / "serve.log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._servers.append(server)
        began = time.monotonic()
        while not _answers(healthy):
            if server.poll() is not None or time.monotonic() - began > 20:
                raise DemoFailed(f"the server did not come up:\n{log.read_text(errors='replace')}")
            time.sleep(0.05)
        self.say(f"It answers after {time.monotonic() - began:.1f} s.")

    def wait(self, prompt: str) -> None:
        """Until somebody presses Enter; not at all where there is no terminal."""
        if sys.stdin.isatty() and sys.stdout.isatty():
            print(self._paint(_BOLD, f"\n   {prompt}"), end=" ", flush=True)
            sys.stdin.readline()

    def has(self, program: str) -> bool:
        return shutil.which(program, path=self._environment["PATH"]) is not None

    def seconds(self) -> float:
        return time.monotonic() - self._began

    def close(self) -> None:
        for server in self._servers:
            server.terminate()
        for server in self._servers:
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()

    def _paint(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text


@contextmanager
def workshop() -> Iterator[Stage]:
    """A stage in a temporary folder; server and folder go when the demo ends, however it ends."""
    signal.signal(signal.SIGTERM, _interrupt)
    with tempfile.TemporaryDirectory(prefix="buzzcrate-demo-") as folder:
        stage = Stage(Path(folder))
        try:
            yield stage
        finally:
            stage.close()


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False

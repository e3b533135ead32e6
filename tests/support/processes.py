"""Servers that a test starts and stops itself."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import wait_until


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    ready: Callable[[], bool],
    log: Path,
    environment: Mapping[str, str] | None = None,
    seconds: float = 20,
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts `command`, yields it once `ready` holds, ends it with SIGTERM.

    Its output goes to `log`, whose last lines are in the `RuntimeError` of a server that dies early.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )

    def up() -> bool:
        if process.poll() is not None:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            raise RuntimeError(f"{command[0]} ended with {process.returncode} before it was ready:\n{tail}")
        return ready()

    try:
        wait_until(up, str(command[0]), seconds=seconds)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

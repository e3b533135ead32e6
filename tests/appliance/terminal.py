"""A person at a terminal: answers a program's questions as they come up, and sees what is on the screen."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.tools import tool

_PATIENCE = 60.0  # seconds for a question to come up


@dataclass(frozen=True)
class Seen:
    """How the program ended, and all that stood on the screen (what was typed too, where it was shown)."""

    code: int
    screen: str


def at_terminal(command: Sequence[str], answers: Sequence[tuple[str, str]]) -> Seen:
    """Runs `command`, and types each answer, and Enter, once its question is on the screen.

    Raises `AssertionError` with the screen when a question does not come.
    """
    ours, theirs = pty.openpty()
    words = [tool("setsid"), "--ctty", "--wait", *command]
    process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    screen, seen = "", 0
    try:
        for question, answer in answers:
            while question not in screen[seen:]:
                more = _read(ours)
                assert more, f"no {question!r} on the screen:\n{screen}"
                screen += more
            seen = screen.index(question, seen) + len(question)
            os.write(ours, f"{answer}\n".encode())
        while more := _read(ours):
            screen += more
        return Seen(process.wait(_PATIENCE), screen.replace("\r\n", "\n"))
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _read(terminal: int) -> str:
    """What comes next; empty when the program has ended, or says nothing for too long."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                return os.read(terminal, 4096).decode(errors="replace")
            except OSError:  # EIO: nobody has the other end open any more
                return ""
    return ""

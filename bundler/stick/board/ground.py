"""How the set-up of a board speaks, and how it ends."""

from __future__ import annotations

import sys

MIB = 1 << 20
FAILED, MISUSED, REFUSED = 1, 2, 3


class Stop(Exception):  # noqa: N818 - an end, not an error of the program
    """Ends the run: what is wrong, what to do about it, and the exit code."""

    def __init__(self, code: int, what: str, hint: str) -> None:
        super().__init__(what)
        self.code, self.what, self.hint = code, what, hint


def say(text: str) -> None:
    sys.stderr.write(f"install.sh: {text}\n")

"""What can go wrong, as one tree; every package hangs its own branch below `Problem`.

    Problem                 a line for the user: what, where, and in `hint` what to do
    └── InvalidValue        a digest, reference, platform, name or document that breaks its grammar      exit 2

Exit codes are the contract of both command lines: 1 failed, 2 wrong use or wrong input, 3 refused for trust.
"""

from __future__ import annotations


class Problem(Exception):  # noqa: N818 - a user reads this; it is a problem, with a hint
    """Anything a user, a peer or a medium can cause. Ends a command in one line, never in a traceback."""

    exit_code = 1

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


class InvalidValue(Problem):
    """Text that is not the value it claims to be; raised by the parsers of this package."""

    exit_code = 2

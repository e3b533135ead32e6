"""A command of an operation, with what a person is shown of it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TypeAlias

from pyinfra.api.command import StringCommand


class Step(StringCommand):
    """A POSIX sh script that runs as root on a node.

    `shown` stands for it in plans, events and receipts; `diff` is what it does to a file, secrets masked. `stdin` is
    sent exactly as it is and never shown; `timeout` is in seconds, the order's when 0; `good` are the exit codes that
    are no failure.
    """

    def __init__(
        self,
        script: str,
        *,
        shown: str = "",
        diff: str = "",
        stdin: bytes = b"",
        timeout: int = 0,
        good: Sequence[int] = (0,),
    ) -> None:
        # pyinfra hands these to the connector as they are
        arguments: dict[str, object] = {"_stdin": stdin, "_success_exit_codes": tuple(good)}
        if timeout:
            arguments["_timeout"] = timeout
        super().__init__(script, **arguments)  # type: ignore[arg-type]  # pyinfra's own stdin is text
        self.shown = shown or script.strip()
        self.diff = diff


Steps: TypeAlias = Generator[Step, None, None]

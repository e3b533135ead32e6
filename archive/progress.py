"""How long work reports itself, without knowing who watches; `console` draws it, tests leave it silent."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self


class Task(AbstractContextManager["Task", None], Protocol):
    """One measured piece of work; leaving the context ends it."""

    def advance(self, amount: int) -> None:
        """`amount` more of the task's unit is done."""

    def detail(self, text: str) -> None:
        """What is in hand right now, in a few words."""

    def grow(self, total: int) -> None:
        """The total turned out to be `total`."""


class Progress(Protocol):
    """Opens tasks. May be called from any thread."""

    def task(self, what: str, total: int | None = None, *, unit: str = "B") -> Task:
        """`what` begins a line ("fetching"); `total` in `unit`: bytes ("B") or a plural noun ("images")."""
        ...

    def say(self, line: str) -> None:
        """A line that stays."""
        ...


class _SilentTask:
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def advance(self, amount: int) -> None: ...

    def detail(self, text: str) -> None: ...

    def grow(self, total: int) -> None: ...


class Silent:
    """Nobody watches."""

    def task(self, what: str, total: int | None = None, *, unit: str = "B") -> Task:
        return _SilentTask()

    def say(self, line: str) -> None: ...


SILENT: Progress = Silent()

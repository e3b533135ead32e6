"""What is costly to find out and looked at often: found out once in a while, by one thread at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """The answer of `find`, at most `seconds` old. To be used from the event loop's thread."""

    def __init__(self, find: Callable[[], T], seconds: float) -> None:
        self._find = find
        self._seconds = seconds
        self._turn = asyncio.Lock()
        self._found: tuple[T, float] | None = None

    async def get(self) -> T:
        """Raises what `find` raises."""
        async with self._turn:
            if self._found is None or time.monotonic() - self._found[1] > self._seconds:
                self._found = (await asyncio.to_thread(self._find), time.monotonic())
            return self._found[0]

    def forget(self) -> None:
        """The next one who asks is told anew."""
        self._found = None

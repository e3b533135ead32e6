"""What takes a while is found out beside the event loop; what is looked at often, once in a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, ParamSpec, TypeVar

_THREADS = ThreadPoolExecutor(2, "page")

T = TypeVar("T")
P = ParamSpec("P")


async def aside(find: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Runs what reads the disk or takes a while. Two at once and no more, so that many visitors take little memory."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, partial(find, *arguments, **named))


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
                self._found = (await aside(self._find), time.monotonic())
            return self._found[0]

    def forget(self) -> None:
        """The next one who asks is told anew."""
        self._found = None

"""Many awaitables at once, a bounded number at a time, the first failure ending them all."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

_T = TypeVar("_T")


async def together(jobs: Sequence[Coroutine[Any, Any, _T]], *, limit: int) -> list[_T]:
    """The results in the order of `jobs`. Raises the first failure itself, not a group, once every other job ended."""
    gate = asyncio.Semaphore(limit)

    async def one(job: Coroutine[Any, Any, _T]) -> _T:
        async with gate:
            return await job

    tasks = [asyncio.create_task(one(job)) for job in jobs]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for job in jobs:
            job.close()  # one that never got through the gate would warn that it was not awaited

"""Resolving made-up worlds, in one call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from archive.platforms import Platform
from mirror.ecosystem import Resolution
from mirror.pypi.resolve import resolve
from mirror.pypi.section import PypiSection
from tests.mirror.pypi.index import Made, index
from tests.mirror.transport import AMD64, ARM64, context


def resolved(
    tmp: Path, made: Sequence[Made], *, platforms: Sequence[Platform] = (AMD64, ARM64), **section: Any
) -> Resolution:
    """The section over an index that holds `made`; the recipe lies in `tmp`, blobs go to `tmp/blobs`."""

    async def run(url: str) -> Resolution:
        async with context(tmp / "blobs", tmp, *platforms) as given:
            return await resolve(PypiSection(**{"indexes": [url], "python": ["3.11"], **section}), given)

    with index(*made) as world:
        return asyncio.run(run(world.url))


def files(resolution: Resolution) -> set[str]:
    return {file.path for item in resolution.items for file in item.files}

"""Resolving made-up worlds, in one call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from archive.platforms import Platform
from mirror.ecosystem import Resolution
from mirror.npm.resolve import resolve
from mirror.npm.section import NpmSection
from tests.mirror.npm.registry import Made, registry
from tests.mirror.transport import AMD64, ARM64, context


def resolved(
    tmp: Path,
    made: Sequence[Made],
    lock: bytes | None = None,
    *,
    platforms: Sequence[Platform] = (AMD64, ARM64),
    **section: Any,
) -> Resolution:
    """The section over a registry that holds `made`; `lock` is written into the recipe's folder `tmp`."""
    if lock is not None:
        (tmp / "package-lock.json").write_bytes(lock)
        section.setdefault("locks", ["package-lock.json"])

    async def run(url: str) -> Resolution:
        async with context(tmp / "blobs", tmp, *platforms) as given:
            return await resolve(NpmSection(**{"registry": url, **section}), given)

    with registry(*made) as upstream:
        return asyncio.run(run(upstream.url))


def taken(resolution: Resolution) -> set[str]:
    return {f"{item.name}@{item.version}" for item in resolution.items}

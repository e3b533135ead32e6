"""Asking a client of this machine (uv, npm …) to do its part."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path


async def ask(
    words: Sequence[str], folder: Path | None = None, more: Mapping[str, str] | None = None
) -> tuple[int, bytes, str]:
    """Runs a program in `folder` to its end: its exit code, its output and its complaints.

    `more` is added to the environment. It dies with the one who asks: Ctrl-C leaves nothing running.
    """
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=folder,
        env={**os.environ, **(more or {}), "NO_COLOR": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, out, err.decode(errors="replace")

"""`crate-appliance` as a process of its own, to be killed, starved or watched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# A small crate would be synced once, at its end; this way its journal grows as a large one's does.
_SMALL_BATCHES = (
    "import appliance.unfinished; appliance.unfinished.SYNC_EVERY = 1 << 20;from appliance.cli import main; main()"
)


def command(root: Path, *words: str | Path) -> list[str]:
    return [sys.executable, "-c", _SMALL_BATCHES, "--root", str(root), *map(str, words)]


def run(root: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """The finished command, whatever its exit code."""
    return subprocess.run(command(root, *words), capture_output=True, text=True, check=False)

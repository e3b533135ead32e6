"""How far a scrub has come: `scrub.json` in the store, so that the next one goes on.

Not in the database, whose every commit makes the daemon ask it anew.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance import disk


@dataclass(frozen=True, slots=True)
class State:
    """Times in seconds since 1970. `begun` 0 while no pass is under way; `after` is the last digest (hex) it compared.

    `read` bytes and `damaged` blobs are of the pass under way; `finished` is when the last whole one ended.
    """

    begun: int = 0
    after: str = ""
    read: int = 0
    damaged: int = 0
    finished: int = 0


def read(root: Path) -> State:
    try:
        return State(**json.loads(_file(root).read_text()))
    except (FileNotFoundError, ValueError, TypeError):  # a pass more is all that it costs
        return State()


def write(root: Path, state: State) -> None:
    with disk.problems("noting how far the scrub has come"):
        disk.write_private(_file(root), json.dumps(asdict(state)).encode())


def spelled(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _file(root: Path) -> Path:
    return root / "scrub.json"

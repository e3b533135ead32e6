"""How the daemon that serves a store is reached: a note it leaves, for other commands on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from appliance import disk
from appliance.store import Store


@dataclass(frozen=True, slots=True)
class Listening:
    """Addresses as HOST:PORT, `plain` empty where there is no plain port; `names` are those of the certificate."""

    main: str
    plain: str
    tls: bool
    open_pulls: bool
    names: tuple[str, ...]


def leave(root: Path, listening: Listening) -> None:
    disk.write_private(_file(root), json.dumps(asdict(listening)).encode())


def find(store: Store) -> Listening | None:
    """None when nobody serves the store now."""
    if not store.served():
        return None
    try:
        noted = json.loads(_file(store.root).read_text())
    except (FileNotFoundError, ValueError):  # it is just starting
        return None
    return Listening(**{**noted, "names": tuple(noted["names"])})


def _file(root: Path) -> Path:
    return root / "listening.json"

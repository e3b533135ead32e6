"""Where an ecosystem puts what it publishes: the crate's side passes one in, inside its activation transaction."""

from __future__ import annotations

from typing import Protocol


class Publication(Protocol):
    """What a generation serves, as it is being put together."""

    def add_file(self, path: str, sha256: str, size: int, media_type: str) -> None:
        """Serves the blob at `/<path>`. Raises `Problem` when another content has that path already."""
        ...

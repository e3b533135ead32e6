"""What the crate serves for files: each below `/files/`, under the name that the recipe gave it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from archive.catalogue import Item
from mirror.ecosystem import PublishContext, Published

_UNKNOWN = "application/octet-stream"


def publish(items: Iterable[Item], _context: PublishContext) -> Iterator[Published]:
    """Nothing is generated: every file is a blob of the crate."""
    for item in items:
        for file in item.files:
            yield Published(f"files/{file.path}", file.media_type or _UNKNOWN, sha256=file.sha256, size=file.size)

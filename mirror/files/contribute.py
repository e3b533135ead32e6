"""A plain file as the item that publishes it, at /files/ and its name."""

from __future__ import annotations

from pathlib import Path

from archive.catalogue import File, Item
from archive.names import check_file_name


def contribute(_path: Path, name: str, sha256: str, size: int) -> tuple[Item, ...]:
    """Raises `InvalidValue` for a name that cannot be served."""
    served = check_file_name(name)
    return (Item("file", served, files=(File(sha256, size, served),)),)

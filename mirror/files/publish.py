"""What the crate serves for files: each below `/files/`, under the name that the recipe gave it."""

from __future__ import annotations

from collections.abc import Iterable

from archive.catalogue import Item
from mirror.publication import Publication

kind = "file"
PREFIX = "files/"


def publish(items: Iterable[Item], into: Publication) -> None:
    for item in items:
        for file in item.files:
            into.add_file(PREFIX + file.path, file.sha256, file.size, file.media_type or "application/octet-stream")

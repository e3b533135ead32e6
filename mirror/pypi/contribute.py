"""What a wheel or sdist says of itself, as the item that publishes it."""

from __future__ import annotations

from pathlib import Path

from archive.catalogue import File, Item
from mirror.pypi.wheels import parse_file_name, read_sdist, read_wheel


def contribute(path: Path, name: str, sha256: str, size: int) -> tuple[Item, ...]:
    """`name` is the file's, whose content lies at `path`. Raises `BadIndex` for what is neither, or says otherwise."""
    parsed = parse_file_name(name)
    with path.open("rb") as content:
        metadata = read_sdist(content, name)[0] if parsed.sdist else read_wheel(content, name)
    told = {"requires_python": metadata.requires_python, "metadata_sha256": metadata.sha256}
    item = Item(
        kind="pypi",
        name=parsed.name,
        version=str(parsed.version),
        files=(File(sha256, size, path=name),),
        publish={"files": {name: {key: value for key, value in told.items() if value}}},
    )
    return (item,)

"""What a packed chart says of itself, as the item that publishes it."""

from __future__ import annotations

from pathlib import Path

from archive.catalogue import File, Item
from mirror.errors import BadIndex
from mirror.helm import archives, oci
from mirror.helm.metadata import file_name


def contribute(path: Path, name: str, sha256: str, size: int) -> tuple[Item, ...]:
    """Raises `BadIndex` for what is no chart, or one that lacks what it depends on."""
    chart = archives.read(path, name)
    if chart.missing:
        raise BadIndex(
            f"{name} depends on {', '.join(chart.missing)}, which it does not hold",
            hint="helm dependency update, then helm package",
        )
    metadata = chart.metadata
    file = File(sha256, size, path=file_name(metadata.name, metadata.version), media_type=oci.CONTENT)
    item = Item(
        kind="chart",
        name=metadata.name,
        version=metadata.version,
        files=(file,),
        publish={"metadata": dict(metadata.document)},
    )
    return (item,)

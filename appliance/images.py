"""What the crate serves for images: tags, manifests and blobs of the registry, under the upstream's own names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from appliance.errors import BadPublication
from appliance.manifest import LIMIT, MEDIA_TYPES, Manifest
from appliance.publication import Publication
from archive.catalogue import File, Item
from archive.digests import Digest


def publish(items: Iterable[Item], into: Publication) -> None:
    """`item.publish` holds `repository`, `tags` and `root`, the descriptor that the tags name."""
    for item in items:
        repository = _field(item, item.publish, "repository")
        for file in item.files:
            into.add_blob(repository, file.sha256, _aliases(file))
            if file.media_type in MEDIA_TYPES:
                manifest = Manifest.parse(into.read(file.sha256, LIMIT), file.media_type)
                for digest in (Digest.sha256(file.sha256), *_aliases(file)):
                    into.add_manifest(repository, digest, file.size, manifest)
        root = Digest.parse(_field(item, _field(item, item.publish, "root"), "digest"))
        for tag in item.publish.get("tags", ()):
            into.add_tag(repository, tag, root)


def _aliases(file: File) -> tuple[Digest, ...]:
    return tuple(Digest.parse(alias) for alias in file.aliases)


def _field(item: Item, values: Any, key: str) -> Any:
    if not isinstance(values, dict) or key not in values:
        raise BadPublication(f"the catalogue does not say the {key} of the image {item.name}:{item.version}")
    return values[key]

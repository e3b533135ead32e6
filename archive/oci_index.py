"""index.json of a crate: its images, as tools that open an OCI image layout look for them (image-layout.md)."""

from __future__ import annotations

from collections.abc import Iterable

from archive import documents
from archive.catalogue import IMAGE, Item

_INDEX = "application/vnd.oci.image.index.v1+json"
_REF_NAME = "org.opencontainers.image.ref.name"
_CONTAINERD_NAME = "io.containerd.image.name"


def oci_index(items: Iterable[Item]) -> bytes:
    """Every image among the items by its full reference, as skopeo and containerd want it."""
    manifests = []
    for item in items:
        if item.kind != IMAGE:
            continue
        root = dict(item.publish["root"])
        for file in item.files:
            if root["digest"] in file.aliases:  # a crate names its blobs by sha256
                root["digest"] = f"sha256:{file.sha256}"
        name = title(item)
        manifests.append({**root, "annotations": {_REF_NAME: name, _CONTAINERD_NAME: name}})
    return documents.canonical({"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests})


def title(item: Item) -> str:
    """An item as people name it: an image by its full reference, anything else by name and version."""
    if item.kind != IMAGE:
        return f"{item.name} {item.version}".rstrip()
    return f"{item.name}{'@' if ':' in item.version else ':'}{item.version}"

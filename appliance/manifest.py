"""What a registry must know of a manifest: its subject, its kind of artifact, and what it refers to.

Image manifests and indexes of the OCI image specification, manifests and lists of Docker's schema 2. The bytes
themselves are never rewritten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from archive import documents
from archive.digests import Digest
from archive.errors import InvalidValue

LIMIT = 4 << 20  # bytes of the largest manifest accepted (distribution-spec, "Pushing Manifests")
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
MEDIA_TYPES = frozenset({OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST})


@dataclass(frozen=True, slots=True)
class Manifest:
    """The references of one manifest: `children` are manifests, `blobs` are config and layers.

    `foreign` are the layers among them that may lie elsewhere only (image-spec, "Non-Distributable Layers").
    `artifact_type` falls back to the config's media type (distribution-spec, "Listing Referrers").
    """

    media_type: str
    subject: Digest | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    children: tuple[Digest, ...] = ()
    blobs: tuple[Digest, ...] = ()
    foreign: tuple[Digest, ...] = ()

    @classmethod
    def parse(cls, body: bytes, media_type: str = "") -> Manifest:
        """`media_type` is what came with the bytes; empty takes the document's own. Raises `InvalidValue`."""
        document = documents.parse(body, "the manifest")
        if not isinstance(document, dict):
            raise InvalidValue("the manifest is not a JSON object")
        try:
            return cls._from(document, media_type)
        except KeyError as error:
            raise InvalidValue(f"a descriptor in the manifest has no {error}") from error
        except (TypeError, AttributeError) as error:
            raise InvalidValue("the manifest has something of the wrong type in it") from error

    @classmethod
    def _from(cls, document: dict[str, Any], media_type: str) -> Manifest:
        config = document.get("config")
        subject = document.get("subject")
        annotations = document.get("annotations") or {}
        if not all(isinstance(value, str) for value in annotations.values()):
            raise InvalidValue("the manifest has an annotation that is no string")
        artifact_type = document.get("artifactType") or (config or {}).get("mediaType", "")
        if not isinstance(artifact_type, str) or not artifact_type.isascii():
            raise InvalidValue("the manifest says of no media type what it is")
        layers = document.get("layers") or ()
        return cls(
            media_type=media_type
            or document.get("mediaType")
            or (OCI_INDEX if "manifests" in document else OCI_MANIFEST),
            subject=Digest.parse(subject["digest"]) if subject else None,
            artifact_type=artifact_type,
            annotations=annotations,
            children=tuple(Digest.parse(child["digest"]) for child in document.get("manifests") or ()),
            blobs=tuple(Digest.parse(blob["digest"]) for blob in [*([config] if config else []), *layers]),
            foreign=tuple(
                Digest.parse(layer["digest"])
                for layer in layers
                if layer.get("urls") or any(word in layer["mediaType"] for word in ("nondistributable", "foreign"))
            ),
        )

"""What the bundler reads in an image's documents: indexes, manifests and configs, OCI's and docker's alike.

OCI image specification 1.1 (descriptor.md, image-index.md, manifest.md) and docker's "Image Manifest V2, Schema 2".
Documents keep their bytes; what is parsed here is a view of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from archive import documents
from archive.digests import Digest
from archive.errors import InvalidValue
from archive.platforms import Platform
from bundler.errors import ImageInvalid

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"

INDEX_TYPES = frozenset({INDEX, DOCKER_LIST})
MANIFEST_TYPES = frozenset({MANIFEST, DOCKER_MANIFEST, ARTIFACT})
CONFIG_TYPES = frozenset({CONFIG, DOCKER_CONFIG})
_ATTESTED = "vnd.docker.reference.digest"
_FOREIGN = ("application/vnd.docker.image.rootfs.foreign.", "application/vnd.oci.image.layer.nondistributable.")
UNKNOWN = Platform("unknown", "unknown")
"""What runs nowhere: buildkit's attestations."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A pointer to content: its digest, size in bytes and media type. `fields` is the descriptor as it stood there."""

    digest: Digest
    size: int
    media_type: str
    platform: Platform | None = None
    fields: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @classmethod
    def parse(cls, value: Any, where: str) -> Descriptor:
        """Raises `ImageInvalid`; `where` names the document that holds it."""
        try:
            size = value["size"]
            if type(size) is not int or size < 0:
                raise ImageInvalid(f"{where} gives {size!r} for a size")
            platform = value.get("platform")
            return cls(
                Digest.parse(value["digest"]),
                size,
                str(value.get("mediaType", "")),
                _platform(platform) if platform else None,
                value,
            )
        except (KeyError, TypeError, AttributeError, InvalidValue) as error:
            raise ImageInvalid(f"{where} holds something that is no descriptor: {error}") from error

    def to_json(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEX_TYPES

    @property
    def is_manifest(self) -> bool:
        return self.media_type in MANIFEST_TYPES

    @property
    def foreign(self) -> bool:
        """A layer that its licence keeps out of registries; only its own URL has it."""
        return self.media_type.startswith(_FOREIGN)

    @property
    def attests(self) -> str:
        """The digest of the manifest that this one is an attestation of, else empty (buildkit's convention)."""
        if self.platform != UNKNOWN:
            return ""
        return str((self.fields.get("annotations") or {}).get(_ATTESTED, ""))

    @property
    def runs_on(self) -> Platform | None:
        """The platform, when there is a real one."""
        return None if self.platform == UNKNOWN else self.platform


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image or an artifact for one platform."""

    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    artifact_type: str
    subject: Descriptor | None

    @property
    def is_image(self) -> bool:
        """Whether its config says on what it runs."""
        return self.config is not None and self.config.media_type in CONFIG_TYPES and not self.artifact_type


def parse_index(body: bytes, where: str) -> tuple[Descriptor, ...]:
    """The descriptors of an image index or manifest list. Raises `ImageInvalid`."""
    members = _object(body, where).get("manifests")
    if not isinstance(members, list):
        raise ImageInvalid(f"{where} is not an image index: it has no list of manifests")
    return tuple(Descriptor.parse(member, where) for member in members)


def parse_manifest(body: bytes, where: str) -> Manifest:
    """Raises `ImageInvalid`, for docker's schema 1 with the reason."""
    document = _object(body, where)
    if document.get("schemaVersion") == 1:
        raise ImageInvalid(f"{where} is of docker's schema 1", hint="push the image again with a current tool")
    layers = document.get("layers", document.get("blobs", []))
    if not isinstance(layers, list):
        raise ImageInvalid(f"{where} is not an image manifest: its layers are no list")
    config, subject = document.get("config"), document.get("subject")
    return Manifest(
        Descriptor.parse(config, where) if config else None,
        tuple(Descriptor.parse(layer, where) for layer in layers),
        str(document.get("artifactType") or ""),
        Descriptor.parse(subject, where) if subject else None,
    )


def parse_config(body: bytes, where: str) -> Platform:
    """The platform that an image's config names. Raises `ImageInvalid`."""
    document = _object(body, where)
    if not document.get("os") or not document.get("architecture"):
        raise ImageInvalid(f"{where} does not say on which platform the image runs")
    return _platform(document)


def media_type(body: bytes, where: str) -> str:
    """What the document says it is; where it says nothing, what its members say."""
    document = _object(body, where)
    stated = document.get("mediaType")
    if isinstance(stated, str) and stated:
        return stated
    return INDEX if "manifests" in document else MANIFEST


def _object(body: bytes, where: str) -> dict[str, Any]:
    try:
        document = documents.parse(body, where)
    except InvalidValue as error:
        raise ImageInvalid(error.what) from error
    if not isinstance(document, dict):
        raise ImageInvalid(f"{where} is not a JSON object")
    return document


def _platform(value: Mapping[str, Any]) -> Platform:
    words = (str(value.get(key) or "") for key in ("os", "architecture", "variant"))
    return Platform(*words).normalised()

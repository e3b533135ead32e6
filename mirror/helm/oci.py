"""Charts as OCI artifacts, as Helm pushes and pulls them: read from a registry, and made for the crate's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urljoin

from archive import documents
from archive.digests import Digest
from archive.errors import InvalidValue
from mirror.errors import BadIndex, WrongDigest
from mirror.transport import Transport

CONFIG = "application/vnd.cncf.helm.config.v1+json"
CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
PROVENANCE = "application/vnd.cncf.helm.chart.provenance.v1.prov"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"

MANIFEST_LIMIT = 4 << 20
_TAGS_LIMIT = 16 << 20
_PAGES = 100


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob of an artifact (image-spec, descriptor.md)."""

    media_type: str
    sha256: str
    size: int

    def to_json(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": f"sha256:{self.sha256}", "size": self.size}


@dataclass(frozen=True, slots=True)
class Artifact:
    """A chart in a registry: its manifest's very bytes, and the blobs that it names."""

    manifest: bytes
    config: Descriptor
    content: Descriptor
    provenance: Descriptor | None


def tag_of(version: str) -> str:
    """A tag cannot hold the `+` of build metadata: Helm writes `_`."""
    return version.replace("+", "_")


def version_of(tag: str) -> str:
    return tag.replace("_", "+")


def build(metadata: Mapping[str, Any], content: Descriptor, provenance: Descriptor | None) -> tuple[bytes, bytes]:
    """Manifest and config of a chart that came from no registry; the same chart gives the same bytes."""
    config = documents.canonical(metadata)
    layers = [content, *([provenance] if provenance else [])]
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": Descriptor(CONFIG, Digest.of(config).hex, len(config)).to_json(),
        "layers": [layer.to_json() for layer in layers],
        "annotations": {
            "org.opencontainers.image.title": metadata["name"],
            "org.opencontainers.image.version": metadata["version"],
        },
    }
    return documents.canonical(manifest), config


def parse(manifest: bytes, what: str) -> Artifact:
    """Raises `BadIndex` for a manifest that is of no chart."""
    document = documents.parse(manifest, what)
    try:
        config = _descriptor(document["config"])
        layers = {each.media_type: each for each in map(_descriptor, document["layers"])}
        if config.media_type != CONFIG or CONTENT not in layers:
            raise BadIndex(f"{what} is not a Helm chart: its config is {config.media_type[:100]!r}")
        return Artifact(manifest, config, layers[CONTENT], layers.get(PROVENANCE))
    except (KeyError, TypeError, ValueError, InvalidValue) as error:
        raise BadIndex(f"{what} is not a manifest: {error}") from error


class Repository:
    """A repository of a registry upstream, through addresses of the form `oci://host/v2/…` (see `Transport`)."""

    def __init__(self, transport: Transport, url: str) -> None:
        """`url` is as Helm has it: `oci://host/path/chart`."""
        host, _, self.path = url.removeprefix("oci://").partition("/")
        self.url = url
        self._api = f"oci://{host}/v2/{self.path}"
        self._transport = transport

    async def tags(self) -> list[str]:
        """Every tag, page by page (distribution-spec, "Listing tags"). Raises `BadIndex`."""
        found: list[str] = []
        address = f"{self._api}/tags/list"
        for _ in range(_PAGES):
            page = await self._transport.read(address, limit=_TAGS_LIMIT)
            try:
                found += [str(tag) for tag in documents.parse(page.body, f"the tags of {self.url}")["tags"] or ()]
            except (KeyError, TypeError) as error:
                raise BadIndex(f"the tags of {self.url} cannot be read: {error!r}") from error
            link = next((value for name, value in page.headers.items() if name.lower() == "link"), "")
            if 'rel="next"' not in link:
                return found
            address = urljoin(address.replace("oci:", "https:", 1), link.partition("<")[2].partition(">")[0])
            address = address.replace("https:", "oci:", 1)
        raise BadIndex(f"{self.url} has more than {_PAGES} pages of tags")

    async def artifact(self, tag: str) -> Artifact:
        what = f"{self.url}:{tag}"
        address = f"{self._api}/manifests/{quote(tag, safe='')}"
        found = await self._transport.read(address, limit=MANIFEST_LIMIT, headers={"Accept": MANIFEST})
        stated = {name.lower(): value for name, value in found.headers.items()}.get("docker-content-digest", "")
        if stated.startswith("sha256:") and stated != str(Digest.of(found.body)):
            raise WrongDigest(f"{what} is not {stated}, which its registry says it is")
        return parse(found.body, what)

    def blob(self, descriptor: Descriptor) -> str:
        return f"{self._api}/blobs/sha256:{descriptor.sha256}"


def _descriptor(told: Mapping[str, Any]) -> Descriptor:
    digest = Digest.parse(told["digest"])
    if digest.algorithm != "sha256":
        raise InvalidValue(f"{digest} is not a sha256")
    return Descriptor(str(told["mediaType"]), digest.hex, int(told["size"]))

"""Images for tests: OCI layouts whose every byte follows from their arguments.

`make_layout` covers the usual and the odd; `Layout` builds what it does not.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Descriptor = dict[str, Any]

OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker"
BOTH = ("linux/amd64", "linux/arm64")


@dataclass(frozen=True)
class MediaTypes:
    """What one family of image formats calls its parts."""

    index: str
    manifest: str
    config: str
    layer: str
    foreign: str


OCI_TYPES = MediaTypes(
    index=f"{OCI}.index.v1+json",
    manifest=f"{OCI}.manifest.v1+json",
    config=f"{OCI}.config.v1+json",
    layer=f"{OCI}.layer.v1.tar+gzip",
    foreign=f"{OCI}.layer.nondistributable.v1.tar+gzip",
)
DOCKER_TYPES = MediaTypes(
    index=f"{DOCKER}.distribution.manifest.list.v2+json",
    manifest=f"{DOCKER}.distribution.manifest.v2+json",
    config=f"{DOCKER}.container.image.v1+json",
    layer=f"{DOCKER}.image.rootfs.diff.tar.gzip",
    foreign=f"{DOCKER}.image.rootfs.foreign.diff.tar.gzip",
)
MANIFEST_TYPES = frozenset(kind for types in (OCI_TYPES, DOCKER_TYPES) for kind in (types.index, types.manifest))


@dataclass(frozen=True)
class Layer:
    """A gzipped tar and the digest of the tar inside, which an image's config names."""

    data: bytes
    diff_id: str


def make_layer(files: Mapping[str, bytes], links: Mapping[str, str] | None = None, *, level: int = 0) -> Layer:
    """A layer of executable `files` and symbolic `links`; gzip level 0 stores, which suits random bytes."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.mode, member.size = 0o755, len(data)
            tar.addfile(member, io.BytesIO(data))
        for name, target in sorted((links or {}).items()):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    content = raw.getvalue()
    return Layer(gzip.compress(content, level, mtime=0), f"sha256:{hashlib.sha256(content).hexdigest()}")


def random_layer(seed: str, size: int) -> Layer:
    """About `size` bytes that do not compress, the same for the same seed."""
    return make_layer({f"data/{seed.replace('/', '_')}": random.Random(seed).randbytes(size)})


class Layout:
    """An OCI image layout that grows image by image; opening an existing folder goes on with it."""

    def __init__(self, folder: Path, *, algorithm: str = "sha256", types: MediaTypes = OCI_TYPES) -> None:
        self.folder, self.algorithm, self.types = folder, algorithm, types
        self._index = folder / "index.json"
        (folder / "blobs" / algorithm).mkdir(parents=True, exist_ok=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        if not self._index.exists():
            self._write([])

    def _write(self, manifests: list[Descriptor]) -> None:
        self._index.write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}, indent=1))

    def roots(self) -> list[Descriptor]:
        """The descriptors of index.json."""
        return list(json.loads(self._index.read_text())["manifests"])

    def path(self, digest: str) -> Path:
        return self.folder / "blobs" / digest.replace(":", "/")

    def blob(self, data: bytes, media_type: str, **fields: Any) -> Descriptor:
        digest = f"{self.algorithm}:{hashlib.new(self.algorithm, data).hexdigest()}"
        self.path(digest).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data), **fields}

    def document(self, value: object, media_type: str, **fields: Any) -> Descriptor:
        return self.blob(json.dumps(value, separators=(",", ":")).encode(), media_type, **fields)

    def image(
        self,
        platform: str,
        layers: Sequence[Layer],
        *,
        config: Mapping[str, Any] | None = None,
        extra_layers: Sequence[Descriptor] = (),
    ) -> Descriptor:
        """The manifest of one platform; `config` is the container's (Entrypoint, Env …)."""
        os, architecture, *variant = platform.split("/")
        description = {"os": os, "architecture": architecture, **({"variant": variant[0]} if variant else {})}
        configured = self.document(
            {
                **description,
                "config": dict(config or {}),
                "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            },
            self.types.config,
        )
        manifest = {
            "schemaVersion": 2,
            "mediaType": self.types.manifest,
            "config": configured,
            "layers": [*(self.blob(layer.data, self.types.layer) for layer in layers), *extra_layers],
        }
        return self.document(manifest, self.types.manifest, platform=description)

    def index(self, manifests: Iterable[Descriptor], **fields: Any) -> Descriptor:
        value = {"schemaVersion": 2, "mediaType": self.types.index, "manifests": list(manifests)}
        return self.document(value, self.types.index, **fields)

    def attestation(self, subject: Descriptor) -> Descriptor:
        """What buildkit puts beside an image: a manifest for the platform unknown/unknown that points at it."""
        statement = {"_type": "https://in-toto.io/Statement/v0.1", "subject": [{"digest": subject["digest"]}]}
        manifest = {
            "schemaVersion": 2,
            "mediaType": self.types.manifest,
            "config": self.document({"architecture": "unknown", "os": "unknown"}, self.types.config),
            "layers": [self.document(statement, "application/vnd.in-toto+json")],
        }
        return self.document(
            manifest,
            self.types.manifest,
            platform={"os": "unknown", "architecture": "unknown"},
            annotations={
                "vnd.docker.reference.type": "attestation-manifest",
                "vnd.docker.reference.digest": subject["digest"],
            },
        )

    def referrer(self, subject: Descriptor, artifact_type: str, content: bytes) -> Descriptor:
        """An artifact that refers to `subject`: a signature, an SBOM."""
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_TYPES.manifest,
            "artifactType": artifact_type,
            "config": self.blob(b"{}", "application/vnd.oci.empty.v1+json"),
            "layers": [self.blob(content, artifact_type)],
            "subject": {key: subject[key] for key in ("mediaType", "digest", "size")},
            "annotations": {"org.example.made-by": "tests"},
        }
        return self.document(manifest, OCI_TYPES.manifest, artifactType=artifact_type)

    def tag(self, descriptor: Descriptor, reference: str) -> None:
        """Lists `descriptor` in index.json under `reference` (a full reference, or whatever the test is about)."""
        others = [known for known in self.roots() if _ref_name(known) != reference]
        named = {"org.opencontainers.image.ref.name": reference}
        self._write([*others, {**descriptor, "annotations": {**descriptor.get("annotations", {}), **named}}])

    def untagged(self, descriptor: Descriptor) -> None:
        """Lists `descriptor` without a name, as layouts keep referrers."""
        self._write([*self.roots(), descriptor])


def _ref_name(descriptor: Descriptor) -> str:
    return str(descriptor.get("annotations", {}).get("org.opencontainers.image.ref.name", ""))


@dataclass(frozen=True)
class MadeImage:
    """What `make_layout` made: the tag's descriptor, one manifest a platform, and what hangs on it."""

    layout: Layout
    reference: str
    root: Descriptor
    manifests: Mapping[str, Descriptor]
    attestations: tuple[Descriptor, ...] = ()
    referrers: tuple[Descriptor, ...] = ()

    @property
    def folder(self) -> Path:
        return self.layout.folder

    @property
    def digest(self) -> str:
        return str(self.root["digest"])


def make_layout(
    folder: Path,
    reference: str,
    platforms: Sequence[str] = BOTH,
    *,
    layers: int = 2,
    layer_size: int = 16 * 1024,
    seed: str = "",
    docker: bool = False,
    algorithm: str = "sha256",
    nested: bool = False,
    attestations: bool = False,
    foreign: bool = False,
    referrers: Sequence[str] = (),
    common_layers: int = 0,
) -> MadeImage:
    """Writes an image under `reference` into the layout in `folder`, beside what is there already.

    One platform makes a plain manifest, several an index. `seed` (default: the reference) decides the content;
    the first `common_layers` of each platform's layers are the same for all platforms. `docker` uses Docker
    schema 2, `nested` puts the platforms into an index inside the index, `attestations` adds buildkit's
    unknown/unknown manifests, `foreign` a layer that only its URL has, `referrers` one artifact of each type.
    """
    layout = Layout(folder, algorithm=algorithm, types=DOCKER_TYPES if docker else OCI_TYPES)
    seed = seed or reference
    foreign_layer = {
        "mediaType": layout.types.foreign,
        "digest": f"sha256:{hashlib.sha256(seed.encode()).hexdigest()}",
        "size": 1234,
        "urls": ["https://mirror.example.org/base-layer.tar.gz"],
    }
    manifests = {
        platform: layout.image(
            platform,
            [
                random_layer(f"{seed}-{number}" + ("" if number < common_layers else f"-{platform}"), layer_size)
                for number in range(layers)
            ],
            extra_layers=[foreign_layer] if foreign else (),
        )
        for platform in platforms
    }
    attested = tuple(layout.attestation(manifest) for manifest in manifests.values()) if attestations else ()
    members = [*manifests.values(), *attested]
    root = members[0] if len(members) == 1 else layout.index(members)
    if nested:
        root = layout.index([root])
    layout.tag({key: root[key] for key in ("mediaType", "digest", "size")}, reference)
    attached = tuple(layout.referrer(root, kind, f"{kind} of {seed}".encode()) for kind in referrers)
    for artifact in attached:
        layout.untagged(artifact)
    return MadeImage(layout, reference, root, manifests, attested, attached)

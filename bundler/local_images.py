"""Images that lie on this machine: OCI layout folders, oci-archives and docker-archives, all seen as one thing.

Nothing is unpacked and nothing copied: a blob of an archive is an extent of its file. A docker-archive (what
`docker save`, `podman save` and buildah write) holds layers and configs but no manifest; that is made here, an OCI
manifest over the layers as they are, so that the same archive always gives the same image.

OCI image layout specification 1.1 (image-layout.md); docker's "Image Specification v1.2", "Combined Image JSON".
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archive import documents
from archive.digests import Digest
from archive.errors import Problem
from archive.references import Reference
from bundler import oci
from bundler.errors import LayoutInvalid
from bundler.oci import Descriptor

DOCUMENT_LIMIT = 4 * 2**20  # bytes of one manifest, index or config
_BLOCK = 2**20
_BLOB = re.compile(r"blobs/(sha256|sha512)/([0-9a-f]+)")
_REF_NAME = "org.opencontainers.image.ref.name"
_CONTAINERD_NAME = "io.containerd.image.name"
_AGAIN = "copy the image here again, with all its platforms"
_COMPRESSION = {b"\x1f\x8b": "+gzip", b"\x28\xb5\x2f\xfd": "+zstd"}


@dataclass(frozen=True, slots=True)
class Extent:
    """`size` bytes of `path` from `offset`."""

    path: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """A document, whole. Raises `LayoutInvalid` for what is too large to be one."""
        if self.size > DOCUMENT_LIMIT:
            raise LayoutInvalid(f"{self.path} holds a document of {self.size} bytes; {DOCUMENT_LIMIT} are allowed")
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)

    def digest(self, algorithm: str = "sha256") -> Digest:
        """Of its content, read block by block."""
        state = hashlib.new(algorithm)
        left = self.size
        with self.path.open("rb") as file:
            file.seek(self.offset)
            while left and (block := file.read(min(_BLOCK, left))):
                state.update(block)
                left -= len(block)
        return Digest(algorithm, state.hexdigest())


@dataclass(frozen=True)
class LocalImages:
    """What a folder or archive holds: `roots` are the descriptors of its index.json, `blobs` everything by digest.

    `made` are documents that are in no file: the manifests of a docker-archive.
    """

    path: Path
    roots: tuple[Descriptor, ...]
    blobs: Mapping[Digest, Extent]
    made: Mapping[Digest, bytes] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> LocalImages:
        """Raises `LayoutInvalid`."""
        if path.is_dir():
            return _open_folder(path)
        try:
            members = _members(path)
        except FileNotFoundError as error:
            raise LayoutInvalid(
                f"{path} is not there", hint="layout is a path, relative to the recipe's folder"
            ) from error
        except tarfile.TarError as error:
            hint = "decompress it first: blobs are packed as they lie in it" if _magic(path) else ""
            raise LayoutInvalid(f"{path} is no OCI layout and no archive of images: {error}", hint=hint) from error
        if "index.json" in members:
            return _open_layout(path, members)
        if "manifest.json" in members:
            return _open_docker(path, members)
        raise LayoutInvalid(f"{path} holds neither index.json nor manifest.json", hint="skopeo copy … oci-archive:FILE")

    def read(self, digest: Digest) -> bytes:
        """A document. Raises `LayoutInvalid` when it is not there or not what its digest says."""
        if digest in self.made:
            return self.made[digest]
        body = self.extent(digest).read()
        if Digest.of(body, digest.algorithm) != digest:
            raise LayoutInvalid(f"{self.path}: {digest} has other content", hint=_AGAIN)
        return body

    def extent(self, digest: Digest) -> Extent:
        if digest not in self.blobs:
            raise LayoutInvalid(f"{self.path} lacks {digest}", hint=_AGAIN)
        return self.blobs[digest]

    def check(self, digest: Digest, size: int) -> None:
        """Raises `LayoutInvalid` unless the blob is there, with that many bytes."""
        if digest not in self.made and self.extent(digest).size != size:
            found = self.extent(digest).size
            raise LayoutInvalid(f"{self.path}: {digest} has {found} bytes, {size} were announced", hint=_AGAIN)

    def find(self, name: Reference) -> Descriptor:
        """The image called `name` there, or the only one there is."""
        images = [root for root in self.roots if (root.is_index or root.is_manifest) and not self._subject(root)]
        for spelling in (str(name), f"{name.repository}:{name.tag}", name.tag):
            matching = [root for root in images if spelling in _names(root)]
            if len(matching) == 1:
                return matching[0]
        if len(images) == 1:
            return images[0]
        offered = ", ".join(sorted({spelling for root in images for spelling in _names(root)})) or "none of them named"
        raise LayoutInvalid(
            f"{self.path} holds {len(images)} images and none is {name}", hint=f"it holds {offered}; name one of them"
        )

    def referrers(self, digest: Digest) -> list[Descriptor]:
        """The manifests of index.json whose subject is `digest`."""
        return [root for root in self.roots if self._subject(root) == digest]

    def attached_tags(self, digest: Digest) -> list[tuple[str, Descriptor]]:
        """What cosign tied to `digest` by a tag (`sha256-….sig`) when the image was copied here."""
        stem = f"{digest.algorithm}-{digest.hex}."
        return sorted(
            ((name.rpartition(":")[2], root) for root in self.roots for name in _names(root) if stem in name),
            key=lambda found: found[0],
        )

    def _subject(self, root: Descriptor) -> Digest | None:
        if not root.is_manifest or root.digest not in self.blobs:
            return None
        subject = oci.parse_manifest(self.read(root.digest), f"{self.path}: {root.digest}").subject
        return subject.digest if subject else None


def _names(root: Descriptor) -> set[str]:
    annotations = root.fields.get("annotations") or {}
    return {str(annotations[key]) for key in (_REF_NAME, _CONTAINERD_NAME) if key in annotations}


def _open_folder(path: Path) -> LocalImages:
    members: dict[str, Extent] = {}
    for file in [path / "index.json", *path.glob("blobs/*/*")]:
        if file.is_file():
            members[file.relative_to(path).as_posix()] = Extent(file, 0, file.stat().st_size)
    if "index.json" not in members:
        raise LayoutInvalid(f"{path} is no OCI layout: it has no index.json", hint="skopeo copy … oci:FOLDER")
    return _open_layout(path, members)


def _open_layout(path: Path, members: Mapping[str, Extent]) -> LocalImages:
    blobs: dict[Digest, Extent] = {}
    for name, extent in members.items():
        if found := _BLOB.fullmatch(name):
            blobs[Digest(found[1], found[2])] = extent
    where = f"{path}: index.json"
    try:
        return LocalImages(path, oci.parse_index(members["index.json"].read(), where), blobs)
    except Problem as problem:
        raise LayoutInvalid(problem.what, hint=problem.hint) from problem


def _open_docker(path: Path, members: Mapping[str, Extent]) -> LocalImages:
    """Every image of manifest.json gets a manifest over the config and the layers that it names."""
    blobs: dict[Digest, Extent] = {}
    made: dict[Digest, bytes] = {}
    roots: list[Descriptor] = []
    where = f"{path}: manifest.json"
    for image in documents.parse(members["manifest.json"].read(), where):
        try:
            config = _descriptor(members, image["Config"], oci.CONFIG, blobs)
            layers = [_descriptor(members, layer, oci.LAYER, blobs) for layer in image["Layers"]]
            names = list(image.get("RepoTags") or [])
        except (KeyError, TypeError) as error:
            raise LayoutInvalid(f"{where} names {error}, which the archive does not hold") from error
        body = documents.canonical({"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config, "layers": layers})
        digest = Digest.of(body)
        made[digest] = body
        for name in names or [""]:
            annotations = {_REF_NAME: str(Reference.parse(name))} if name else {}
            roots.append(Descriptor(digest, len(body), oci.MANIFEST, fields={"annotations": annotations}))
    return LocalImages(path, tuple(roots), blobs, made)


def _descriptor(
    members: Mapping[str, Extent], name: str, media_type: str, blobs: dict[Digest, Extent]
) -> dict[str, Any]:
    extent = members[name]
    digest = extent.digest()
    blobs[digest] = extent
    if media_type == oci.LAYER:
        media_type += _magic(extent.path, extent.offset)
    return {"mediaType": media_type, "digest": str(digest), "size": extent.size}


def _magic(path: Path, offset: int = 0) -> str:
    """How the content at `offset` is compressed, as the end of a media type; empty when it is not."""
    with path.open("rb") as file:
        file.seek(offset)
        start = file.read(4)
    return next((suffix for magic, suffix in _COMPRESSION.items() if start.startswith(magic)), "")


def _members(path: Path) -> dict[str, Extent]:
    """Every regular file of an uncompressed tar, links to one of them included (docker links equal layers)."""
    members: dict[str, Extent] = {}
    links: dict[str, str] = {}
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            name = posixpath.normpath(member.name)
            if member.isreg() and not member.issparse():
                members[name] = Extent(path, member.offset_data, member.size)
            elif member.issym():
                links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
            elif member.islnk():
                links[name] = posixpath.normpath(member.linkname)
    for name, target in links.items():
        if target in members:
            members.setdefault(name, members[target])
    return members

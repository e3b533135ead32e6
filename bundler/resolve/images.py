"""An image to an item: its manifests walked, the platforms chosen, every blob of them named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from archive.catalogue import IMAGE, File, Item
from archive.digests import Digest
from archive.oci_index import title
from archive.platforms import Platform
from archive.references import Reference
from bundler import oci
from bundler.errors import ImageInvalid
from bundler.oci import Descriptor
from bundler.resolve import tree
from bundler.resolve.tree import Node
from mirror.together import together

KIND = IMAGE
MADE = "made:prune"
_DEPTH = 8  # indexes within indexes
_AT_ONCE = 8  # members of one index being read


class ImageSource(Protocol):
    """Where an image is read from: a registry's repository, or what lies on this machine."""

    @property
    def origin(self) -> str:
        """As the catalogue says it: `docker://…` or `file:…`."""
        ...

    async def root(self) -> tuple[Descriptor, bytes]:
        """The manifest or index that the image's name stands for."""
        ...

    async def manifest(self, descriptor: Descriptor) -> bytes:
        """A manifest or index, checked against its digest. Raises `Problem`."""
        ...

    async def config(self, descriptor: Descriptor) -> bytes:
        """An image's config, checked against its digest. Raises `Problem`."""
        ...

    async def referrers(self, digest: Digest) -> Sequence[Descriptor]:
        """The artifacts that refer to `digest`."""
        ...

    async def attached_tags(self, digest: Digest) -> Sequence[tuple[str, Descriptor]]:
        """The artifacts that are tied to `digest` by a tag, as cosign ties them."""
        ...

    async def sha256(self, descriptor: Descriptor) -> str:
        """The sha256 of content that is known by another digest."""
        ...


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """One image: what the crate calls it, the platforms it needs, and whether what is attached to it comes along."""

    reference: Reference
    platforms: tuple[Platform, ...]
    referrers: bool = False


async def resolve(request: ImageRequest, source: ImageSource) -> list[Item]:
    """The image's item, and one for every tag that ties an artifact to it.

    Raises `PlatformMissing`, `ImageInvalid` and what the source raises.
    """
    descriptor, body = await source.root()
    root = await _load(source, descriptor, body, str(request.reference))
    kept = tree.select(root, request.platforms, str(request.reference))
    pruned = tree.prune(root, kept)

    blobs = _Blobs(source)
    for made in pruned.made:
        blobs.files.append(File(Digest.of(made).hex, len(made), media_type=root.descriptor.media_type, origin=MADE))
    for index in root.indexes():
        if any(leaf.descriptor.digest in kept for leaf in index.leaves()) or index is root:
            await blobs.add(index.descriptor)
    leaves = [leaf for leaf in root.leaves() if leaf.descriptor.digest in kept]
    for leaf in leaves:
        await blobs.add_manifest(leaf.descriptor)

    attached: list[Descriptor] = []
    tagged: list[Item] = []
    if request.referrers:
        subjects = [node.descriptor for node in (*root.indexes(), *leaves)]
        attached = await _attach(source, blobs, subjects)
        for subject in subjects:
            for tag, artifact in await source.attached_tags(subject.digest):
                tagged.append(await _tagged(request.reference, tag, artifact, source))
    publish: dict[str, Any] = {
        "repository": request.reference.path,
        "tags": [request.reference.tag] if request.reference.tag else [],
        "root": pruned.root.to_json(),
        "platforms": sorted({str(leaf.platform) for leaf in leaves if leaf.platform}),
        "original": str(root.descriptor.digest) if pruned.made else "",
        "referrers": sorted({str(artifact.digest) for artifact in attached}),
        "skipped": blobs.skipped,
    }
    item = Item(
        kind=KIND,
        name=request.reference.name,
        version=request.reference.tag or str(request.reference.digest),
        origin=source.origin,
        files=blobs.distinct(),
        publish={key: value for key, value in publish.items() if value or key == "tags"},
    )
    return [item, *tagged]


async def _tagged(reference: Reference, tag: str, artifact: Descriptor, source: ImageSource) -> Item:
    """An artifact that cosign finds by a tag of the image's repository."""
    blobs = _Blobs(source)
    await blobs.add_manifest(artifact)
    return Item(
        kind=KIND,
        name=reference.name,
        version=tag,
        origin=source.origin,
        files=blobs.distinct(),
        publish={"repository": reference.path, "tags": [tag], "root": artifact.to_json()},
    )


async def _attach(source: ImageSource, blobs: _Blobs, subjects: Iterable[Descriptor]) -> list[Descriptor]:
    """Adds what refers to `subjects`, and what refers to that; returns the artifacts."""
    found: list[Descriptor] = []
    waiting = [subject.digest for subject in subjects]
    seen = set(waiting)
    while waiting:
        for artifact in await source.referrers(waiting.pop()):
            if artifact.digest not in seen:
                seen.add(artifact.digest)
                waiting.append(artifact.digest)
                found.append(artifact)
                await blobs.add_manifest(artifact)
    return found


async def _load(source: ImageSource, descriptor: Descriptor, body: bytes, name: str, depth: int = 0) -> Node:
    """The tree below `descriptor`, whose bytes are `body`. Manifests that say their platform are not read yet."""
    if depth > _DEPTH:
        raise ImageInvalid(f"{name}: indexes within indexes, more than {_DEPTH} deep")
    if not descriptor.is_index:
        return Node(descriptor, platform=await _platform(source, descriptor, body, name))
    return Node(
        descriptor,
        body,
        tuple(
            await together(
                [_load_member(source, member, name, depth) for member in oci.parse_index(body, f"the index of {name}")],
                limit=_AT_ONCE,
            )
        ),
    )


async def _load_member(source: ImageSource, member: Descriptor, name: str, depth: int) -> Node:
    if member.is_index:
        return await _load(source, member, await source.manifest(member), name, depth + 1)
    if member.platform or not member.is_manifest:
        return Node(member, platform=member.runs_on)
    return Node(member, platform=await _platform(source, member, await source.manifest(member), name))


async def _platform(source: ImageSource, descriptor: Descriptor, body: bytes, name: str) -> Platform | None:
    """What a manifest runs on, by its config; None for an artifact."""
    manifest = oci.parse_manifest(body, f"the manifest {descriptor.digest} of {name}")
    if not manifest.is_image or manifest.config is None:
        return None
    where = f"the config {manifest.config.digest} of {name}"
    found = oci.parse_config(await source.config(manifest.config), where)
    return None if found == oci.UNKNOWN else found


class _Blobs:
    """Gathers the files of an item, and the layers that nobody may copy."""

    def __init__(self, source: ImageSource) -> None:
        self._source = source
        self.files: list[File] = []
        self.skipped: list[dict[str, Any]] = []

    async def add(self, descriptor: Descriptor) -> None:
        if descriptor.digest.algorithm == "sha256":
            self.files.append(File(descriptor.digest.hex, descriptor.size, media_type=descriptor.media_type))
        else:
            sha256 = await self._source.sha256(descriptor)
            aliases = (str(descriptor.digest),)
            self.files.append(File(sha256, descriptor.size, media_type=descriptor.media_type, aliases=aliases))

    async def add_manifest(self, descriptor: Descriptor) -> None:
        """A manifest or an artifact's index with everything below it; an index may name other blobs as well."""
        if not descriptor.is_index and not descriptor.is_manifest:
            await self.add(descriptor)
            return
        body = await self._source.manifest(descriptor)
        await self.add(descriptor)
        where = f"the manifest {descriptor.digest} of {self._source.origin}"
        if descriptor.is_index:
            for member in oci.parse_index(body, where):
                await self.add_manifest(member)
            return
        manifest = oci.parse_manifest(body, where)
        for blob in (*([manifest.config] if manifest.config else []), *manifest.layers):
            if blob.foreign:
                if dict(blob.fields) not in self.skipped:
                    self.skipped.append(dict(blob.fields))
            else:
                await self.add(blob)

    def distinct(self) -> tuple[File, ...]:
        """Each blob once, in the order of the walk. Raises `ImageInvalid` for one digest with two sizes."""
        found: dict[str, File] = {}
        for file in self.files:
            first = found.setdefault(file.sha256, file)
            if first.size != file.size:
                raise ImageInvalid(
                    f"{self._source.origin} gives {file.sha256} the sizes {first.size} and {file.size} bytes"
                )
        return tuple(found.values())


def remake(item: Item, bodies: dict[str, bytes]) -> list[bytes]:
    """The indexes of a pruned item, made again from the originals in `bodies` (sha256 to content).

    Raises `ImageInvalid` when they do not come out as the item says.
    """
    held = {file.sha256: file for file in item.files}
    kept = {Digest.sha256(sha256) for sha256, file in held.items() if file.origin != MADE}
    kept |= {Digest.parse(alias) for file in held.values() for alias in file.aliases}
    names = {alias: file.sha256 for file in held.values() for alias in file.aliases}
    root = Digest.parse(item.publish["original"])

    def load(descriptor: Descriptor) -> Node:
        if not descriptor.is_index:
            return Node(descriptor)
        if descriptor.digest not in kept:  # left out whole: a leaf that nobody keeps
            return Node(replace(descriptor, media_type=""))
        body = bodies[names.get(str(descriptor.digest), descriptor.digest.hex)]
        members = oci.parse_index(body, f"the index of {title(item)}")
        return Node(descriptor, body, tuple(load(member) for member in members))

    media_type = item.publish["root"]["mediaType"]
    made = tree.prune(load(Descriptor(root, 0, media_type)), kept).made
    wanted = {file.sha256 for file in item.files if file.origin == MADE}
    if {Digest.of(body).hex for body in made} != wanted:
        raise ImageInvalid(
            f"{title(item)}: the index for fewer platforms does not come out as the lock says",
            hint="crate-bundle lock makes it anew",
        )
    return list(made)

"""What each platform takes of a crate, read from the manifests in it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from archive.catalogue import Item
from archive.digests import Digest
from archive.errors import DigestMismatch, MissingPart
from archive.reader import Crate
from bundler import oci
from bundler.oci import Descriptor

EVERY = "all"
"""For what no platform has to itself: indexes, signatures, files without `{arch}`."""
_DOCUMENTS = oci.INDEX_TYPES | oci.MANIFEST_TYPES


def by_platform(crate: Crate, items: Sequence[Item]) -> dict[tuple[str, str], int]:
    """Kind and platform to bytes, each blob once for every platform that needs it.

    Where the part that holds an image's manifests is not at hand, its blobs count as everybody's.
    """
    bodies = _documents(crate, items)
    found: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for item in items:
        owners = _owners(item, bodies)
        for file in item.files:
            for platform in owners.get(file.sha256, {item.platform or EVERY}):
                found[item.kind, platform][file.sha256] = file.size
    return {key: sum(sizes.values()) for key, sizes in sorted(found.items())}


def _documents(crate: Crate, items: Iterable[Item]) -> dict[str, bytes]:
    """The manifests and indexes of all images, by sha256; those of a part that is not at hand are left out."""
    wanted = {file.sha256 for item in items for file in item.files if file.media_type in _DOCUMENTS}
    bodies: dict[str, bytes] = {}
    for placed in crate.entries():
        entry = placed.entry
        if entry.digest in wanted and not entry.absent:
            try:
                body = crate.volumes.pread(entry.size, placed.data_offset)
            except MissingPart:
                continue
            if hashlib.sha256(body).hexdigest() != entry.digest:
                raise DigestMismatch(f"{crate.volumes.where(placed.data_offset)}: not the content of {entry.digest}")
            bodies[entry.digest] = body
    return bodies


def _owners(item: Item, bodies: Mapping[str, bytes]) -> dict[str, set[str]]:
    """The platforms that need each blob of an image."""
    platforms = item.publish.get("platforms", [])
    if len(platforms) == 1:
        return {file.sha256: {platforms[0]} for file in item.files}
    names = {alias: file.sha256 for file in item.files for alias in file.aliases}
    owners: dict[str, set[str]] = defaultdict(set)
    for file in item.files:
        if file.media_type in oci.INDEX_TYPES and file.sha256 in bodies:
            members = oci.parse_index(bodies[file.sha256], item.name)
            runs_on = {str(member.digest): str(member.runs_on) for member in members if member.runs_on}
            for member in members:
                platform = runs_on.get(member.attests or str(member.digest), "")
                for sha256 in _blobs(member, names, bodies) if platform else ():
                    owners[sha256].add(platform)
    return owners


def _blobs(member: Descriptor, names: Mapping[str, str], bodies: Mapping[str, bytes]) -> Iterator[str]:
    """The sha256 of a manifest and of what it names."""
    sha256 = _sha256(member.digest, names)
    yield sha256
    if member.is_manifest and sha256 in bodies:
        manifest = oci.parse_manifest(bodies[sha256], str(member.digest))
        for blob in (*([manifest.config] if manifest.config else []), *manifest.layers):
            yield _sha256(blob.digest, names)


def _sha256(digest: Digest, names: Mapping[str, str]) -> str:
    return names.get(str(digest), digest.hex)

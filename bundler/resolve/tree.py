"""An image's manifests as a tree, what of it the wanted platforms need, and the index that names just that. Pure.

An index that loses members gets other bytes and so another digest. It is made so that the same original and the same
choice give the same bytes, on any machine: members keep order and fields, JSON is canonical.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from archive import documents
from archive.digests import Digest
from archive.platforms import Platform
from bundler.errors import PlatformMissing
from bundler.oci import Descriptor


@dataclass(frozen=True, slots=True)
class Node:
    """A manifest or an index. `body` is an index's own; a manifest is read when it turns out to be needed.

    `platform` is None for an index and for what runs nowhere (an artifact, an attestation).
    """

    descriptor: Descriptor
    body: bytes = b""
    children: tuple[Node, ...] = ()
    platform: Platform | None = None

    def leaves(self) -> Iterator[Node]:
        if not self.descriptor.is_index:
            yield self
        for child in self.children:
            yield from child.leaves()

    def indexes(self) -> Iterator[Node]:
        if self.descriptor.is_index:
            yield self
        for child in self.children:
            yield from child.indexes()


@dataclass(frozen=True, slots=True)
class Pruned:
    """The root to publish, and the bodies that had to be made for it (none when nothing was left out)."""

    root: Descriptor
    made: tuple[bytes, ...]


def select(root: Node, wanted: Collection[Platform], name: str) -> frozenset[Digest]:
    """The manifests that `wanted` needs: those of its platforms, their attestations, and what runs nowhere.

    Raises `PlatformMissing` naming the image, what it lacks and what it offers.
    """
    leaves = list(root.leaves())
    offered = {leaf.platform for leaf in leaves if leaf.platform}
    missing = [platform for platform in wanted if not platform.satisfied_by(offered)]
    if missing and offered:
        words = ", ".join(str(platform) for platform in sorted(offered))
        raise PlatformMissing(
            f"{name} does not exist for {', '.join(map(str, missing))}; it is offered for {words}",
            hint="give the image platforms of its own in the recipe, or take another version of it",
        )
    kept = {leaf.descriptor.digest for leaf in leaves if leaf.platform in wanted or leaf.platform is None}
    attested = {str(digest) for digest in kept}
    return frozenset(
        leaf.descriptor.digest
        for leaf in leaves
        if leaf.descriptor.digest in kept and (leaf.descriptor.attests or None) in {None, *attested}
    )


def prune(root: Node, kept: Collection[Digest]) -> Pruned:
    """The same tree with the manifests in `kept` and no others."""
    if not root.descriptor.is_index:
        return Pruned(root.descriptor, ())
    members: list[dict[str, object]] = []
    made: list[bytes] = []
    changed = False
    for child in root.children:
        if not any(leaf.descriptor.digest in kept for leaf in child.leaves()) and not _empty(child):
            changed = True
            continue
        inner = prune(child, kept)
        made += inner.made
        changed |= inner.root.digest != child.descriptor.digest
        members.append({**child.descriptor.fields, "digest": str(inner.root.digest), "size": inner.root.size})
    if not changed:
        return Pruned(root.descriptor, ())
    document = {**documents.parse(root.body, str(root.descriptor.digest)), "manifests": members}
    body = documents.canonical(document)
    return Pruned(replace(root.descriptor, digest=Digest.of(body), size=len(body)), (*made, body))


def _empty(node: Node) -> bool:
    """An index without members loses nothing, so it stays."""
    return not any(True for _ in node.leaves())

"""Which manifests the wanted platforms need, and the index that names just those."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from archive.digests import Digest
from archive.platforms import Platform
from bundler import oci
from bundler.errors import PlatformMissing
from bundler.oci import Descriptor
from bundler.resolve import tree
from bundler.resolve.tree import Node

AMD64, ARM64, ARM = (Platform.parse(name) for name in ("linux/amd64", "linux/arm64", "linux/arm/v7"))


def leaf(name: str, platform: str = "", **fields: Any) -> Node:
    value = {"mediaType": oci.MANIFEST, "digest": str(Digest.of(name.encode())), "size": 7, **fields}
    if platform:
        system, architecture, *variant = platform.split("/")
        value["platform"] = {"os": system, "architecture": architecture, **({"variant": variant[0]} if variant else {})}
    descriptor = Descriptor.parse(value, "a test")
    return Node(descriptor, platform=descriptor.runs_on)


def attestation(of: Node) -> Node:
    annotations = {"vnd.docker.reference.type": "attestation-manifest"}
    annotations["vnd.docker.reference.digest"] = str(of.descriptor.digest)
    return leaf(f"attests {of.descriptor.digest}", "unknown/unknown", annotations=annotations)


def index(children: Sequence[Node], **fields: Any) -> Node:
    members = [dict(child.descriptor.fields) for child in children]
    body = json.dumps({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": members, **fields}, indent=3).encode()
    value = {"mediaType": oci.INDEX, "digest": str(Digest.of(body)), "size": len(body)}
    return Node(Descriptor.parse(value, "a test"), body, tuple(children))


def names(body: bytes) -> list[str]:
    return [member["digest"] for member in json.loads(body)["manifests"]]


def digests(*nodes: Node) -> set[Digest]:
    return {node.descriptor.digest for node in nodes}


FOR_AMD64, FOR_ARM64, FOR_ARM = leaf("a", "linux/amd64"), leaf("b", "linux/arm64/v8"), leaf("c", "linux/arm/v7")
ARTIFACT = leaf("sbom")
PLAIN = index([FOR_AMD64, FOR_ARM64, FOR_ARM])
ATTESTED = index([FOR_AMD64, FOR_ARM64, attestation(FOR_AMD64), attestation(FOR_ARM64)])
NESTED = index([index([FOR_AMD64, FOR_ARM]), index([FOR_ARM64, ARTIFACT]), index([])])

SELECTIONS: dict[str, tuple[Node, tuple[Platform, ...], set[Digest]]] = {
    "one platform of three": (PLAIN, (ARM64,), digests(FOR_ARM64)),
    "all of them": (PLAIN, (AMD64, ARM64, ARM), digests(FOR_AMD64, FOR_ARM64, FOR_ARM)),
    "an attestation stays with its parent": (ATTESTED, (AMD64,), digests(FOR_AMD64, attestation(FOR_AMD64))),
    "an index within an index is searched": (NESTED, (AMD64,), digests(FOR_AMD64, ARTIFACT)),
    "what runs nowhere stays": (NESTED, (ARM64,), digests(FOR_ARM64, ARTIFACT)),
    "a plain manifest of the platform": (FOR_AMD64, (AMD64,), digests(FOR_AMD64)),
    "an artifact is for everybody": (ARTIFACT, (AMD64, ARM64), digests(ARTIFACT)),
}


@pytest.mark.parametrize("case", SELECTIONS.values(), ids=SELECTIONS.keys())
def test_selection(case: tuple[Node, tuple[Platform, ...], set[Digest]]) -> None:
    root, wanted, kept = case
    assert tree.select(root, wanted, "x") == kept


@pytest.mark.parametrize(
    ("root", "offered"),
    [(PLAIN, "linux/amd64, linux/arm, linux/arm64"), (FOR_AMD64, "linux/amd64")],
    ids=["an index that lacks it", "a plain manifest of another"],
)
def test_a_missing_platform_is_named_with_the_image_and_what_it_offers(root: Node, offered: str) -> None:
    with pytest.raises(PlatformMissing) as caught:
        tree.select(root, [AMD64, Platform.parse("linux/riscv64")], "docker.io/library/x:1")
    assert caught.value.what == f"docker.io/library/x:1 does not exist for linux/riscv64; it is offered for {offered}"


def test_nothing_left_out_leaves_the_index_as_it_was() -> None:
    assert tree.prune(PLAIN, digests(FOR_AMD64, FOR_ARM64, FOR_ARM)) == tree.Pruned(PLAIN.descriptor, ())


def test_a_pruned_index_keeps_order_and_fields_of_what_stays() -> None:
    root = index([FOR_ARM, FOR_AMD64, FOR_ARM64], annotations={"org.example.kept": "yes"})
    pruned = tree.prune(root, digests(FOR_AMD64, FOR_ARM))
    (body,) = pruned.made
    assert names(body) == [str(FOR_ARM.descriptor.digest), str(FOR_AMD64.descriptor.digest)]
    assert json.loads(body)["annotations"] == {"org.example.kept": "yes"}
    assert json.loads(body)["manifests"][0]["platform"]["variant"] == "v7"
    assert (pruned.root.digest, pruned.root.size) == (Digest.of(body), len(body))


def test_a_nested_index_is_pruned_from_the_inside() -> None:
    pruned = tree.prune(NESTED, digests(FOR_AMD64))
    inner, outer = pruned.made
    assert names(inner) == [str(FOR_AMD64.descriptor.digest)]
    assert names(outer) == [str(Digest.of(inner)), str(NESTED.children[2].descriptor.digest)]
    assert json.loads(outer)["manifests"][0]["size"] == len(inner)
    assert pruned.root.digest == Digest.of(outer)


def test_the_bytes_depend_on_the_choice_alone() -> None:
    first = tree.prune(NESTED, digests(FOR_ARM64, FOR_AMD64))
    again = tree.prune(NESTED, digests(FOR_AMD64, FOR_ARM64, ARTIFACT) - digests(ARTIFACT))
    assert first == again
    assert first != tree.prune(NESTED, digests(FOR_AMD64))

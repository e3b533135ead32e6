"""Digests, references, platforms, names and documents: what is taken, what it becomes, what is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive import catalogue, documents
from archive.catalogue import File, Item
from archive.digests import Digest
from archive.errors import ClashingNames, DuplicateKey, InvalidValue, UnsafeName
from archive.names import check_distinct, check_file_name
from archive.platforms import Platform
from archive.references import Reference

HEX = "a" * 64

REFERENCES = {
    "busybox": "docker.io/library/busybox:latest",
    "busybox:1.36": "docker.io/library/busybox:1.36",
    "grafana/grafana": "docker.io/grafana/grafana:latest",
    "index.docker.io/library/busybox:1": "docker.io/library/busybox:1",
    "ghcr.io/team/app:v1.2.3": "ghcr.io/team/app:v1.2.3",
    "localhost/app:1": "localhost/app:1",
    "harbor.example.org:8443/x:1": "harbor.example.org:8443/x:1",
    f"quay.io/team/app@sha256:{HEX}": f"quay.io/team/app@sha256:{HEX}",
    f"quay.io/team/app:1@sha256:{HEX}": f"quay.io/team/app:1@sha256:{HEX}",
}


@pytest.mark.parametrize(("text", "full"), REFERENCES.items())
def test_a_reference_is_written_out(text: str, full: str) -> None:
    assert str(Reference.parse(text)) == full
    assert Reference.parse(full) == Reference.parse(text)


@pytest.mark.parametrize(
    "text",
    ["", ":", "UPPER", "a/../b", "ghcr.io/", "ghcr.io/x:", "ghcr.io/x:a b", "x@sha256:abc", "ghcr.io/x//y", "-a.io/x"],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        Reference.parse(text)


def test_a_port_becomes_part_of_the_path() -> None:
    assert Reference.parse("harbor.example.org:8443/x:1").path == "harbor.example.org_8443/x"


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("arm64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("aarch64", "linux/arm64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/arm/v7", "linux/arm"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("windows/amd64", "windows/amd64"),
    ],
)
def test_a_platform_has_one_spelling(text: str, full: str) -> None:
    assert str(Platform.parse(text)) == full


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d", "Linux/arm64", "linux/arm 64"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        Platform.parse(text)


@pytest.mark.parametrize(
    "text", ["", HEX, "sha256:", f"sha256:{HEX.upper()}", f"sha256:{HEX}a", f"sha512:{HEX}", f"md5:{'a' * 32}"]
)
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        Digest.parse(text)


@given(st.binary(max_size=50), st.sampled_from(["sha256", "sha512"]))
def test_a_digest_survives_its_text(data: bytes, algorithm: str) -> None:
    digest = Digest.of(data, algorithm)
    assert Digest.parse(str(digest)) == digest


@pytest.mark.parametrize("name", ["a", "k3s+k3s1/k3s-arm64", "~a/@b/c-d_e.f", "console.txt", "a/.b"])
def test_a_plain_file_name_is_taken(name: str) -> None:
    assert check_file_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/a",
        "a/",
        "a//b",
        "./a",
        "..",
        "a/..",
        "a\\b",
        "a b",
        "a:b",
        "é",
        "nul",
        "x/COM1.txt",
        "a./b",
        "a\n",
        "a" * 1025,
    ],
)
def test_a_surprising_file_name_is_refused(name: str) -> None:
    with pytest.raises(UnsafeName):
        check_file_name(name)


def test_names_that_are_one_on_a_case_blind_disk_are_refused() -> None:
    check_distinct(["a", "b"])
    with pytest.raises(ClashingNames, match="'Tool' and 'tool'"):
        check_distinct(["Tool", "x", "tool"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_canonical_json_is_json_and_has_one_spelling(value: object) -> None:
    text = documents.canonical(value)
    assert json.loads(text) == value
    assert documents.canonical(documents.parse(text, "it")) == text


@pytest.mark.parametrize(
    "text", [b"", b"{", b"NaN", b"[Infinity]", b"\xff", b"[" * 100_000, b"1" * 5000], ids=lambda text: repr(text[:10])
)
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidValue):
        documents.parse(text, "it")


def test_the_duplicate_among_many_keys_is_named_at_once() -> None:
    keys = ",".join(f'"k{n}":1' for n in range(100_000))
    with pytest.raises(DuplicateKey, match="'k99999' stands there twice"):
        documents.parse(f'{{{keys},"k99999":2}}', "it")


def test_a_catalogue_survives_its_bytes() -> None:
    items = [
        Item(
            "image",
            "docker.io/library/busybox",
            "1.36",
            origin="docker://docker.io/library/busybox:1.36",
            files=(File(HEX, 5, media_type="application/vnd.oci.image.manifest.v1+json", aliases=("sha512:x",)),),
            publish={"tags": ["1.36"]},
        ),
        Item("file", "tool", platform="linux/arm64", files=(File(HEX, 5, path="tool-arm64", origin="made:prune"),)),
    ]
    data = catalogue.write(items)
    assert data == catalogue.write(reversed(items))
    assert list(catalogue.read(data.splitlines(keepends=True))) == sorted(items, key=lambda item: item.key)

"""Local images, as real tools write them, are seen as what they are."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from archive.digests import Digest
from archive.references import Reference
from bundler import oci
from bundler.errors import LayoutInvalid
from bundler.local_images import LocalImages
from tests.support.images import BOTH, make_layout
from tests.support.tools import tool

NAME = Reference.parse("ghcr.io/team/app:1.0")


def skopeo(*words: str) -> None:
    subprocess.run([tool("skopeo"), "--insecure-policy", "copy", *words], check=True, capture_output=True)


def layers(images: LocalImages) -> list[str]:
    """The sha256 of each layer's content, decompressed: what the config's diff_ids name."""
    manifest = oci.parse_manifest(images.read(images.find(NAME).digest), "x")
    found = []
    for layer in manifest.layers:
        extent = images.extent(layer.digest)
        with extent.path.open("rb") as file:
            file.seek(extent.offset)
            data = file.read(extent.size)
        assert Digest.of(data) == layer.digest
        found.append(str(Digest.of(gzip.decompress(data) if layer.media_type.endswith("+gzip") else data)))
    assert manifest.config is not None
    assert json.loads(images.read(manifest.config.digest))["rootfs"]["diff_ids"] == found
    return found


def test_an_oci_archive_is_the_layout_it_was_made_from(tmp_path: Path) -> None:
    made = make_layout(tmp_path / "layout", "ghcr.io/team/app:1.0", BOTH)
    archive = tmp_path / "app.tar"
    skopeo("--all", f"oci:{made.folder}:ghcr.io/team/app:1.0", f"oci-archive:{archive}:ghcr.io/team/app:1.0")
    folder, packed = LocalImages.open(made.folder), LocalImages.open(archive)
    assert str(folder.find(NAME).digest) == made.digest
    assert packed.find(NAME) == folder.find(NAME)
    assert packed.blobs.keys() == folder.blobs.keys()
    assert all(packed.extent(digest).digest() == digest for digest in packed.blobs)


def test_a_docker_archive_becomes_the_same_manifest_every_time(tmp_path: Path) -> None:
    made = make_layout(tmp_path / "layout", "ghcr.io/team/app:1.0", ["linux/arm64"], layers=3)
    archive = tmp_path / "app.tar"
    skopeo(f"oci:{made.folder}:ghcr.io/team/app:1.0", f"docker-archive:{archive}:ghcr.io/team/app:1.0")
    images = LocalImages.open(archive)
    assert len(layers(images)) == 3
    again = tmp_path / "again.tar"
    again.write_bytes(archive.read_bytes())
    assert LocalImages.open(again).made == images.made
    config = oci.parse_manifest(images.read(images.find(NAME).digest), "x").config
    assert config is not None
    assert str(oci.parse_config(images.read(config.digest), "x")) == "linux/arm64"


def docker_archive(
    path: Path, images: list[dict[str, object]], members: dict[str, bytes], links: dict[str, str]
) -> Path:
    """A docker-archive by hand, for what skopeo does not write: `links` are symbolic."""
    with tarfile.open(path, "w") as tar:
        for name, data in {**members, "manifest.json": json.dumps(images).encode()}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for name, target in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return path


CONFIG = b'{"os":"linux","architecture":"arm64","rootfs":{"type":"layers","diff_ids":[]}}'


def test_a_layer_that_docker_linked_to_an_equal_one_is_found(tmp_path: Path) -> None:
    image: dict[str, object] = {
        "Config": "c.json",
        "RepoTags": ["ghcr.io/team/app:1.0", "app:2"],
        "Layers": ["one/layer.tar", "two/layer.tar"],
    }
    members = {"c.json": CONFIG, "one/layer.tar": b"layer"}
    images = LocalImages.open(
        docker_archive(tmp_path / "a.tar", [image], members, {"two/layer.tar": "../one/layer.tar"})
    )
    manifest = oci.parse_manifest(images.read(images.find(NAME).digest), "x")
    assert [layer.digest for layer in manifest.layers] == [Digest.of(b"layer")] * 2
    assert images.find(Reference.parse("app:2")) == images.find(NAME)


def test_a_layer_says_how_it_is_compressed(tmp_path: Path) -> None:
    members = {"c.json": CONFIG, "a": b"plain", "b": gzip.compress(b"x", mtime=0), "c": b"\x28\xb5\x2f\xfd..."}
    image: dict[str, object] = {"Config": "c.json", "RepoTags": None, "Layers": ["a", "b", "c"]}
    images = LocalImages.open(docker_archive(tmp_path / "a.tar", [image], members, {}))
    manifest = oci.parse_manifest(images.read(images.find(NAME).digest), "x")
    suffixes = [layer.media_type.removeprefix(oci.LAYER) for layer in manifest.layers]
    assert suffixes == ["", "+gzip", "+zstd"]


def test_the_image_is_chosen_by_name_where_there_are_several(tmp_path: Path) -> None:
    for name in ("ghcr.io/team/app:1.0", "ghcr.io/team/other:1.0"):
        make_layout(tmp_path / "layout", name, ["linux/amd64"])
    images = LocalImages.open(tmp_path / "layout")
    assert images.find(NAME) != images.find(Reference.parse("ghcr.io/team/other:1.0"))
    with pytest.raises(LayoutInvalid, match=r"holds 2 images and none is docker\.io/library/third:1") as caught:
        images.find(Reference.parse("third:1"))
    assert "ghcr.io/team/app:1.0, ghcr.io/team/other:1.0" in caught.value.hint


def test_the_referrers_of_a_layout_are_not_taken_for_images(tmp_path: Path) -> None:
    made = make_layout(tmp_path / "layout", "unnamed", BOTH, referrers=["application/spdx+json"])
    images = LocalImages.open(made.folder)
    assert str(images.find(NAME).digest) == made.digest
    assert [str(it.digest) for it in images.referrers(Digest.parse(made.digest))] == [made.referrers[0]["digest"]]


def test_what_is_no_image(tmp_path: Path) -> None:
    made = make_layout(tmp_path / "layout", "ghcr.io/team/app:1.0", ["linux/amd64"])
    archive = tmp_path / "app.tar"
    skopeo(f"oci:{made.folder}:ghcr.io/team/app:1.0", f"docker-archive:{archive}:ghcr.io/team/app:1.0")
    packed = tmp_path / "app.tar.gz"
    packed.write_bytes(gzip.compress(archive.read_bytes()))
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("hello")
    with tarfile.open(tmp_path / "other.tar", "w") as tar:
        tar.add(tmp_path / "text", "text")
    missing: dict[str, object] = {"Config": "c.json", "Layers": ["gone.tar"]}
    cases = {
        packed: ("no archive of images", "decompress it first"),
        tmp_path / "empty": ("has no index.json", "skopeo copy"),
        tmp_path / "text": ("no OCI layout and no archive", ""),
        tmp_path / "other.tar": ("neither index.json nor manifest.json", "skopeo copy"),
        tmp_path / "absent": ("is not there", "relative to the recipe"),
        docker_archive(tmp_path / "gone.tar", [missing], {"c.json": CONFIG}, {}): ("'gone.tar', which", ""),
    }
    for path, (message, hint) in cases.items():
        with pytest.raises(LayoutInvalid, match=str(path)) as caught:
            LocalImages.open(path)
        assert message in caught.value.what
        assert hint in caught.value.hint


def test_a_document_with_other_content_is_refused(tmp_path: Path) -> None:
    made = make_layout(tmp_path / "layout", "ghcr.io/team/app:1.0", ["linux/amd64"])
    path = made.layout.path(made.digest)
    path.write_bytes(path.read_bytes().replace(b"layer", b"Layer"))
    images = LocalImages.open(made.folder)
    with pytest.raises(LayoutInvalid, match="has other content"):
        images.read(Digest.parse(made.digest))

"""The test's own servers and images, tried with the real clients once."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support import images
from tests.support.busybox import busybox_layout
from tests.support.containerd import Containerd
from tests.support.images import BOTH, make_layout
from tests.support.registries import Registry
from tests.support.tools import PACKAGES, MissingToolError, tool

SHAPES = {
    "an index of two platforms": {},
    "a single platform": {"platforms": ["linux/arm64"]},
    "Docker schema 2": {"docker": True},
    "an index in an index": {"nested": True},
    "buildkit's attestations": {"attestations": True},
    "a foreign layer": {"foreign": True},
}


def skopeo(*words: str) -> str:
    return subprocess.run([tool("skopeo"), *words], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_same_arguments_make_the_same_bytes(tmp_path: Path, shape: dict[str, object]) -> None:
    first, second = (make_layout(tmp_path / name, "a.example/b:1", **shape) for name in "ab")  # type: ignore[arg-type]
    assert first.root == second.root
    assert sorted(path.name for path in (tmp_path / "a").rglob("*")) == sorted(
        path.name for path in (tmp_path / "b").rglob("*")
    )


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_pushed_image_comes_back_under_its_tag(tmp_path: Path, registry: Registry, shape: dict[str, object]) -> None:
    made = make_layout(tmp_path / "layout", "a.example/b:1", **shape)  # type: ignore[arg-type]
    registry.push(made.layout, made.digest, "a/b", "1")
    status, headers, body = registry.request("GET", "/v2/a/b/manifests/1", headers={"Accept": made.root["mediaType"]})
    assert (status, headers["docker-content-digest"]) == (200, made.digest)
    assert body == made.layout.path(made.digest).read_bytes()


def test_skopeo_reads_a_layout_of_two_images(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_layout(tmp_path, f"docker.io/library/{name}:1")
    raw = skopeo("inspect", "--raw", f"oci:{tmp_path}:docker.io/library/two:1")
    assert len(json.loads(raw)["manifests"]) == 2


def test_a_referrer_names_its_subject(tmp_path: Path) -> None:
    made = make_layout(tmp_path, "a.example/b:1", referrers=["application/spdx+json"])
    document = json.loads(made.layout.path(made.referrers[0]["digest"]).read_bytes())
    assert document["subject"]["digest"] == made.digest


def test_sha512_layouts_name_everything_by_sha512(tmp_path: Path) -> None:
    made = make_layout(tmp_path, "a.example/b:1", algorithm="sha512")
    assert made.digest.startswith("sha512:")
    assert not (tmp_path / "blobs/sha256").exists()


def test_the_tls_registry_wants_its_password_and_its_authority(tls_registry: Registry) -> None:
    assert tls_registry.request("GET", "/v2/")[0] == 200
    with pytest.raises(subprocess.CalledProcessError):
        skopeo("list-tags", f"docker://{tls_registry}/a/b")


def test_containerd_pulls_both_platforms_of_a_real_image(
    tmp_path: Path, registry: Registry, container_daemon: Containerd
) -> None:
    made = busybox_layout(tmp_path / "busybox", "docker.io/library/busybox:1")
    registry.push(made.layout, made.digest, "library/busybox", "1")
    container_daemon.add_host("docker.io", registry.url)
    for platform in BOTH:
        container_daemon.pull("docker.io/library/busybox:1", platform)
    assert made.digest in container_daemon.ctr("images", "list").stdout


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.tools.find", lambda _name: None)
    with pytest.raises(MissingToolError, match="apt-get install openssh-client"):
        tool("ssh-keygen")


def test_random_layers_do_not_compress() -> None:
    layer = images.random_layer("x", 100_000)
    assert 100_000 < len(layer.data) < 115_000


def test_every_program_has_a_package() -> None:
    assert all(PACKAGES.values())

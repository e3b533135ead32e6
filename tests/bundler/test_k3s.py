"""A k3s release, served on loopback in place of github.com: its binaries are verified, its images all there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.bundler.workshop import Workshop
from tests.support.faulty import FaultyRegistry, faulty_registry
from tests.support.images import BOTH, make_layout
from tests.support.registries import Registry

VERSION = "v1.36.4+k3s1"
FOLDER = f"k3s-io/k3s/releases/download/{VERSION}"
BINARIES = {"amd64": "k3s", "arm64": "k3s-arm64", "arm": "k3s-armhf"}


@dataclass
class Release:
    """A release's assets: as many bytes as it takes, under their real names."""

    server: FaultyRegistry
    assets: dict[str, bytes] = field(default_factory=dict)

    def publish(self, *, images: str = "") -> None:
        self.assets["k3s-images.txt"] = images.encode()
        for architecture, binary in BINARIES.items():
            tarball = f"k3s-airgap-images-{architecture}.tar.zst"
            self.assets[binary] = f"k3s for {architecture}".encode() * 100
            self.assets[tarball] = f"images for {architecture}".encode() * 100
            listed = {name: hashlib.sha256(self.assets[name]).hexdigest() for name in (binary, tarball)}
            lines = [f"{digest}  {name}\n" for name, digest in listed.items()]
            self.assets[f"sha256sum-{architecture}.txt"] = "".join(lines).encode()
        for name, data in self.assets.items():
            self.server.files[f"{FOLDER}/{name}"] = data


@pytest.fixture
def release() -> Iterator[Release]:
    with faulty_registry() as server:
        yield Release(server)


def workshop(folder: Path, release: Release, registry: Registry | None = None, more: str = "") -> Workshop:
    hosts = f'[upstreams]\n"github.com" = "{release.server.url}/files"\n'
    if registry:
        hosts += f'"docker.io" = "{registry.url}"\n'
    return Workshop.make(folder / "work", f'[crate]\nname = "lab"\n[k3s]\nversion = "{VERSION}"\n{more}{hosts}')


def push(registry: Registry, folder: Path, name: str, platforms: tuple[str, ...] = BOTH) -> None:
    made = make_layout(folder / name, name, platforms)
    registry.push(made.layout, made.digest, name, "1.0")


def test_the_binaries_and_every_image_for_every_platform(release: Release, registry: Registry, tmp_path: Path) -> None:
    for name in ("rancher/pause", "rancher/coredns"):
        push(registry, tmp_path, name, (*BOTH, "linux/arm/v7"))
    release.publish(images="docker.io/rancher/pause:1.0\n# a comment\n\ndocker.io/rancher/coredns:1.0\n")
    made = workshop(tmp_path, release, registry)
    crate = made.crate(made.build())
    items = {(item["kind"], item["name"], item.get("platform", "")): item for item in made.lock["items"]}
    assert items.keys() == {
        ("file", f"k3s/{VERSION}/k3s", "linux/amd64"),
        ("file", f"k3s/{VERSION}/k3s-arm64", "linux/arm64"),
        ("image", "docker.io/rancher/pause", ""),
        ("image", "docker.io/rancher/coredns", ""),
    }
    binary = items["file", f"k3s/{VERSION}/k3s-arm64", "linux/arm64"]
    assert binary["version"] == VERSION
    assert binary["files"][0]["path"] == f"k3s/{VERSION}/k3s-arm64"
    assert binary["evidence"]["sha256sums"].endswith("/v1.36.4%2Bk3s1/sha256sum-arm64.txt")
    assert items["image", "docker.io/rancher/pause", ""]["publish"]["platforms"] == list(BOTH)
    assert all("%2B" in seen.path for seen in release.server.asked("k3s-io")), "a plus in a URL is a space to some"
    assert release.assets["k3s-arm64"] in crate.read_bytes()


def test_the_airgap_tarballs_in_place_of_the_images(release: Release, tmp_path: Path) -> None:
    release.publish()
    made = workshop(tmp_path, release, more="airgap = true\nplatforms = ['linux/arm/v7', 'linux/arm64']\n")
    made.build()
    assert {item["name"].rpartition("/")[2] for item in made.lock["items"]} == {
        "k3s-arm64",
        "k3s-armhf",
        "k3s-airgap-images-arm.tar.zst",
        "k3s-airgap-images-arm64.tar.zst",
    }
    assert not release.server.asked("k3s-images.txt")


def test_a_binary_that_is_not_the_one_of_the_checksum_file_is_refused(release: Release, tmp_path: Path) -> None:
    release.publish()
    release.server.files[f"{FOLDER}/k3s-arm64"] = b"K3s for arm64" * 100
    made = workshop(tmp_path, release)
    made.keygen()
    done = made.run("build", "--out", "out", "--key", "release.key")
    assert done.returncode == 1
    assert "k3s-arm64" in done.stderr
    assert not list((made.folder / "out").glob("*"))


def test_a_checksum_file_without_the_binary_is_refused(release: Release, tmp_path: Path) -> None:
    release.publish()
    release.server.files[f"{FOLDER}/sha256sum-amd64.txt"] = b"0" * 64 + b"  k3s-s390x\n"
    done = workshop(tmp_path, release).run("lock")
    assert done.returncode == 1
    assert "sha256sum-amd64.txt does not name k3s" in done.stderr
    assert "it names k3s-s390x" in done.stderr


def test_a_release_that_does_not_exist_is_named(release: Release, tmp_path: Path) -> None:
    done = workshop(tmp_path, release).run("lock")
    assert done.returncode == 1
    assert "v1.36.4%2Bk3s1" in done.stderr


def test_an_image_that_the_recipe_names_itself_is_left_to_it(
    release: Release, registry: Registry, tmp_path: Path
) -> None:
    push(registry, tmp_path, "rancher/pause", (*BOTH, "linux/arm/v7"))
    release.publish(images="docker.io/rancher/pause:1.0\n")
    own = '[[images]]\nref = "rancher/pause:1.0"\nplatforms = ["linux/arm/v7"]\n'
    made = workshop(tmp_path, release, registry, more=own)
    made.succeed("lock")
    (image,) = (item for item in made.lock["items"] if item["kind"] == "image")
    assert image["publish"]["platforms"] == ["linux/arm"]


def test_what_it_pulled_in_is_told(release: Release, registry: Registry, tmp_path: Path) -> None:
    push(registry, tmp_path, "rancher/pause")
    release.publish(images="docker.io/rancher/pause:1.0\n")
    made = workshop(tmp_path, release, registry)
    text = made.succeed("lock")
    assert "+ image docker.io/rancher/pause 1.0" in text
    (k3s,) = json.loads(made.succeed("lock", "--json"))["requests"]
    assert (k3s["name"], k3s["items"]) == ("k3s", 3)

"""The double of k3s as a release: one file for amd64 that holds all of it, and the images of what it deploys."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.support.images import Layout, MadeImage, make_layer
from tests.support.kubernetes.building import VERSION, payload
from tests.support.kubernetes.releases import Release, light
from tests.support.lab.roots import kept
from tests.support.registries import Registry

LATER_PATCH, LATER_MINOR = "v1.20.7+k3s1", "v1.21.3+k3s1"
IMAGES: Mapping[str, str] = {
    "docker.io/rancher/mirrored-pause:3.6": "pause",
    "docker.io/rancher/mirrored-coredns-coredns:1.10.1": "coredns",
    "docker.io/rancher/mirrored-library-traefik:2.10.5": "traefik",
    "docker.io/rancher/local-path-provisioner:v0.0.24": "local-path-provisioner",
}
"""What k3s-images.txt names, by what the one program in all of them is told to be."""
_HERE = Path(__file__).parent


def double(folder: Path, version: str = VERSION) -> Release:
    """A release of the double. Versions differ in what they call themselves, and have all the same length."""
    assert len(version) == len(VERSION), f"{version} does not fit where {VERSION} stands"
    carried = _packed(version)
    with carried.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    script = "".join((_HERE / name).read_text() for name in ("common.sh", "double.sh"))
    words = {"@VERSION@": version, "@CARRIED@": str(carried.stat().st_size), "@HASH@": digest}
    for word, value in words.items():
        script = script.replace(word, value)
    program = folder / f"k3s-double-{version}"
    with program.open("wb") as made, carried.open("rb") as file:
        made.write(script.encode())
        shutil.copyfileobj(file, made, 2**20)
    program.chmod(0o755)
    others = light(folder, version).programs
    return Release(version, {**others, "amd64": program}, images=tuple(IMAGES))


def push_images(registry: Registry, folder: Path) -> None:
    """Gives `registry` the images that k3s-images.txt names, under the names that docker.io has them by."""
    layout = Layout(folder)
    layer = make_layer({"double": (payload() / "addons").read_bytes()}, level=1)
    for reference, role in IMAGES.items():
        repository, _, tag = reference.removeprefix("docker.io/").partition(":")
        config = {"Entrypoint": ["/double", role], "Env": ["PATH=/"]}
        manifest = layout.image("linux/amd64", [layer], config=config)
        made = MadeImage(layout, reference, manifest, {"linux/amd64": manifest})
        registry.push(layout, made.digest, repository, tag)


def _packed(version: str) -> Path:
    """bin/ and manifests/ as a compressed tar, in which Kubernetes says that it is `version`."""
    built = payload()
    manifests = sorted((_HERE / "manifests").glob("*.yaml"))
    key = hashlib.sha256(b"\0".join(path.read_bytes() for path in manifests)).hexdigest()[:8]
    with kept(f"{built.name}-{version}-{key}.tar.gz") as made:
        if not made.exists():
            partial = made.with_suffix(".partial")
            with (
                partial.open("wb") as raw,
                gzip.GzipFile("", "wb", 5, raw, mtime=0) as packed,
                tarfile.open(fileobj=packed, mode="w|") as tar,
            ):
                _pack(tar, built / "bin", manifests, version)
            partial.rename(made)
    return made


def _pack(tar: tarfile.TarFile, programs: Path, manifests: list[Path], version: str) -> None:
    for path in sorted(programs.iterdir()):
        member = tar.gettarinfo(path, f"bin/{path.name}")
        if path.name != "kubernetes":
            with path.open("rb") as file:
                tar.addfile(member, None if path.is_symlink() else file)
            continue
        stamped = programs.parent / "stamped.partial"
        content = path.read_bytes()
        assert VERSION.encode() in content, f"{path} does not say {VERSION}"
        stamped.write_bytes(content.replace(VERSION.encode(), version.encode()))
        with stamped.open("rb") as file:
            tar.addfile(member, file)
        stamped.unlink()
    for path in manifests:
        tar.add(path, f"manifests/{path.name}")

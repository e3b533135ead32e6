"""A finished crate opens with tools that have never heard of crates."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from archive.writer import BlobSource, write_crate
from tests.archive.crates import SIGNER, check, draft
from tests.support.containerd import containerd
from tests.support.images import make_layout
from tests.support.tools import tool

REFERENCES = ("docker.io/library/tool:1.0", "registry.example.org/team/app:2.1")


@pytest.fixture(scope="module")
def crate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images for two platforms each."""
    folder = tmp_path_factory.mktemp("images")
    layout = folder / "layout"
    for reference in REFERENCES:
        make_layout(layout, reference)
    blobs = [
        BlobSource(path.name, path.stat().st_size, path) for path in sorted((layout / "blobs" / "sha256").iterdir())
    ]
    document = json.loads((layout / "index.json").read_text())
    for descriptor, reference in zip(document["manifests"], REFERENCES, strict=True):
        descriptor["annotations"] = {
            "io.containerd.image.name": reference,
            "org.opencontainers.image.ref.name": reference,
        }
    out = folder / "x.crate"
    write_crate(draft(chunk=4 << 20), blobs, json.dumps(document).encode(), [SIGNER], out)
    assert check([out]) == 3 + len(blobs)
    return out


def run(*words: str | Path) -> str:
    done = subprocess.run(
        [tool(str(words[0])), *map(str, words[1:])],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("reference", REFERENCES)
def test_skopeo_inspects_an_image(reference: str, crate: Path) -> None:
    for architecture in ("amd64", "arm64"):
        choose = ("--override-os", "linux", "--override-arch", architecture)
        found = json.loads(run("skopeo", *choose, "inspect", f"oci-archive:{crate}:{reference}"))
        assert found["Architecture"] == architecture


def test_skopeo_inspects_as_a_plain_user_too(crate: Path) -> None:
    # it unpacks the archive, and a plain user cannot make folders that belong to root
    with TemporaryDirectory() as folder:
        given, scratch = shutil.copy(crate, folder), Path(folder) / "scratch"
        scratch.mkdir()
        for path in (Path(folder), Path(given), scratch):
            path.chmod(0o777)
        nobody = () if os.getuid() else ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        environment = ("env", f"TMPDIR={scratch}", f"HOME={scratch}")
        choose = ("--override-os", "linux", "--override-arch", "arm64")
        words = (*nobody, *environment, tool("skopeo"), *choose, "inspect", f"oci-archive:{given}:{REFERENCES[0]}")
        assert json.loads(run(*words))["Architecture"] == "arm64"


def test_podman_takes_both_images(crate: Path) -> None:
    # not pytest's folder: podman takes no runroot of more than 50 characters
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        storage = ("--root", f"{folder}/root", "--runroot", f"{folder}/run", "--storage-driver", "vfs")
        for reference in REFERENCES:
            run("podman", *storage, "pull", f"oci-archive:{crate}:{reference}")
        listed = run("podman", *storage, "images", "--format", "{{.Repository}}:{{.Tag}}")
        run("podman", *storage, "rmi", "--all", "--force")
    assert sorted(listed.split()) == sorted(REFERENCES)


def test_containerd_imports_both_images_for_every_platform(crate: Path, tmp_path: Path) -> None:
    with containerd(tmp_path) as daemon:
        daemon.ctr("images", "import", "--no-unpack", "--all-platforms", crate)
        listed = daemon.ctr("images", "list", "--quiet").stdout.split()
    assert sorted(listed) == sorted(REFERENCES)


def test_tar_lists_every_member(crate: Path) -> None:
    names = run("tar", "-tf", crate).split()
    assert names[:5] == ["crate.json", "crate.json.sig", "index.jsonl", "oci-layout", "index.json"]
    assert names[5:7] == ["blobs/", "blobs/sha256/"]
    assert all(name.startswith("blobs/sha256/") for name in names[7:])

"""From one team's crate to another's: what people published is exported, carried over, installed, and pulled there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance import contributing, shipping
from appliance.errors import IncompleteImage, NothingToShip, StoreFailed
from appliance.installing import install
from appliance.store import Store
from archive.errors import Refused, UnsafeName
from archive.signing import load_signer
from tests.appliance import worlds
from tests.appliance.daemon import serving
from tests.mirror.apt.archives import build_deb
from tests.mirror.helm.charts import chart
from tests.mirror.npm.registry import package
from tests.mirror.pypi.index import sdist, wheel
from tests.support.crates import Key
from tests.support.images import MadeImage, make_layout
from tests.support.stores import served, trusting
from tests.support.tools import tool

IMAGE = "team-a/app"


@dataclass(frozen=True)
class Made:
    """What people of the first crate published: paths with their bytes, and an image of two platforms."""

    root: Path
    files: dict[str, bytes]
    image: MadeImage


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Made:
    """Beside a crate that brings `mine` and `yours` of every ecosystem."""
    folder = tmp_path_factory.mktemp("shipping")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UV_CACHE_DIR", str(folder / "uv-cache"))
        world = worlds.maker(folder)
    (folder / "debs").mkdir()
    files = {
        "pypi/files/anns/anns-1.0-py3-none-any.whl": wheel("anns", "1.0").content,
        "pypi/files/anns/anns-1.0.tar.gz": sdist("anns", "1.0").content,
        "npm/@anns/tool/-/tool-1.0.0.tgz": package("@anns/tool", "1.0.0").tarball,
        "helm/charts/anns-1.0.0.tgz": chart("anns", "1.0.0").content,
        "files/plans/roof": b"a plan of the roof",
    }
    with trusting(folder / "root", key) as store:
        install(store, world.write(folder / "site.crate", [key]))
        for path, content in files.items():
            (folder / "it").write_bytes(content)
            publish(store, folder / "it", path)
        deb = build_deb(folder / "debs", "anns-tool 1.0-1 [all]")
        publish(store, deb, deb.name)
    image = make_layout(folder / "layout", f"{IMAGE}:1", referrers=["application/spdx+json"], attestations=True)
    with serving.crate(folder / "root") as crate:
        crate.push(image.layout, image.digest, IMAGE, "1")
        for artifact in image.referrers:
            crate.push(image.layout, artifact["digest"], IMAGE, artifact["digest"])
        crate.push(image.layout, image.manifests["linux/arm64"]["digest"], "team-b/app", "arm")
    return Made(folder / "root", files, image)


def publish(store: Store, file: Path, path: str) -> None:
    """As `crate-appliance add` does."""
    received = contributing.receive(store, file)
    kind = "file" if path.startswith("files/") else ""
    name = path.removeprefix("files/") if kind else path.rpartition("/")[2]
    contributing.publish(store, [received], contributing.items(received, name, kind), "ann")


def export(root: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*serving.PROGRAM, "--root", str(root), "export", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )


def exported(root: Path, out: Path, key: Key, *words: str) -> dict[str, Any]:
    done = export(root, "--name", "team-a", "--key", key.private, "--out", out, "--json", *words)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_another_crate_installs_it_and_serves_all_of_it(made: Made, key: Key, tmp_path: Path) -> None:
    told = exported(made.root, tmp_path / "stick", key, "--split", "100K")
    assert len(told["paths"]) > 1
    with trusting(tmp_path / "other", key) as store:
        install(store, [tmp_path / "stick"])
        for path, content in made.files.items():
            assert served(store, path) == content, path
    with serving.crate(tmp_path / "other") as crate:
        for path in ("apt/local/dists/stable/main/binary-arm64/Packages", "helm/index.yaml", "pypi/simple/"):
            assert b"anns" in crate.request("GET", f"/{path}", token="").body, path
        source = f"docker://{crate.address}/{IMAGE}:1"
        target = f"oci:{tmp_path / 'pulled'}:it"
        command = [tool("skopeo"), "copy", "--all", "--quiet", "--src-tls-verify=false", source, target]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        referrers = json.loads(crate.request("GET", f"/v2/{IMAGE}/referrers/{made.image.digest}", token="").body)
        assert [one["digest"] for one in referrers["manifests"]] == [one["digest"] for one in made.image.referrers]
        assert crate.request("GET", "/v2/team-b/app/manifests/arm", token="").status == 200
        refused = crate.request("POST", f"/v2/{IMAGE}/blobs/uploads/")
        assert refused.status == 403, "what a crate brought is not pushed over"


def test_a_crate_that_does_not_trust_the_key_refuses_it(made: Made, key: Key, tmp_path: Path) -> None:
    told = exported(made.root, tmp_path, key)
    with Store.open(tmp_path / "other") as store, pytest.raises(Refused):
        install(store, [Path(path) for path in told["paths"]])


def test_the_connected_side_reads_it(made: Made, key: Key, tmp_path: Path) -> None:
    told = exported(made.root, tmp_path, key)
    for verb in ("inspect", "verify"):
        done = subprocess.run(
            [sys.executable, "-m", "bundler.cli", verb, *told["paths"], "--json"],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[3],
        )
        assert done.returncode == 0, done.stderr
    command = [tool("skopeo"), "inspect", "--raw", f"oci-archive:{told['paths'][0]}:{IMAGE}:1"]
    raw = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    assert serving.sha256(raw) == made.image.digest


ONLY = {
    "a folder of repositories": (["team-a/*"], {"image"}),
    "a project": (["pypi/anns"], {"pypi"}),
    "several": (["npm/@anns/*", "charts/anns", "files/plans/*"], {"npm", "chart", "file"}),
    "packages of Debian's": (["apt/local/*"], {"apt"}),
}


@pytest.mark.parametrize(("only", "kinds"), ONLY.values(), ids=ONLY)
def test_only_what_is_meant(made: Made, key: Key, tmp_path: Path, only: list[str], kinds: set[str]) -> None:
    told = exported(made.root, tmp_path, key, *(word for pattern in only for word in ("--only", pattern)))
    assert {item["kind"] for item in told["items"]} == kinds


def test_every_export_is_later_than_the_one_before(made: Made, key: Key, tmp_path: Path) -> None:
    with trusting(tmp_path / "other", key) as store:
        for _ in range(2):
            install(store, [Path(path) for path in exported(made.root, tmp_path / "stick", key)["paths"]])


def ship(store: Store, key: Key, out: Path, *only: str, name: str = "team") -> shipping.Shipped:
    return shipping.ship(store, name, [load_signer(key.private, None)], out, only=only)


def test_nothing_is_no_crate(key: Key, tmp_path: Path) -> None:
    with Store.open(tmp_path / "root") as store:
        with pytest.raises(NothingToShip, match="nobody published"):
            ship(store, key, tmp_path / "out")
        (tmp_path / "it").write_bytes(b"it")
        publish(store, tmp_path / "it", "files/it")
        with pytest.raises(NothingToShip, match=r"team-x/\*"):
            ship(store, key, tmp_path / "out", "files/it", "team-x/*")
        with pytest.raises(UnsafeName):
            ship(store, key, tmp_path / "out", name="../team")
        assert not (tmp_path / "out").exists()
        ship(store, key, tmp_path / "out", "files/it")


def test_what_a_crate_brings_by_now_is_left_out(key: Key, tmp_path: Path) -> None:
    with trusting(tmp_path / "root", key) as store:
        for name in ("kept", "taken"):
            (tmp_path / "it").write_bytes(name.encode())
            publish(store, tmp_path / "it", f"files/{name}")
        made = worlds.maker(tmp_path, ())
        made.file("taken", b"signed")
        install(store, made.write(tmp_path / "site.crate", [key]))
        assert [item.name for item in ship(store, key, tmp_path / "out").items] == ["kept"]


def test_an_image_that_lacks_a_platform_is_named(key: Key, tmp_path: Path) -> None:
    image = make_layout(tmp_path / "layout", "team-a/part:1")
    left_out = image.manifests["linux/arm64"]["digest"]
    with serving.crate(tmp_path / "root") as crate:
        crate.push(image.layout, image.manifests["linux/amd64"]["digest"], "team-a/part", "amd")
        body = image.layout.path(image.digest).read_bytes()
        media_type = {"Content-Type": json.loads(body)["mediaType"]}
        assert crate.request("PUT", "/v2/team-a/part/manifests/1", body, media_type).status == 201
    with Store.open(tmp_path / "root") as store, pytest.raises(IncompleteImage, match=left_out) as found:
        ship(store, key, tmp_path / "out")
    assert "team-a/part:1" in found.value.what


def test_a_damaged_blob_is_found_and_named(key: Key, tmp_path: Path) -> None:
    (tmp_path / "it").write_bytes(b"x" * 100_000)
    with Store.open(tmp_path / "root") as store:
        publish(store, tmp_path / "it", "files/plans/roof")
        (blob,) = (path for path in (tmp_path / "root/loose").rglob("*") if path.is_file())
        blob.write_bytes(b"y" * 100_000)
        with pytest.raises(StoreFailed, match="plans/roof"):
            ship(store, key, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []

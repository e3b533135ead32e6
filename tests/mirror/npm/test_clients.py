"""Real packages from this machine's own registry, installed by npm from what the crate publishes alone.

esbuild brings a binary for each platform as a scoped, optional package; that is how most native tools come.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mirror.ecosystem import Resolution
from mirror.npm.publish import publish
from mirror.npm.resolve import resolve
from mirror.npm.section import NpmSection
from tests.mirror.serve import Blobs, Served, crate
from tests.mirror.transport import AMD64, ARM64, context

PROJECT = {"name": "app", "version": "1.0.0", "private": True}
WANTED = ("esbuild", "@babel/code-frame@^7")


@dataclass(frozen=True)
class Built:
    """`project` holds a package.json and a lock that upstream's own registry is written into."""

    project: Path
    resolution: Resolution
    blobs: Blobs


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    base = tmp_path_factory.mktemp("real")
    (base / "package.json").write_text(json.dumps(PROJECT))
    options = ["--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"]
    upstream_locked = [*options, "--omit-lockfile-registry-resolved=false"]
    subprocess.run(
        ["npm", "install", *upstream_locked, *WANTED], cwd=base, check=True, capture_output=True, timeout=240
    )

    async def run() -> Resolution:
        async with context(base / "blobs", base, AMD64, ARM64) as given:
            return await resolve(NpmSection(locks=("package-lock.json",)), given)

    return Built(base, asyncio.run(run()), Blobs(base / "blobs"))


@pytest.fixture
def served(built: Built) -> Iterator[Served]:
    with crate(publish(built.resolution.items, built.blobs), built.blobs) as served:
        yield served


def npm(served: Served, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """With nothing but the crate as registry, and none of this machine's own settings or cache."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().startswith("npm_")}
    environment |= {"npm_config_userconfig": os.devnull, "npm_config_cache": str(folder / "cache")}
    options = [
        "--registry",
        f"{served.url}/npm/",
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
        "--fetch-retries=0",
    ]
    return subprocess.run(
        ["npm", *arguments, *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def project(built: Built, folder: Path, *, locked: bool) -> Path:
    (folder / "package.json").write_text(json.dumps(PROJECT))
    if locked:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(built.project / name, folder / name)
    return folder


def esbuild_works(folder: Path) -> bool:
    source = "import x from './x.json'; console.log(x)"
    (folder / "x.json").write_text('"from the crate"')
    program = folder / "node_modules" / ".bin" / "esbuild"
    done = subprocess.run([program, "--bundle"], input=source, cwd=folder, capture_output=True, text=True, check=False)
    return "from the crate" in done.stdout


def test_the_lock_brings_both_platforms_binaries_and_no_other(built: Built) -> None:
    binaries = {item.name for item in built.resolution.items if item.name.startswith("@esbuild/")}
    assert binaries == {"@esbuild/linux-x64", "@esbuild/linux-arm64"}


def test_npm_ci_with_an_upstream_lock_takes_everything_from_the_crate(
    built: Built, served: Served, tmp_path: Path
) -> None:
    done = npm(served, project(built, tmp_path, locked=True), "ci")
    assert done.returncode == 0, done.stderr
    assert served.missed == []
    assert esbuild_works(tmp_path)
    assert (tmp_path / "node_modules/@babel/code-frame/package.json").is_file()


def test_npm_ci_for_the_other_platform_takes_its_binary_from_the_crate(
    built: Built, served: Served, tmp_path: Path
) -> None:
    done = npm(served, project(built, tmp_path, locked=True), "ci", "--ignore-scripts", "--cpu=arm64", "--os=linux")
    assert done.returncode == 0, done.stderr
    assert served.missed == []
    assert {path.name for path in (tmp_path / "node_modules/@esbuild").iterdir()} == {"linux-arm64"}


def test_npm_install_by_name_takes_everything_from_the_crate(built: Built, served: Served, tmp_path: Path) -> None:
    done = npm(served, project(built, tmp_path, locked=False), "install", "esbuild", "@babel/code-frame")
    assert done.returncode == 0, done.stderr
    assert esbuild_works(tmp_path)
    assert all("@esbuild%2f" in target for target in served.missed)  # binaries for platforms that nobody asked for


def test_npm_view_shows_what_the_crate_has(built: Built, served: Served, tmp_path: Path) -> None:
    done = npm(
        served, project(built, tmp_path, locked=False), "view", "@babel/code-frame", "dist-tags", "license", "--json"
    )
    assert json.loads(done.stdout)["license"] == "MIT"


def test_names_resolved_by_npm_are_the_same_closure(built: Built, tmp_path: Path) -> None:
    async def run() -> Resolution:
        async with context(tmp_path / "blobs", tmp_path, AMD64, ARM64) as given:
            return await resolve(NpmSection(packages=WANTED), given)

    by_name = asyncio.run(run())
    assert {item.key for item in by_name.items} == {item.key for item in built.resolution.items}
    assert {asked.what for asked in by_name.asked} == set(WANTED)


def test_a_flipped_byte_in_a_tarball_is_refused_by_npm(built: Built, tmp_path: Path) -> None:
    damaged = tmp_path / "blobs"
    damaged.mkdir()
    for blob in built.blobs.folder.iterdir():
        (damaged / blob.name).symlink_to(blob)
    (tokens,) = (item for item in built.resolution.items if item.name == "js-tokens")
    tarball = damaged / tokens.files[0].sha256
    content = bytearray(tarball.read_bytes())
    content[len(content) // 2] ^= 1
    tarball.unlink()
    tarball.write_bytes(content)
    with crate(publish(built.resolution.items, built.blobs), Blobs(damaged)) as served:
        done = npm(served, project(built, tmp_path, locked=True), "ci", "--ignore-scripts")
    assert done.returncode != 0
    assert "EINTEGRITY" in done.stderr

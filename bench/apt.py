"""Resolving Debian's packages beside `apt-get -s`, publishing beside reprepro and aptly.

The archive is the one that this machine's own apt is configured with; lists and caches are there before the clock runs.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from archive import catalogue
from archive.catalogue import File, Item
from bench import workload
from bench.aptwork import PACKAGES, transport
from bench.measure import Row, less_is_better, medians, run
from bench.workload import Scale
from mirror.apt import replay
from mirror.apt.closure import Closure
from mirror.apt.packages import Package, PackagesIndex
from mirror.apt.solution import Solution
from mirror.apt.sources import apt_settings, machine_sources, trusted_keyrings
from mirror.apt.universe import Universe
from mirror.apt.upstream import read_packages
from mirror.openpgp import Keyring
from tests.support.tools import tool

_WORK = [sys.executable, "-m", "bench.aptwork"]


def rows(folder: Path, scale: Scale) -> Iterator[Row]:
    index = asyncio.run(main_index(folder))
    yield from _resolving(folder, scale)
    yield from _publishing(folder, scale, index)
    yield from _publishing_much(folder, scale, index)


async def main_index(folder: Path) -> PackagesIndex:
    settings = apt_settings()
    keyring = Keyring.load(trusted_keyrings(settings))
    async with transport(folder) as there:
        _, found = await read_packages(there, machine_sources(settings)[0], keyring, ["amd64"], 0)
    return found["amd64"][0]


def _resolving(folder: Path, scale: Scale) -> Iterator[Row]:
    apt = folder / "apt"
    replay.lay_out(apt, Closure(Universe("amd64", []), (), Solution({}, {}, ())), recommends=False)
    settings = apt_settings()
    for path in trusted_keyrings(settings):
        shutil.copy(path, apt / "etc/trusted")
    lines = (f"deb {one.url} {one.suite} {' '.join(one.components)}\n" for one in machine_sources(settings))
    (apt / "etc/sources.list").write_text("".join(lines))
    replay.run(apt, "update")

    def ours() -> list[float]:
        cost = run([*_WORK, "resolve", folder])
        return [cost.wall, cost.memory]

    def apts() -> list[float]:
        for path in (apt / "cache").glob("*.bin"):
            path.unlink()
        return [
            run([tool("apt-get"), "-s", "install", *PACKAGES], environment={"APT_CONFIG": str(apt / "apt.conf")}).wall
        ]

    ours()
    (wall, memory), (peer,) = medians(scale.runs, ours, apts)
    yield less_is_better(
        "apt: resolve four packages", wall, peer, peer_name="apt-get -s, lists present", unit="s", goal=1 / 1.5
    )
    yield less_is_better("apt: resolve: peak memory", memory, 200, peer_name="goal", unit="MiB")


def item(package: Package) -> Item:
    version = package.version.partition(":")[2] or package.version
    path = f"debian/pool/main/{package.sha256[:8]}/{package.name}_{version}_{package.architecture}.deb"
    about = {"repository": "debian", "suite": "bookworm", "component": "main", "architecture": "amd64"}
    return Item(
        kind="apt",
        name=package.name,
        version=package.version,
        platform="linux/amd64",
        files=(File(package.sha256, package.size, path),),
        publish={**about, "source": package.source[0], "automatic": False, "stanza": package.text},
    )


def spread(index: PackagesIndex, count: int) -> list[Package]:
    """So many packages of at most a megabyte from all over the archive."""
    names = index.names()
    found = (index.named(name)[0] for name in names[:: len(names) // (count * 2)])
    return [package for package in found if package.size <= 10**6][:count]


async def fetch(folder: Path, packages: list[Package]) -> list[Path]:
    async with transport(folder) as there:
        jobs = [there.fetch(f"{one.origin.url}/{one.filename}", sha256=one.sha256, size=one.size) for one in packages]
        fetched = await asyncio.gather(*jobs)
    debs = folder / "debs"
    debs.mkdir()
    found = []
    for package, file in zip(packages, fetched, strict=True):
        found.append(debs / f"{package.name}.deb")
        shutil.copyfile(file.path, found[-1])
    return found


def reprepro(base: Path, debs: list[Path]) -> float:
    """Seconds that it takes to publish these."""
    workload.remove(base)
    (base / "conf").mkdir(parents=True)
    (base / "conf/distributions").write_text("Codename: bookworm\nArchitectures: amd64\nComponents: main\n")
    return run([tool("reprepro"), "-S", "x", "-P", "optional", "-b", base, "includedeb", "bookworm", *debs]).wall


def _publishing(folder: Path, scale: Scale, index: PackagesIndex) -> Iterator[Row]:
    packages = spread(index, scale.debs)
    debs = asyncio.run(fetch(folder, packages))
    file, tree = folder / "catalogue", folder / "tree"
    file.write_bytes(catalogue.write(item(package) for package in packages))
    home = folder / "aptly"

    def ours() -> list[float]:
        workload.remove(tree)
        return [run([*_WORK, "publish", file, tree]).wall]

    def aptly() -> list[float]:
        workload.remove(home)
        home.mkdir()
        config = home / "aptly.conf"
        config.write_text(json.dumps({"rootDir": str(home), "gpgDisableSign": True, "skipContentsPublishing": True}))
        command = [tool("aptly"), f"-config={config}"]
        subprocess.run([*command, "repo", "create", "bench"], check=True, capture_output=True)
        options = ["-skip-contents", "-skip-signing", "-distribution=bookworm", "-architectures=amd64"]
        steps = (["repo", "add", "bench", folder / "debs"], ["publish", "repo", *options, "bench"])
        return [sum(run([*command, *words]).wall for words in steps)]

    (wall,), (slow,), (other,) = medians(scale.runs, ours, lambda: [reprepro(folder / "reprepro", debs)], aptly)
    name = f"apt: publish {scale.debs} packages"
    yield less_is_better(name, wall, slow, peer_name="reprepro includedeb", unit="s")
    yield less_is_better(name, wall, other, peer_name="aptly repo add, publish -skip-contents", unit="s")


def _publishing_much(folder: Path, scale: Scale, index: PackagesIndex) -> Iterator[Row]:
    file, tree = folder / "large-catalogue", folder / "large-tree"
    file.write_bytes(catalogue.write(item(index.named(name)[0]) for name in index.names()[: scale.packages]))

    def ours() -> list[float]:
        workload.remove(tree)
        cost = run([*_WORK, "publish", file, tree])
        return [cost.wall, cost.memory]

    ((wall, memory),) = medians(scale.runs, ours)
    name = f"apt: publish {scale.packages:,} packages"
    yield less_is_better(name, wall, 30, peer_name="goal", unit="s")
    yield less_is_better(f"{name}: peak memory", memory, 300, peer_name="goal", unit="MiB")

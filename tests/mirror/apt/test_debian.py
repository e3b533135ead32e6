"""Debian's real archive, through this machine's own apt sources: what is chosen is what apt chooses."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mirror.apt import replay
from mirror.apt.closure import Closure, close
from mirror.apt.packages import PackagesIndex
from mirror.apt.solution import Solution
from mirror.apt.sources import apt_settings, machine_sources, trusted_keyrings
from mirror.apt.universe import Universe
from mirror.apt.upstream import read_packages
from mirror.apt.wishes import Line
from mirror.openpgp import Keyring
from tests.mirror.transport import context

WISHES = ("nfs-common", "open-iscsi", "chrony", "wireguard-tools")
SEED = 20261123


class Debian:
    """The archive as we read it and as apt reads it, for one architecture."""

    def __init__(self, architecture: str, indexes: list[PackagesIndex], apt: Path) -> None:
        self.universe = Universe(architecture, indexes)
        self.main = sorted(name for name in indexes[0].names() if self.universe.versions(name))
        self._apt = apt

    def ours(self, wishes: list[str], *, recommends: bool) -> Closure:
        lines = [wish for name in wishes if (wish := Line.parse(name).wish(self.universe))]
        return close(self.universe, lines, recommends=recommends, siblings=False)

    def apts(self, wishes: list[str], *, recommends: bool) -> dict[str, str]:
        """What apt installs, by name; empty when it gives up."""
        try:
            told = replay.run(self._apt, "-s", "-o", f"APT::Install-Recommends={recommends:d}", "install", *wishes)
        except subprocess.CalledProcessError:
            return {}
        found = (line.split() for line in told.splitlines() if line.startswith("Inst "))
        return {words[1].partition(":")[0]: words[2].lstrip("(") for words in found}


@pytest.fixture(scope="module", params=["amd64", "arm64"])
def debian(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Debian]:
    architecture: str = request.param
    folder = tmp_path_factory.mktemp(architecture)
    settings = apt_settings()
    sources = machine_sources(settings)

    async def read() -> list[PackagesIndex]:
        async with context(folder / "blobs", folder) as there:
            keyring = Keyring.load(trusted_keyrings(settings))
            jobs = [
                read_packages(there.transport, source, keyring, [architecture], order)
                for order, source in enumerate(sources)
            ]
            return [index for _, indexes in await asyncio.gather(*jobs) for index in indexes[architecture]]

    indexes = asyncio.run(read())
    apt = folder / "apt"
    replay.lay_out(apt, Closure(Universe(architecture, []), (), Solution({}, {}, ())), recommends=False)
    for path in trusted_keyrings(settings):
        shutil.copy(path, apt / "etc/trusted")
    lines = (f"deb {source.url} {source.suite} {' '.join(source.components)}\n" for source in sources)
    (apt / "etc/sources.list").write_text("".join(lines))
    replay.run(apt, "update")
    yield Debian(architecture, indexes, apt)
    shutil.rmtree(folder)


def _versions(closure: Closure) -> dict[str, str]:
    return {name: package.version for name, package in closure.solution.chosen.items()}


def test_the_storage_packages_resolve_to_exactly_what_apt_picks(debian: Debian) -> None:
    assert _versions(debian.ours([*WISHES], recommends=False)) == debian.apts([*WISHES], recommends=False)


def test_ten_packages_of_main_resolve_to_exactly_what_apt_picks(debian: Debian) -> None:
    wishes = random.Random(SEED).sample(debian.main, 10)
    assert _versions(debian.ours(wishes, recommends=False)) == debian.apts(wishes, recommends=False)


def test_with_recommends_at_most_a_twentieth_differs_and_what_differs_installs(debian: Debian) -> None:
    wishes = [*WISHES, *random.Random(SEED).sample(debian.main, 10)]
    closure = debian.ours(wishes, recommends=True)
    theirs = debian.apts(wishes, recommends=True)
    differing = set(_versions(closure).items()) ^ set(theirs.items())
    assert theirs
    assert len(differing) <= len(theirs) / 20
    replay.check(closure, recommends=True, upgrades=False)


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_two_hundred_packages_of_main_resolve_to_exactly_what_apt_picks(debian: Debian) -> None:
    wrong = []
    for wish in random.Random(SEED).sample(debian.main, 200):
        theirs = debian.apts([wish], recommends=False)
        if theirs and _versions(debian.ours([wish], recommends=False)) != theirs:
            wrong.append(wish)
    assert wrong == []

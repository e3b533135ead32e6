"""One daemon for all tests that only look; what changes something has a store of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.appliance.cluster.runs import wave
from tests.appliance.daemon import serving
from tests.appliance.web import worlds
from tests.support.browser import Browser, browser
from tests.support.crates import Key


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Path:
    """A store that nobody serves, to be copied."""
    root = worlds.build(tmp_path_factory.mktemp("world"), key)
    with worlds.begin_run(root) as journal:
        worlds.more(journal, *wave("base", "n1", "n2", failed="n2"))
        journal.end("failed")
    return root


@pytest.fixture(scope="session")
def crate(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Iterator[serving.Crate]:
    """Over TLS, as it is by default."""
    root = shutil.copytree(world, tmp_path_factory.mktemp("crate") / "store")
    with serving.crate(root, tls=True) as running:
        yield running


@pytest.fixture
def own_crate(tmp_path: Path, world: Path) -> Iterator[serving.Crate]:
    """A test's own."""
    with serving.crate(shutil.copytree(world, tmp_path / "store"), tls=True) as running:
        yield running


@pytest.fixture(scope="session")
def closed_crate(tmp_path_factory: pytest.TempPathFactory, world: Path) -> Iterator[serving.Crate]:
    """Where reading takes a sign-on, too."""
    root = shutil.copytree(world, tmp_path_factory.mktemp("closed") / "store")
    with serving.crate(root, "--private", tls=True) as running:
        yield running


@pytest.fixture(scope="session")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for all tests."""
    with browser(tmp_path_factory.mktemp("browser")) as ready:
        yield ready

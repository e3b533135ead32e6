"""Keys and crates that most tests of the store begin with."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.appliance.board import Board
from tests.appliance.board import board as booted
from tests.support.crates import CrateMaker, Key, make_key


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    return make_key(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def maker(tmp_path: Path) -> CrateMaker:
    """Twenty files of a few chunks each, the same in every run."""
    made = CrateMaker(tmp_path / "blobs")
    noise = random.Random(2)
    for number in range(20):
        made.file(f"f{number:02}", noise.randbytes(150_000 + number))
    return made


@pytest.fixture(scope="session")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A booted appliance and one node; tests that ask for it belong to the group `nodes`."""
    with booted(tmp_path_factory.mktemp("board")) as ready:
        yield ready

"""kill -9 of a real install, anywhere; the same command then comes to the same store."""

from __future__ import annotations

import random
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.errors import IncompleteCrate
from appliance.installing import install
from appliance.store import Store
from appliance.unfinished import UnfinishedPack
from tests.appliance.commands import command, run
from tests.support.crates import CHUNK, CrateMaker, Key
from tests.support.stores import content, served, trusting

FILES = 24
SIZE = 1_000_000


@dataclass(frozen=True)
class Releases:
    """Release 1, release 2 of 24 MB in parts, most of it new, and what a store holds after installing both."""

    key: Key
    old: Path
    parts: list[Path]
    undisturbed: dict[str, object]


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Releases:
    folder = tmp_path_factory.mktemp("releases")
    noise = random.Random(3)
    first = CrateMaker(folder / "blobs")
    first.file("kept", noise.randbytes(SIZE))
    (old,) = first.write(folder / "site-1.crate", [key])
    second = CrateMaker(folder / "blobs", serial=2, items=first.items, blobs=first.blobs)
    for number in range(FILES):
        second.file(f"f{number}", noise.randbytes(SIZE))
    parts = list(second.write(folder / "site-2.crate", [key], part_size=5 << 20))
    with trusting(folder / "root", key) as store:
        install(store, [old])
        install(store, parts)
    return Releases(key, old, parts, content(folder / "root"))


def _kill_and_go_on(root: Path, releases: Releases, chance: random.Random) -> None:
    """Kills installs at random moments of their file's growth, then lets one finish."""
    with trusting(root, releases.key) as store:
        install(store, [releases.old])
    for _ in range(3):
        process = subprocess.Popen(
            command(root, "install", *releases.parts), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _wait_until_written(root, process, chance.randrange(FILES * SIZE))
        time.sleep(chance.random() * 0.02)
        process.kill()
        process.wait()
        with Store.open(root) as store:
            assert served(store, "files/kept")
    finished = run(root, "install", *releases.parts)
    assert finished.returncode == 0, finished.stderr
    assert content(root) == releases.undisturbed


def _wait_until_written(root: Path, process: subprocess.Popen[bytes], size: int) -> None:
    """Until the unfinished pack takes `size` bytes of disk, or there is nothing to wait for."""
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        if sum(path.stat().st_blocks * 512 for path in root.glob("packs/*.part")) >= size:
            return
        time.sleep(0.002)


@pytest.mark.parametrize("seed", range(3))
def test_killed_anywhere_the_same_command_ends_in_the_same_store(tmp_path: Path, releases: Releases, seed: int) -> None:
    _kill_and_go_on(tmp_path / "root", releases, random.Random(seed))


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 120))
def test_killed_at_twenty_more_moments(tmp_path: Path, releases: Releases, seed: int) -> None:
    _kill_and_go_on(tmp_path / "root", releases, random.Random(seed))


class Killed(BaseException):
    """Stands for the end of the process at a chosen line."""


POINTS = {
    "before the rename": "place",
    "between the rename and the database": "volumes",
    "between the database and the journal's removal": "forget",
}


@pytest.mark.parametrize("method", POINTS.values(), ids=POINTS)
def test_stopped_at_the_turning_points(
    tmp_path: Path, releases: Releases, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def stop(*_: object) -> None:
        raise Killed

    with trusting(tmp_path / "root", releases.key) as store:
        install(store, [releases.old])
        with monkeypatch.context() as patched:
            patched.setattr(UnfinishedPack, method, stop)
            with pytest.raises(Killed):
                install(store, releases.parts)
    with Store.open(tmp_path / "root") as store:
        assert served(store, "files/kept")
        again = install(store, releases.parts)
        assert again.imports[0].written == 0, "everything was verified and journaled before"
        assert again.activation.changed
    assert content(tmp_path / "root") == releases.undisturbed


def test_what_was_journaled_is_not_read_again(tmp_path: Path, releases: Releases) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    for part in releases.parts[:-1]:
        (stick / part.name).symlink_to(part)
    last = releases.parts[-1]
    with trusting(tmp_path / "root", releases.key) as store:
        install(store, [releases.old])
        with pytest.raises(IncompleteCrate):
            install(store, [stick])
        (stick / last.name).symlink_to(last)
        again = install(store, [stick])
    assert 0 < again.imports[0].written <= last.stat().st_size + CHUNK

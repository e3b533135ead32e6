"""kill -9 in the middle of build and install: the same command again ends where it would have ended anyway."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.images import BOTH, make_layout
from tests.support.registries import Registry
from tests.whole.programs import Crate, Desk, command, from_registry, skopeo_pull, upstreams

REFERENCE = "docker.io/library/large:1"


def seconds_of(words: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> float:
    began = time.monotonic()
    command(words, environment)
    return time.monotonic() - began


def killed_after(seconds: float, words: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> bool:
    """Starts a command and kills it; False when it was done before."""
    process = subprocess.Popen(
        [str(word) for word in words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    return False


def interruptions(tmp_path: Path, registry: Registry, *, seed: int, kills: int, layer_size: int) -> None:
    """Builds and installs once undisturbed, then both again with `kills` kills each, and compares."""
    moments = random.Random(seed)
    image = make_layout(tmp_path / "image", REFERENCE, layers=4, layer_size=layer_size)
    registry.push(image.layout, image.digest, "library/large", "1")
    calm, shaken = Desk.set_up(tmp_path / "calm"), Desk.set_up(tmp_path / "shaken")
    for desk in (calm, shaken):
        desk.write_recipe(from_registry(REFERENCE), upstreams(registry), crate="expires = 2099-01-01\n")
    took = seconds_of(calm.build_words(tmp_path / "calm-out"), calm.environment)
    shaken.lock.write_bytes(calm.lock.read_bytes())
    shaken.key.write_bytes(calm.key.read_bytes())

    words = shaken.build_words(tmp_path / "shaken-out", "--locked")
    assert sum(killed_after(moments.uniform(0.2, took), words, shaken.environment) for _ in range(kills)) > 0
    command(words, shaken.environment)
    (expected,), (built,) = sorted((tmp_path / "calm-out").iterdir()), sorted((tmp_path / "shaken-out").iterdir())
    assert built.read_bytes() == expected.read_bytes()

    steady, dizzy = Crate(tmp_path / "steady"), Crate(tmp_path / "dizzy")
    for crate in (steady, dizzy):
        crate.trust(calm)
    took = seconds_of(steady.words("install", expected))
    assert sum(killed_after(moments.uniform(0.2, took), dizzy.words("install", built)) for _ in range(kills)) > 0
    dizzy.run("install", built)
    assert {name: size for name, (size, _) in dizzy.contents().items() if name.startswith("packs/")} == {
        name: size for name, (size, _) in steady.contents().items() if name.startswith("packs/")
    }
    with dizzy.serving() as served:
        for platform in BOTH:
            skopeo_pull(served, REFERENCE, platform.split("/")[1], tmp_path / "pulled" / platform)


def test_a_few_kills_change_nothing(tmp_path: Path, registry: Registry) -> None:
    interruptions(tmp_path, registry, seed=1, kills=3, layer_size=8 * 2**20)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(2))
def test_twenty_kills_change_nothing(tmp_path: Path, registry: Registry, seed: int) -> None:
    interruptions(tmp_path, registry, seed=seed, kills=20, layer_size=24 * 2**20)


def under_way(cache: Path) -> bool:
    """Whether bytes of a layer have arrived."""
    return sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) > 2**20


def test_ctrl_c_says_that_the_same_command_goes_on(tmp_path: Path, registry: Registry) -> None:
    image = make_layout(tmp_path / "image", REFERENCE, layers=4, layer_size=16 * 2**20)
    registry.push(image.layout, image.digest, "library/large", "1")
    desk = Desk.set_up(tmp_path / "desk")
    desk.write_recipe(from_registry(REFERENCE), upstreams(registry))
    process = subprocess.Popen(
        [str(word) for word in desk.build_words(tmp_path / "out")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **desk.environment},
        text=True,
    )
    while process.poll() is None and not under_way(desk.folder / "cache"):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "the same command goes on" in said
    assert "Traceback" not in said
    desk.build(tmp_path / "out")

"""A plugged-out crate: daemon and import killed at once, under load, and a doctor that finds what was acknowledged."""

from __future__ import annotations

import json
import random
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from appliance.doctor.examination import examine
from appliance.doctor.findings import Level
from appliance.installing import install
from appliance.scrubbing.passes import scrub
from appliance.store import Store
from tests.appliance.commands import command
from tests.appliance.daemon import serving
from tests.support.crates import CrateMaker, Key
from tests.support.stores import trusting
from tests.support.tools import tool

PUSHERS = 4


class Pushing:
    """Clients that push layers until their crate is gone; `acknowledged` were answered with 201."""

    def __init__(self, crate: serving.Crate, seed: int) -> None:
        self._crate = crate
        self.acknowledged: dict[str, bytes] = {}
        self._threads = [threading.Thread(target=self._push, args=(seed * 100 + each,)) for each in range(PUSHERS)]
        for thread in self._threads:
            thread.start()

    def _push(self, seed: int) -> None:
        noise = random.Random(seed)
        with suppress(OSError):
            while True:
                data = noise.randbytes(noise.randrange(1, 200_000))
                digest = self._crate.push_blob(f"people/p{seed}", data)
                self.acknowledged[digest] = data

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)


@pytest.fixture(scope="module")
def crates(tmp_path_factory: pytest.TempPathFactory, key: Key) -> tuple[Path, Path]:
    """Release 1, and a release 2 of 12 MB."""
    folder = tmp_path_factory.mktemp("releases")
    noise = random.Random(7)
    first = CrateMaker(folder / "blobs")
    first.file("kept", noise.randbytes(100_000))
    second = CrateMaker(folder / "blobs", serial=2, items=[*first.items], blobs={**first.blobs})
    for number in range(12):
        second.file(f"f{number}", noise.randbytes(1_000_000))
    return first.write(folder / "site-1.crate", [key])[0], second.write(folder / "site-2.crate", [key])[0]


def cut_the_power(root: Path, crates: tuple[Path, Path], key: Key, seed: int) -> None:
    chance = random.Random(seed)
    with trusting(root, key) as store:
        install(store, [crates[0]])
    with suppress(RuntimeError), serving.crate(root) as running:
        pushing = Pushing(running, seed)
        importing = subprocess.Popen(
            command(root, "install", crates[1]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline, wanted = time.monotonic() + 30, chance.randrange(5, 40)
        while len(pushing.acknowledged) < wanted and time.monotonic() < deadline:
            time.sleep(0.005)
        subprocess.run([tool("kill"), "-9", str(running.pid), str(importing.pid)], check=False)
        importing.wait()
        pushing.join()
    with Store.open(root) as store:
        fatal = {(one.check, one.what) for one in examine(store).findings if one.level is Level.FATAL}
        assert {check for check, _ in fatal} == {"service"}, fatal
        assert scrub(store).damaged == 0
        install(store, [crates[1]])
    with serving.crate(root) as again, Store.open(root) as store:
        for digest, data in pushing.acknowledged.items():
            repository = store.database.reader.execute(
                "SELECT repository FROM repository_blobs WHERE digest = ?", (bytes.fromhex(digest[7:]),)
            ).fetchone()
            assert again.request("GET", f"/v2/{repository[0]}/blobs/{digest}").body == data
        assert again.request("GET", "/files/f11").status == 200
        assert {one.check for one in examine(store).findings if one.level is Level.FATAL} == set()


@pytest.mark.parametrize("seed", range(2))
def test_what_was_acknowledged_is_there_and_nothing_contradicts_itself(
    tmp_path: Path, crates: tuple[Path, Path], key: Key, seed: int
) -> None:
    cut_the_power(tmp_path / "store", crates, key, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 115))
def test_at_fifteen_more_moments(tmp_path: Path, crates: tuple[Path, Path], key: Key, seed: int) -> None:
    cut_the_power(tmp_path / "store", crates, key, seed)


@pytest.mark.parametrize("clock", ["-25y", "+25y"], ids=["twenty-five years back", "twenty-five years ahead"])
def test_a_clock_that_jumps_changes_nothing_about_what_is_served_and_pushed(
    tmp_path: Path, crates: tuple[Path, Path], key: Key, clock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon and a command that see another time than the store was made in, as after a battery's end."""
    root = tmp_path / "store"
    with trusting(root, key) as store:
        install(store, [crates[0]])
    data = b"pushed at another time" * 100
    # env, for the wrapper faketime(1) would stay in front of the daemon and take its signals
    library = "LD_PRELOAD=/usr/$LIB/faketime/libfaketimeMT.so.1"
    program = [tool("env"), library, f"FAKETIME={clock}", "FAKETIME_DONT_FAKE_MONOTONIC=1", *serving.PROGRAM]
    with monkeypatch.context() as patched:
        patched.setattr(serving, "PROGRAM", program)
        with serving.crate(root, tls=True) as running:
            assert running.request("GET", "/files/kept", token="").status == 200
            running.push_blob("people/there", data)
            words = [*program, "--root", str(root), "doctor", "--json"]
            told = subprocess.run(words, capture_output=True, text=True, check=False)
            levels = {one["check"]: one["level"] for one in json.loads(told.stdout)["findings"]}
            assert levels["clock"] == ("fatal" if clock.startswith("-") else "warning")
            assert levels["pulling"] == levels["certificates"] == "fine"
            words = [*program, "--root", str(root), "install", str(crates[1])]
            assert subprocess.run(words, capture_output=True, check=False).returncode == 0
            assert subprocess.run([*program, "--root", str(root), "gc"], check=False).returncode == 0
            assert running.request("GET", "/files/f11", token="").status == 200
    with serving.crate(root, tls=True) as running:
        digest = serving.sha256(data)
        assert running.request("GET", f"/v2/people/there/blobs/{digest}").body == data
        assert running.request("GET", "/files/f11", token="").status == 200

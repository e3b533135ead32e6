"""Importing and verifying a crate of 2 GB, beside what hash and disk allow."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from bench import workload
from bench.measure import MIB, Row, less_is_better, medians, more_is_better, run, timed
from bench.workload import CRATE_APPLIANCE, CRATE_BUNDLE, Scale


def rows(folder: Path, scale: Scale) -> Iterator[Row]:
    images = workload.images(folder / "images", 1, scale.import_layer, layers=10)
    out = workload.make_crate(folder, images)
    workload.remove(folder / "images")
    crate = next(out.glob("*.crate"))
    size = crate.stat().st_size / MIB
    allowed = folder / "allowed_signers"
    allowed.write_text(f"bench {(folder / 'key.pub').read_text()}")
    root = folder / "root"
    disk: list[float] = []

    def install() -> list[float]:
        workload.remove(root)
        workload.trusting_root(root, folder / "key")
        cost = run([CRATE_APPLIANCE, "--root", root, "install", crate])
        disk.append(sum(path.stat().st_blocks * 512 for path in root.rglob("*") if path.is_file()) / MIB)
        return [size / cost.wall, cost.memory]

    def verify() -> list[float]:
        cost = run([CRATE_BUNDLE, "verify", crate, "--allowed-signers", allowed])
        return [size / cost.wall, cost.memory]

    def hashing() -> list[float]:
        return [size / timed(lambda: _hash(crate))]

    def writing() -> list[float]:
        return [size / timed(lambda: _write(folder / "written", crate.stat().st_size))]

    (rate, memory), (verified, _), (hashed,), (written,) = medians(scale.runs, install, verify, hashing, writing)
    yield more_is_better(
        "import: rate",
        rate,
        min(hashed, written),
        peer_name="min(sha256 on a core, write + fsync)",
        unit="MiB/s",
        goal=0.8,
    )
    yield less_is_better("import: peak memory", memory, 100, peer_name="goal", unit="MiB")
    yield less_is_better("import: disk", max(disk), size, peer_name="the crate itself", unit="MiB", goal=0.99)
    yield more_is_better("verify: rate", verified, hashed, peer_name="hashlib on a core", unit="MiB/s", goal=0.9)


def _hash(path: Path) -> None:
    digest, buffer = hashlib.sha256(), bytearray(MIB)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(view[:count])


def _write(path: Path, size: int) -> None:
    block = os.urandom(MIB)
    with path.open("wb", buffering=0) as file:
        for _ in range(size // MIB):
            file.write(block)
        os.fsync(file.fileno())
    path.unlink()

"""How soon the daemon answers with a large store, and what it costs when nobody asks."""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from appliance.store import Store
from bench.measure import Row, cpu_seconds, less_is_better, medians
from bench.workload import CRATE_APPLIANCE, Scale
from tests.support.ports import LOOPBACK, free_port

_PACKS = 4
_QUIET = 5.0  # seconds of silence in which the idle daemon is watched


def rows(folder: Path, scale: Scale) -> Iterator[Row]:
    make_store(folder / "root", scale.store_blobs, scale.store_size)
    quiet = _QUIET if scale.runs > 1 else scale.seconds

    def start() -> list[float]:
        return _start(folder / "root", folder / "serve.log", quiet)

    ((ready, idle),) = medians(scale.runs, start)
    blobs = f"{scale.store_blobs:,} blobs"
    yield less_is_better(f"serve: ready with {blobs}", ready, 1.0, peer_name="goal", unit="s")
    yield less_is_better("serve: idle CPU", max(idle, 1e-4), 0.005, peer_name="goal", unit="s/s")


def make_store(root: Path, blobs: int, size: int) -> None:
    """A store of sparse packs: `blobs` blobs of `size` bytes together, all of them published."""
    per_pack, blob_size = blobs // _PACKS, size // blobs
    with Store.open(root) as store, store.database.write() as write:
        write.execute("INSERT INTO generations (id, activated_at, dated, active) VALUES (1, 0, 0, 1)")
        for pack in range(1, _PACKS + 1):
            signed = json.dumps({"name": f"bench-{pack}"}).encode()
            digest = hashlib.sha256(signed).hexdigest()
            with store.pack_path(digest).open("wb") as file:
                file.truncate(per_pack * blob_size)
            write.execute(
                "INSERT INTO packs (id, digest, name, channel, serial, created, size, signed, signatures, imported_at)"
                " VALUES (?, ?, ?, 'stable', 1, 0, ?, ?, '[]', 0)",
                (pack, digest, f"bench-{pack}", per_pack * blob_size, signed),
            )
            write.execute("INSERT INTO generation_packs (generation, pack, active) VALUES (1, ?, 1)", (pack,))
            names = [hashlib.sha256(f"{pack}/{number}".encode()).digest() for number in range(per_pack)]
            write.executemany(
                "INSERT INTO blobs (digest, size, pack, offset, touched) VALUES (?, ?, ?, ?, 0)",
                [(name, blob_size, pack, number * blob_size) for number, name in enumerate(names)],
            )
            write.executemany("INSERT INTO pack_blobs (pack, digest) VALUES (?, ?)", [(pack, name) for name in names])
            write.executemany(
                "INSERT INTO published_blobs (generation, repository, digest) VALUES (1, ?, ?)",
                [(f"bench.example/image-{pack}", name) for name in names],
            )


def _start(root: Path, log: Path, quiet: float) -> list[float]:
    """Seconds until /healthz answers, then CPU seconds a second with nobody there."""
    port, plain = free_port(), free_port()
    addresses = ["--listen", f"{LOOPBACK}:{port}", "--plain", f"{LOOPBACK}:{plain}"]
    began = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [CRATE_APPLIANCE, "--root", str(root), "serve", *addresses],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        while not _healthy(f"http://{LOOPBACK}:{plain}/healthz"):
            if process.poll() is not None or time.perf_counter() - began > 30:
                raise RuntimeError(f"serve did not come up:\n{log.read_text()}")
            time.sleep(0.005)
        ready = time.perf_counter() - began
        time.sleep(1)  # what it still does after its first answer
        before = cpu_seconds(process.pid)
        time.sleep(quiet)
        return [ready, (cpu_seconds(process.pid) - before) / quiet]
    finally:
        process.terminate()
        process.wait(10)


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False

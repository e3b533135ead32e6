"""What the journal says is on disk was fdatasynced before it said so; the rename and the database come last.

kill -9 cannot show this, because the kernel keeps what a killed process wrote; the order of system calls can.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from appliance import unfinished
from appliance.installing import install
from appliance.ranges import Ranges
from tests.support.crates import CrateMaker, Key
from tests.support.stores import trusting


@dataclass
class Recorder:
    """Watches the system calls on one store's packs, and keeps what is durable by their rules."""

    root: Path
    written: list[tuple[int, int]] = field(default_factory=list)
    durable: Ranges = field(default_factory=Ranges)
    journaled: Ranges = field(default_factory=Ranges)
    complaints: list[str] = field(default_factory=list)
    syncs: int = 0
    lines: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def name(self, descriptor: int) -> str:
        return Path(f"/proc/self/fd/{descriptor}").readlink().name

    def install_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pwrite, fdatasync, write, rename = os.pwrite, os.fdatasync, os.write, os.rename

        def recorded_pwrite(descriptor: int, data: bytes, offset: int) -> int:
            count = pwrite(descriptor, data, offset)
            if self.name(descriptor).endswith(".part"):
                with self.lock:
                    self.written.append((offset, offset + count))
            return count

        def recorded_fdatasync(descriptor: int) -> None:
            with self.lock:  # only what was written before the sync began is covered by it
                covered = list(self.written)
            fdatasync(descriptor)
            if self.name(descriptor).endswith(".part"):
                with self.lock:
                    self.syncs += 1
                    for start, end in covered:
                        self.durable.add(start, end)

        def recorded_write(descriptor: int, data: bytes) -> int:
            if self.name(descriptor).endswith(".journal"):
                self.lines += 1
                self.check(json.loads(data[9:]))
            return write(descriptor, data)

        def recorded_rename(source: Any, target: Any) -> None:
            if str(target).endswith(".crate"):
                self.check_rename()
            rename(source, target)

        monkeypatch.setattr(os, "pwrite", recorded_pwrite)
        monkeypatch.setattr(os, "fdatasync", recorded_fdatasync)
        monkeypatch.setattr(os, "write", recorded_write)
        monkeypatch.setattr(os, "rename", recorded_rename)

    def check(self, record: dict[str, Any]) -> None:
        with self.lock:
            for start, end in record.get("verified", ()):
                self.journaled.add(start, end)
                if not self.durable.covers(start, end):
                    self.complaints.append(f"[{start}, {end}) was journaled before it was synced")

    def check_rename(self) -> None:
        connection = sqlite3.connect(self.root / "crate.db")
        if connection.execute("SELECT count(*) FROM packs").fetchone() != (0,):
            self.complaints.append("the database knew the pack before it had its name")
        connection.close()
        for start, end in self.written:
            if not self.journaled.covers(start, end):
                self.complaints.append(f"renamed before [{start}, {end}) was journaled")


def test_the_journal_never_speaks_of_bytes_that_are_not_on_disk(
    tmp_path: Path, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = CrateMaker(tmp_path / "blobs")
    noise = random.Random(4)
    for number in range(16):
        maker.file(f"f{number}", noise.randbytes(1 << 20))
    (crate,) = maker.write(tmp_path / "site-1.crate", [key])
    recorder = Recorder(tmp_path / "root")
    with trusting(tmp_path / "root", key) as store, monkeypatch.context() as patched:
        patched.setattr(unfinished, "SYNC_EVERY", 1 << 20)
        recorder.install_on(patched)
        install(store, [crate])
    assert recorder.complaints == []
    assert recorder.syncs >= 4, "several batches, so that writing and syncing overlap"
    assert recorder.lines >= 4
    assert recorder.journaled.covers(0, crate.stat().st_size)

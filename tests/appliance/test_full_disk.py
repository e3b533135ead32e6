"""A disk that fills up in the middle of an import: what was served is served, and more space completes it."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.errors import StoreFailed, StoreFull
from appliance.installing import install
from tests.support.crates import CrateMaker, Key
from tests.support.stores import served, trusting
from tests.support.tools import root, tool

# Runs in a mount namespace of its own, where a small file system is mounted at argv[1]. The space check is told that
# there is plenty: something else fills the disk meanwhile.
_SCENE = """
import json, os, shutil, subprocess, sys
from pathlib import Path
import appliance.unfinished
from appliance.errors import StoreFull
from appliance.installing import install
from appliance.keyring import Keyring
from appliance.status import status
from appliance.store import Store

mount, public, old, new = map(Path, sys.argv[1:])
appliance.unfinished.SYNC_EVERY = 1 << 20
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", mount], check=True)
with Store.open(mount / "root") as store:
    Keyring(store).add(public.read_text(), "release")
    install(store, [old])
    real = shutil.disk_usage
    shutil.disk_usage = lambda path: real(path)._replace(free=1 << 40)
    try:
        install(store, [new])
    except StoreFull as problem:
        full = [problem.what, problem.hint]
    generation = store.generation()
    stored = status(store).pending[0].stored
    subprocess.run(["mount", "-o", "remount,size=64m", mount], check=True)
    again = install(store, [new])
print(json.dumps({"full": full, "generation": generation, "stored": stored, "written": again.imports[0].written,
    "then": again.activation.generation}))
"""


def _crates(folder: Path, key: Key) -> tuple[Path, Path]:
    noise = random.Random(6)
    first = CrateMaker(folder / "blobs")
    first.file("kept", noise.randbytes(1 << 20))
    second = CrateMaker(folder / "blobs", serial=2, items=list(first.items), blobs=dict(first.blobs))
    for number in range(20):
        second.file(f"f{number}", noise.randbytes(1 << 20))
    return first.write(folder / "site-1.crate", [key])[0], second.write(folder / "site-2.crate", [key])[0]


def test_a_file_system_that_really_fills_up(tmp_path: Path, key: Key) -> None:
    old, new = _crates(tmp_path, key)
    mount = tmp_path / "mount"
    mount.mkdir()
    root("a file system is mounted, and grown later")
    done = subprocess.run(
        [tool("unshare"), "--mount", sys.executable, "-c", _SCENE, mount, key.public, old, new],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert "is full" in result["full"][0]
    assert "gc" in result["full"][1]
    assert result["generation"] == 1
    assert result["stored"] > 4 << 20, "what was written before it was full is kept"
    assert result["written"] <= new.stat().st_size - result["stored"]
    assert result["then"] == 2


FAILURES = {
    "no space left": (errno.ENOSPC, StoreFull),
    "quota exceeded": (errno.EDQUOT, StoreFull),
    "the disk fails": (errno.EIO, StoreFailed),
    "the disk turned read-only": (errno.EROFS, StoreFailed),
}


@pytest.mark.parametrize("call", ["pwrite", "fdatasync", "fsync"])
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_whatever_write_fails_the_old_release_is_served(
    tmp_path: Path, key: Key, monkeypatch: pytest.MonkeyPatch, call: str, failure: tuple[int, type[Exception]]
) -> None:
    code, problem = failure
    old, new = _crates(tmp_path, key)
    real = getattr(os, call)

    def failing(descriptor: int, *rest: object) -> object:
        """Stands for the store's disk; other files are written as ever."""
        if ".crate" in Path(f"/proc/self/fd/{descriptor}").readlink().name:
            raise OSError(code, os.strerror(code))
        return real(descriptor, *rest)

    with trusting(tmp_path / "root", key) as store:
        install(store, [old])
        with monkeypatch.context() as patched:
            patched.setattr(os, call, failing)
            with pytest.raises(problem):
                install(store, [new])
        assert store.generation() == 1
        assert served(store, "files/kept")
        assert install(store, [new]).activation.generation == 2
        assert served(store, "files/f19")


def test_after_a_failed_sync_nothing_more_is_journaled(
    tmp_path: Path, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel reports a lost page once; a second fdatasync that succeeds proves nothing."""
    _, new = _crates(tmp_path, key)
    real = os.fdatasync
    calls: list[int] = []

    def failing_once(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().name.endswith(".part"):
            calls.append(descriptor)
            if len(calls) == 2:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    with trusting(tmp_path / "root", key) as store:
        with monkeypatch.context() as patched:
            patched.setattr("appliance.unfinished.SYNC_EVERY", 4 << 20)
            patched.setattr(os, "fdatasync", failing_once)
            with pytest.raises(StoreFailed):
                install(store, [new])
        assert len(calls) == 2
        again = install(store, [new])
    assert again.imports[0].written > new.stat().st_size - (9 << 20), "only the first batch counts as written"

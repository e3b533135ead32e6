"""Real Debian nodes for tests: a debootstrapped root, changes kept apart in an overlay, and no network but loopback.

The roots are made once from this machine's own apt sources and kept in `BUZZCRATE_TEST_ROOTS` (by default below
`~/.cache`). Needs root, `debootstrap` and `faketime`.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mirror.apt.sources import apt_settings, machine_sources
from mirror.ecosystem import ORIGIN, Published
from tests.support.tools import MissingToolError, tool

PORT = 8099
_ROOTS = Path(os.environ.get("BUZZCRATE_TEST_ROOTS") or Path.home() / ".cache/buzzcrate-test-roots")


def root(suite: str) -> Path:
    """The root of a minimal node of `suite`, made when it is not there yet."""
    if os.geteuid():
        raise MissingToolError("nodes are made of namespaces and overlays, which takes root")
    _ROOTS.mkdir(parents=True, exist_ok=True)
    made = _ROOTS / suite
    with (_ROOTS / f"{suite}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.is_dir():
            url = machine_sources(apt_settings())[0].url
            partial = _ROOTS / f"{suite}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            subprocess.run(
                [tool("debootstrap"), "--variant=minbase", suite, partial, url], check=True, capture_output=True
            )
            (partial / "etc/apt/sources.list").unlink(missing_ok=True)
            tool("faketime")
            library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
            shutil.copy(library, partial / "usr/lib/libfaketime.so.1")
            partial.rename(made)
    return made


def write_tree(published: Iterable[Published], blobs: Path, tree: Path) -> None:
    """What the crate serves, as files, for a node whose crate answers on its own loopback."""
    for each in published:
        path = tree / each.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if each.sha256:
            path.symlink_to(blobs / each.sha256)
        else:
            path.write_bytes(each.body.replace(ORIGIN, f"http://127.0.0.1:{PORT}".encode()))


@dataclass(frozen=True)
class Node:
    """A node that reaches nothing but a web server over `tree`. `folder` keeps its changes; `clock` is its time.

    `server` is the command of another server on its loopback, at `PORT` too.
    """

    folder: Path
    suite: str
    tree: Path
    clock: str = ""
    server: str = ""

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Runs a shell command as root on the node."""
        upper, work, merged = (self.folder / name for name in ("upper", "work", "merged"))
        for path in (upper, work, merged):
            path.mkdir(parents=True, exist_ok=True)
        if self.clock:
            # faketime shares its start between processes, which apt's sandbox user may not.
            command = f"export LD_PRELOAD=/usr/lib/libfaketime.so.1 FAKETIME='@{self.clock}'; {command}"
            (upper / "etc/apt/apt.conf.d").mkdir(parents=True, exist_ok=True)
            (upper / "etc/apt/apt.conf.d/99faketime").write_text('APT::Sandbox::User "root";')
        server = self.server or f"{sys.executable} -m http.server {PORT} --bind 127.0.0.1 --directory {self.tree}"
        inside = f"export DEBIAN_FRONTEND=noninteractive LC_ALL=C; {command}"
        script = f"""set -e
ip link set lo up
mount -t overlay overlay -o lowerdir={root(self.suite)},upperdir={upper},workdir={work} {merged}
mount -t proc proc {merged}/proc
mount --bind /dev {merged}/dev
{server} >{self.folder}/server.log 2>&1 &
for _ in $(seq 100); do (: </dev/tcp/127.0.0.1/{PORT}) 2>/dev/null && break; sleep 0.05; done
chroot {merged} /bin/sh -c {shlex.quote(inside)}
"""
        return subprocess.run(
            [tool("unshare"), "--mount", "--net", "--pid", "--fork", "--kill-child", "bash", "-c", script],
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )

    def use(self, repository: str) -> None:
        """Puts the snippet that the crate offers in place."""
        sources = self.folder / "upper/etc/apt/sources.list.d"
        sources.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.tree / f"apt/{repository}.sources", sources / f"{repository}.sources")

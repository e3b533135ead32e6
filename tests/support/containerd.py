"""A containerd of the test's own: root, state and socket in a temporary folder, `ctr` to speak to it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import running
from tests.support.tools import tool

# Copies instead of mounting: works on every file system, and in a container without privileges.
SNAPSHOTTER = "native"


@dataclass(frozen=True)
class Containerd:
    """A containerd that runs; `hosts` is its hosts directory, one folder a registry host."""

    socket: Path
    hosts: Path

    def add_host(self, host: str, server: str, *, ca: Path | None = None) -> None:
        """Pulls of `host` go to `server` (a URL) and nowhere else; containerd adds `?ns=host`."""
        folder = self.hosts / host
        folder.mkdir(parents=True, exist_ok=True)
        lines = [f'server = "{server}"', f'[host."{server}"]', 'capabilities = ["pull", "resolve"]']
        if ca:
            lines.append(f'ca = "{ca}"')
        (folder / "hosts.toml").write_text("\n".join(lines) + "\n")

    def ctr(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs ctr; a failure shows what it said."""
        command = [tool("ctr"), "--address", str(self.socket), "--namespace", "test", *map(str, words)]
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
        )
        assert not check or result.returncode == 0, f"{' '.join(command)}\n{result.stdout}\n{result.stderr}"
        return result

    def pull(self, reference: str, platform: str) -> None:
        """Pulls one platform and unpacks it; unpacking takes root (chown), so a plain user only fetches."""
        unpacked = ["images", "pull", "--snapshotter", SNAPSHOTTER] if os.getuid() == 0 else ["content", "fetch"]
        self.ctr(*unpacked, "--hosts-dir", self.hosts, "--platform", platform, reference)


@contextmanager
def containerd(folder: Path) -> Iterator[Containerd]:
    """Runs containerd with everything it writes under `folder` (whose path must be short: it holds a socket)."""
    folder.mkdir(parents=True, exist_ok=True)
    socket = folder / "c.sock"
    configuration = folder / "config.toml"
    configuration.write_text(
        f"""version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.internal.v1.opt"]
[grpc]
address = "{socket}"
uid = {os.getuid()}
gid = {os.getgid()}
[debug]
level = "warn"
"""
    )
    client = Containerd(socket, folder / "hosts")
    client.hosts.mkdir(exist_ok=True)

    def answers() -> bool:
        return socket.exists() and client.ctr("version", check=False).returncode == 0

    with running([tool("containerd"), "--config", configuration], ready=answers, log=folder / "containerd.log"):
        yield client

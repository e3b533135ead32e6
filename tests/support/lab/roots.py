"""The roots that lab machines boot from: Debian with systemd and sshd, made once from this machine's own apt sources.

They are kept in `BUZZCRATE_TEST_ROOTS` (by default below `~/.cache`), one folder a suite and package list. That place
has to be on a real file system: an overlay does not go on top of another one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mirror.apt.sources import apt_settings, machine_sources
from tests.support.tools import root, tool

KEPT = Path(os.environ.get("BUZZCRATE_TEST_ROOTS") or Path.home() / ".cache/buzzcrate-test-roots")
NODE = ("systemd", "systemd-sysv", "systemd-timesyncd", "dbus", "openssh-server", "iproute2", "iptables", "kmod",
        "procps", "sudo")  # fmt: skip
"""What a board with a fresh Debian has, and what k3s asks of it; neither Python nor curl."""
APPLIANCE = (*NODE, "python3", "openssh-client", "nftables")
"""The appliance's machine may count on python3's standard library and on an ssh client."""
_DISTURBING = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer",
               "fstrim.timer", "getty@.service", "console-getty.service")  # fmt: skip


@contextmanager
def kept(name: str) -> Iterator[Path]:
    """The place of something that is made once, `KEPT`/`name`, while no other process makes the same."""
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield KEPT / name


def machine_root(suite: str, packages: Sequence[str]) -> Path:
    """The root of a bootable machine of `suite`. Takes about a minute the first time."""
    root("a lab's machines are made of namespaces and overlays")
    key = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:8]
    with kept(f"{suite}-booted-{key}") as made:
        if not made.is_dir():
            partial = made.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            url = machine_sources(apt_settings())[0].url
            include = f"--include={','.join(packages)}"
            subprocess.run(
                [tool("debootstrap"), "--variant=minbase", include, suite, partial, url],
                check=True,
                capture_output=True,
            )
            _settle(partial)
            partial.rename(made)
    return made


def _settle(made: Path) -> None:
    """Leaves out what every machine has its own of, and what would start by itself in the middle of a test."""
    for name in ("etc/resolv.conf", "etc/machine-id", "etc/hostname", "var/lib/dbus/machine-id"):
        (made / name).unlink(missing_ok=True)
    for key in (made / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    for unit in _DISTURBING:
        (made / "etc/systemd/system" / unit).symlink_to("/dev/null")
    shutil.rmtree(made / "var/cache/apt/archives", ignore_errors=True)
    (made / "var/cache/apt/archives/partial").mkdir(parents=True)
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        tool("faketime")
        raise FileNotFoundError("libfaketime.so.1")
    shutil.copy(library, made / "usr/lib/libfaketime.so.1")

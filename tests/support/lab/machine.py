"""A booted Debian in a container that behaves like a board: power, console, ssh.

Every odd option of systemd-nspawn here is needed, and says why. Machines lack CAP_SYS_TIME: they share this
computer's clock, and nothing that runs on them may set it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.lab import clock
from tests.support.lab.network import Network, run
from tests.support.lab.roots import NODE, machine_root
from tests.support.ports import wait_until
from tests.support.tools import tool

Told = subprocess.CompletedProcess[str]
_CGROUPS = Path("/sys/fs/cgroup")
_HIERARCHIES = ("unified", "systemd", "cpu", "cpuacct", "cpuset", "devices", "freezer", "blkio", "pids")
_MEDIA = "/media"
STORE = "/lab"
"""A folder of the real file system inside every machine, where a container store may lie: / is an overlay."""
_WRITABLE = """\
[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'for c in cpu cpuacct cpuset memory devices freezer blkio pids; do \
mount -o remount,rw,bind /sys/fs/cgroup/$c; done'
[Install]
WantedBy=sysinit.target
"""
NO_BRIDGE_FILTER: Mapping[str, str] = {
    "etc/systemd/system/ssh.service.d/lab.conf": "[Service]\nExecStartPre=mount -t tmpfs none /proc/sys/net/bridge\n"
}
"""The `files` of a machine whose kernel seems to lack br_netfilter."""
_REBOOTING = "lab-rebooting"
# A reboot ends the container like a poweroff, and leaves word that the power is to come back.
_REBOOT = f"""\
[Unit]
SuccessAction=poweroff-force
[Service]
Type=oneshot
ExecStart=/usr/bin/touch /{_REBOOTING}
"""


@dataclass(frozen=True)
class Spec:
    """What a machine is to be.

    `disk` (MiB) makes everything it writes fit into that much. `clock` (`1970-01-02 00:00:00`) is the time that its
    ssh sessions see; `date --set` moves that and never the real one. `off` leaves it unplugged until `start()`.
    `files` are written before it boots (`NO_BRIDGE_FILTER` among them hides a kernel module). `binds` are folders of
    this computer that it sees, read-only.
    """

    name: str
    address: str = ""
    suite: str = "bookworm"
    packages: Sequence[str] = NODE
    disk: int = 0
    clock: str = ""
    off: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    binds: Mapping[str, Path] = field(default_factory=dict)


class Node:
    """A machine of a lab. `media` is a folder of this computer that it sees as /media: put a stick into it."""

    def __init__(self, spec: Spec, folder: Path, network: Network, access: Access) -> None:
        self.spec, self.folder, self._network, self._access = spec, folder, network, access
        self.name, self.address = spec.name, spec.address
        self.media = folder / "media"
        self._container = f"{network.lab}-{spec.name}"
        self._process: subprocess.Popen[bytes] | None = None
        self._switch = threading.RLock()
        self.host_key = ""

    # -- power -----------------------------------------------------------------------------------

    def make(self) -> None:
        """Its disk, with what every machine has its own of: names, host keys, who may log in."""
        disk = self.folder / "disk"
        disk.mkdir(parents=True)
        self.media.mkdir()
        if self.spec.disk:
            run("mount", "-t", "tmpfs", "-o", f"size={self.spec.disk}m,mode=0755", "tmpfs", str(disk))
        for name in ("upper", "work", "store"):
            (disk / name).mkdir()
        root = self.root
        root.mkdir()
        layers = (
            f"lowerdir={machine_root(self.spec.suite, self.spec.packages)},upperdir={disk}/upper,workdir={disk}/work"
        )
        run("mount", "-t", "overlay", "overlay", "-o", layers, str(root))
        files = {
            "etc/hostname": f"{self.name}\n",
            "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n",
            "etc/machine-id": f"{uuid.uuid4().hex}\n",
            "etc/resolv.conf": "",
            "etc/systemd/system/lab-cgroups.service": _WRITABLE,
            "etc/systemd/system/systemd-reboot.service.d/lab.conf": _REBOOT,
            **(clock.files(self.spec.clock) if self.spec.clock else {}),
            **self.spec.files,
        }
        for path, text in files.items():
            target = root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            target.chmod(0o755 if text.startswith("#!") else 0o644)
        if _hybrid():
            wanted = root / "etc/systemd/system/sysinit.target.wants"
            wanted.mkdir(parents=True, exist_ok=True)
            (wanted / "lab-cgroups.service").symlink_to("../lab-cgroups.service")
        run("ssh-keygen", "-q", "-A", "-f", str(root))
        self.host_key = " ".join((root / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2])
        (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
        (root / "root/.ssh/authorized_keys").write_text(self._access.key.with_suffix(".pub").read_text())

    @property
    def root(self) -> Path:
        """Its file system, as this computer sees it (without what the machine mounts itself)."""
        return self.folder / "root"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def power_on(self) -> None:
        """Begins to boot it; `wait()` waits for ssh."""
        with self._switch:
            assert not self.running, f"{self.name} is on already"
            self._plug_in()

    def _plug_in(self) -> None:
        self._network.attach(self.name, self.address)
        groups = cgroups(self._container)
        for group in groups:
            group.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):
                if (group / name).exists():
                    (group / name).write_text((group.parent / name).read_text())
        binds = [f"--bind={self.media}:{_MEDIA}", f"--bind={self.folder}/disk/store:{STORE}"]
        binds += [f"--bind-ro={source}:{target}" for target, source in self.spec.binds.items()]
        command = [
            tool("systemd-nspawn"), "--quiet", "--boot", f"--directory={self.root}", f"--machine={self._container}",
            f"--hostname={self.name}", "--register=no", "--keep-unit", "--console=pipe",
            f"--network-namespace-path=/run/netns/{self._network.namespace(self.name)}",
            "--capability=all", "--drop-capability=CAP_SYS_TIME", "--link-journal=no", "--resolv-conf=off",
            "--timezone=off", *binds,
        ]  # fmt: skip
        environment = {
            **os.environ,
            # where cgroup v1 is at hand, runc misses cpu.weight in a container that has only v2
            "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "0" if _hybrid() else "1",
            "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "1",
            "SYSTEMD_SECCOMP": "0",  # the default filter stops runc's session keyring
        }
        join = "".join(f"echo $$ >{shlex.quote(str(group / 'cgroup.procs'))}\n" for group in groups)
        with (self.folder / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f'{join}exec "$@"', "sh", *command],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        (self.folder / "pid").write_text(str(self._process.pid))
        threading.Thread(target=self._power_supply, args=[self._process], daemon=True).start()

    def _power_supply(self, process: subprocess.Popen[bytes]) -> None:
        """Boots it afresh after a reboot: a container cannot lose its network and keep its plug."""
        process.wait()
        rebooting = self.root / _REBOOTING
        with self._switch:
            if process is self._process and rebooting.exists():
                rebooting.unlink()
                self._unplug()
                self._plug_in()

    def wait(self, seconds: float = 30) -> None:
        """Waits until its sshd answers. Raises `TimeoutError`, or `RuntimeError` with the console when it died."""
        knock = f"until exec 3<>/dev/tcp/{self.address}/{self._access.port}; do sleep 0.05; done; head -c4 <&3"
        knocking = subprocess.Popen(
            self._access.hub("timeout", str(seconds), "bash", "-c", knock),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while knocking.poll() is None:
            if not self.running:
                knocking.kill()
                knocking.wait()
                raise RuntimeError(f"{self.name} did not boot:\n{self.console()[-2000:]}")
            time.sleep(0.02)
        if knocking.returncode:
            raise TimeoutError(f"{self.name} does not answer to ssh:\n{self.console()[-2000:]}")

    def start(self) -> None:
        """Plugs it in and waits until it answers."""
        self.power_on()
        self.wait()

    def stop(self) -> None:
        """Pulls its plug: nothing is ended in order, its network is gone with all that was set up in it."""
        with self._switch:
            self._unplug()

    def _unplug(self) -> None:
        if self._process is None:
            return
        kill_tree(self._process.pid)
        self._process.wait()
        self._process = None
        self._network.detach(self.name)
        remove_cgroups(self._container)

    def restart(self) -> None:
        """Pulls its plug, and plugs it in again."""
        self.stop()
        self.start()

    def reboot(self) -> None:
        """Reboots it in order, and waits until it answers again."""
        before = self.boot_id()
        self.run("systemctl reboot", check=False)
        wait_until(
            lambda: self.running and self.boot_id() not in {"", before}, f"the reboot of {self.name}", seconds=60
        )
        self.wait()

    def boot_id(self) -> str:
        """Another one after every boot; empty while there is nobody to ask."""
        process = self._process
        leaders = _children(process.pid) if process else []
        return str(leaders[0]) if leaders else ""

    def console(self) -> str:
        return (self.folder / "console.log").read_text(errors="replace")

    # -- hands on it -----------------------------------------------------------------------------

    def words(self, *command: str) -> list[str]:
        """A command of this computer that runs `command` as root inside, as on a keyboard and screen: no ssh."""
        assert self.running, f"{self.name} is off"
        inside = ["nsenter", "--target", str(self._leader()), "--mount", "--uts", "--ipc", "--net", "--pid", "--root",
                  "--wd"]  # fmt: skip
        # nsenter keeps what this computer's root may do; the clock is not among what machines may touch
        return [tool("setpriv"), "--bounding-set=-sys_time", tool("env"), "-i", "HOME=/root", "LANG=C.UTF-8",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", tool(inside[0]), *inside[1:],
                *command]  # fmt: skip

    def run(self, command: str, *, check: bool = True, given: str = "", timeout: float = 240) -> Told:
        """Runs a shell command as root inside. With `check`, a failure is an AssertionError with all that it said."""
        return _told(self.words("/bin/sh", "-c", command), check, given, timeout)

    def ssh(
        self, command: str, *, user: str = "root", check: bool = True, given: str = "", timeout: float = 240
    ) -> Told:
        """Runs a shell command over ssh, from the hub, with the lab's key and its pinned host keys."""
        return _told(self._access.ssh(self.address, user, command), check, given, timeout)

    def write(self, path: str, text: str | bytes, mode: int = 0o644) -> None:
        data = text.encode() if isinstance(text, str) else text
        words = self.words("install", "-D", "-m", f"{mode:o}", "/dev/stdin", path)
        subprocess.run(words, input=data, check=True, capture_output=True)

    def read(self, path: str) -> str:
        return self.run(f"cat {shlex.quote(path)}").stdout

    def exists(self, path: str) -> bool:
        return self.run(f"test -e {shlex.quote(path)}", check=False).returncode == 0

    def until(self, command: str, *, seconds: float = 60) -> None:
        """Repeats a shell command inside until it succeeds. Raises `TimeoutError` naming it."""
        wait_until(lambda: self.run(command, check=False).returncode == 0, f"{self.name}: {command}", seconds=seconds)

    def _leader(self) -> int:
        assert self._process is not None
        found = _children(self._process.pid)
        assert found, f"{self.name} is not up yet"
        return found[0]


@dataclass(frozen=True)
class Access:
    """How machines are reached: the lab's key, the host keys, and the hub that connections come from."""

    key: Path
    known_hosts: Path
    network: Network
    port: int = 22

    def hub(self, *command: str) -> list[str]:
        return [tool("ip"), "netns", "exec", self.network.hub, *command]

    def ssh(self, address: str, user: str, command: str) -> list[str]:
        options = ("BatchMode=yes", f"UserKnownHostsFile={self.known_hosts}", "StrictHostKeyChecking=yes",
                   "IdentitiesOnly=yes", "ConnectTimeout=5")  # fmt: skip
        words = [word for option in options for word in ("-o", option)]
        return self.hub(tool("ssh"), "-F", "none", "-i", str(self.key), *words, f"{user}@{address}", command)


def _told(words: Sequence[str], check: bool, given: str, timeout: float) -> Told:
    done = subprocess.run(words, input=given, capture_output=True, text=True, timeout=timeout, check=False)
    said = f"{words[-1]}\nexit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert not check or done.returncode == 0, said
    return done


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def kill_tree(pid: int) -> None:
    """Ends a container that runs as `pid`: its first process takes all others with it."""
    for each in (*_children(pid), pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def _hybrid() -> bool:
    """Whether this computer still has cgroup v1 beside v2."""
    return (_CGROUPS / "cpu").is_dir()


def cgroups(container: str) -> list[Path]:
    """A cgroup of its own in every hierarchy, or all machines would share one."""
    parents = [_CGROUPS / name for name in _HIERARCHIES] if _hybrid() else [_CGROUPS]
    return [parent / container for parent in parents if parent.is_dir()]


def remove_cgroups(container: str) -> None:
    def gone(group: Path) -> bool:
        for folder, _, _ in os.walk(group, topdown=False):
            try:
                Path(folder).rmdir()
            except OSError:  # its last process is being buried
                return False
        return not group.exists()

    for group in cgroups(container):
        wait_until(_bound(gone, group), f"the end of {group}", seconds=10)


def _bound(function: Callable[[Path], bool], path: Path) -> Callable[[], bool]:
    return lambda: function(path)

"""The lab as a whole: machines up, machines down, and nothing left."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.lab import network
from tests.support.lab.machine import Access, Node, Spec, Told, _told, kill_tree, remove_cgroups
from tests.support.lab.network import APPLIANCE, SUBNET, VISITOR, Network
from tests.support.lab.roots import APPLIANCE as APPLIANCE_PACKAGES
from tests.support.lab.roots import KEPT
from tests.support.tools import root, tool

_LABS = KEPT / "labs"  # on the same real file system as the roots
_PREFIX = "bz"


class Lab:
    """Machines that run. `here` and `words` are for programs of this computer that take part in the network."""

    subnet = SUBNET
    address = APPLIANCE

    def __init__(self, folder: Path, nodes: Sequence[Spec], appliance: Spec | None) -> None:
        self.folder = folder
        self.network = Network(folder.name)
        self.key, self.known_hosts = folder / "id_ed25519", folder / "known_hosts"
        self._access = Access(self.key, self.known_hosts, self.network)
        self.nodes = [Node(spec, folder / "machines" / spec.name, self.network, self._access) for spec in nodes]
        self._appliance = appliance and Node(
            appliance, folder / "machines" / appliance.name, self.network, self._access
        )

    def __getitem__(self, name: str) -> Node:
        return next(machine for machine in self.machines if machine.name == name)

    @property
    def machines(self) -> list[Node]:
        return [*([self._appliance] if self._appliance else []), *self.nodes]

    @property
    def appliance(self) -> Node:
        assert self._appliance, "this lab was made without an appliance"
        return self._appliance

    def words(self, *command: str | Path) -> list[str]:
        """A command line that runs `command` of this computer on the hub."""
        return self._access.hub(*map(str, command))

    def here(
        self,
        command: Sequence[str | Path],
        *,
        check: bool = True,
        given: str = "",
        timeout: float = 240,
        environment: Mapping[str, str] | None = None,
    ) -> Told:
        """Runs `command` of this computer on the hub, to its end."""
        extra = [f"{name}={value}" for name, value in (environment or {}).items()]
        return _told(self.words(*(["env", *extra] if extra else []), *command), check, given, timeout)

    def escaped(self) -> int:
        """How many packets have wanted to leave the lab, broadcasts and multicasts aside."""
        return self.network.escaped()[0]

    def escaped_to(self) -> list[str]:
        """The addresses that those packets were meant for."""
        return self.network.escaped()[1]

    def up(self) -> None:
        subprocess.run([tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", self.key], check=True)
        names = [(APPLIANCE, "crate.internal"), *((node.address, node.name) for node in self.nodes)]
        self.network.create(VISITOR if self._appliance else APPLIANCE, names)
        for machine in self.machines:
            machine.make()
        self.known_hosts.write_text("".join(f"{each.address} {each.host_key}\n" for each in self.machines))
        starting = [machine for machine in self.machines if not machine.spec.off]
        for machine in starting:
            machine.power_on()
        for machine in starting:
            machine.wait()


@contextmanager
def lab(nodes: int | Sequence[Spec] = 3, *, appliance: bool | Spec = False, suite: str = "bookworm") -> Iterator[Lab]:
    """Boots machines and yields the lab; `nodes` is how many, or what each is to be."""
    root("a lab's machines are made of namespaces and overlays")
    specs = [Spec(f"n{number}", suite=suite) for number in range(1, nodes + 1)] if isinstance(nodes, int) else nodes
    specs = [
        spec if spec.address else dataclasses.replace(spec, address=f"10.77.0.{10 + number}")
        for number, spec in enumerate(specs, 1)
    ]
    board = Spec("crate", packages=APPLIANCE_PACKAGES, suite=suite) if appliance is True else appliance or None
    board = board and dataclasses.replace(board, address=APPLIANCE)
    with _folder() as folder:
        made = Lab(folder, specs, board)
        made.up()
        yield made


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder whose name is the lab's; held by a lock that the kernel lets go when this process dies."""
    _LABS.mkdir(parents=True, exist_ok=True)
    _sweep()
    folder = _LABS / f"{_PREFIX}{secrets.token_hex(3)}"
    folder.mkdir()
    with (folder / "held").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            _clear(folder)


def _sweep() -> None:
    """Clears what runs have left that were killed."""
    for folder in _LABS.glob(f"{_PREFIX}*"):
        try:
            with (folder / "held").open("r+") as held:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _clear(folder)
        except FileNotFoundError:  # being made or being cleared by another process
            continue
        except BlockingIOError:
            continue


def _clear(folder: Path) -> None:
    """Ends and removes everything of the lab in `folder`, whatever state it is in."""
    for machine in (folder / "machines").glob("*"):
        pid = _pid(machine, folder.name)
        if pid:
            kill_tree(pid)
            with contextlib.suppress(ChildProcessError):  # another process's child
                os.waitpid(pid, 0)
    network.remove(folder.name)
    for machine in (folder / "machines").glob("*"):
        remove_cgroups(f"{folder.name}-{machine.name}")
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in sorted((each for each in mounted if each.startswith(f"{folder}/")), reverse=True):
        network.run("umount", "--lazy", point)
    shutil.rmtree(folder)


def _pid(machine: Path, lab: str) -> int:
    """The container of `machine` if it runs: the number may belong to somebody else by now."""
    try:
        pid = int((machine / "pid").read_text())
        running = f"--machine={lab}-{machine.name}".encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return 0
    return pid if running else 0

"""What one reading of a node says, parsed. Pure, but for the fact itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pyinfra.api.facts import FactBase

from deploys.preflight.script import LEFT_OVERS, script

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm", "armhf": "arm"}
_CARDS = {"SD": "card", "MMC": "emmc"}  # /sys/block/mmcblk*/device/type
Lines = Mapping[str, Sequence[str]]


class Reading(FactBase[Lines]):
    """The script's lines by key."""

    def command(self) -> str:
        return script()

    def process(self, output: list[str]) -> Lines:
        return lines(output)


def lines(output: Sequence[str]) -> Lines:
    """Values by key, in the order in which they were said."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in output:
        key, _, value = line.partition(" ")
        found[key].append(value)
    return found


@dataclass(frozen=True)
class Port:
    protocol: str
    number: int
    program: str  # "" when the kernel or nobody that it can name


@dataclass(frozen=True)
class Facts:
    """A node as it is. Sizes are in MiB."""

    lines: Lines

    def _first(self, key: str) -> str:
        return next(iter(self.lines.get(key, ())), "")

    def _words(self, key: str) -> list[list[str]]:
        return [value.split() for value in self.lines.get(key, ()) if value]

    def _all(self, key: str) -> frozenset[str]:
        return frozenset(self.lines.get(key, ()))

    @property
    def architecture(self) -> str:
        """As Go spells it. Packages decide: a 32-bit system may run on a 64-bit kernel."""
        said = self._first("packages-for") or self._first("machine")
        return _ARCHITECTURES.get(said, said)

    @property
    def clock(self) -> int:
        """Seconds since 1970, when the script began."""
        return int(self._first("clock") or 0)

    @cached_property
    def os(self) -> Mapping[str, str]:
        """`/etc/os-release`, as far as it matters."""
        return {words[0]: " ".join(words[1:]).strip("\"'") for words in self._words("os") if len(words) > 1}

    @property
    def system(self) -> str:
        """raspberry, armbian, ubuntu, debian, arch or what it calls itself."""
        if flavour := self._first("flavour"):
            return flavour
        name = self.os.get("ID", "")
        if name == "raspbian":
            return "raspberry"
        return "arch" if name == "archarm" or "arch" in self.os.get("ID_LIKE", "").split() else name

    @property
    def kernel(self) -> str:
        return self._first("kernel")

    @property
    def hostname(self) -> str:
        return self._first("hostname")

    @property
    def machine_id(self) -> str:
        return self._first("machine-id")

    @property
    def root(self) -> bool:
        return self._first("user") == "0"

    @property
    def systemd(self) -> bool:
        return self._first("init") == "systemd"

    @cached_property
    def memory(self) -> int:
        return next((int(words[1]) // 1024 for words in self._words("memory") if words[0] == "MemTotal:"), 0)

    @cached_property
    def swap(self) -> tuple[str, ...]:
        """Where it swaps to, memory itself (zram) aside."""
        return tuple(words[0] for words in self._words("swap") if not words[0].startswith("/dev/zram"))

    @cached_property
    def modules(self) -> Mapping[str, str]:
        """loaded, builtin, loadable, works or missing, by name."""
        return {words[0]: words[1] for words in self._words("module")}

    @property
    def filter(self) -> str:
        """nft, iptables, both, kernel (it could, but the program is not there) or missing."""
        return self._first("filter")

    @property
    def links(self) -> frozenset[str]:
        """Which of dummy and bridge devices can be made."""
        return self._all("link")

    @property
    def cgroups(self) -> frozenset[str]:
        return self._all("cgroup")

    @property
    def boot_files(self) -> tuple[str, ...]:
        return tuple(self.lines.get("boot", ()))

    @property
    def free(self) -> int:
        """Where k3s keeps its data."""
        return next((int(words[0]) // 1024 for words in self._words("disk")), 0)

    @cached_property
    def disk(self) -> str:
        """Its speed class: card (SD), emmc, usb, disk (rotating), solid, or "" when it cannot be told."""
        for kind, *where in self._words("block"):
            if kind in _CARDS:
                return _CARDS[kind]
            if any("/usb" in path for path in where):
                return "usb"
            return "disk" if kind == "1" else "solid"
        return ""

    @property
    def read_only(self) -> bool:
        return bool(self.lines.get("read-only"))

    @cached_property
    def ports(self) -> tuple[Port, ...]:
        """What is listened on."""
        found = {
            Port(words[0], int(words[1]), "" if words[2] == "-" else words[2])
            for words in self._words("port")
            if words[1].isdigit()
        }
        return tuple(sorted(found, key=lambda port: (port.number, port.protocol, port.program)))

    @property
    def routes(self) -> tuple[str, ...]:
        return tuple(self.lines.get("route", ()))

    @cached_property
    def addresses(self) -> frozenset[str]:
        return frozenset(words[1].partition("/")[0] for words in self._words("address"))

    @property
    def nameservers(self) -> tuple[str, ...]:
        return tuple(self.lines.get("nameserver", ()))

    @property
    def resolver_link(self) -> str:
        return self._first("resolv-link")

    @property
    def active(self) -> frozenset[str]:
        """Which of the services that matter here run."""
        return self._all("active")

    @property
    def programs(self) -> frozenset[str]:
        return self._all("program")

    @cached_property
    def left_overs(self) -> tuple[str, ...]:
        """Other programs' clusters."""
        return tuple(dict.fromkeys(LEFT_OVERS[path] for path in self.lines.get("left-over", ()) if path in LEFT_OVERS))

    @property
    def k3s(self) -> str:
        """The version that is installed, or ""."""
        return self._first("k3s")

    @cached_property
    def k3s_units(self) -> frozenset[str]:
        return frozenset(words[0] for words in self._words("k3s-unit"))

    @property
    def k3s_ours(self) -> bool:
        """Whether its units were put there by a run of ours."""
        return self.k3s_units <= self._all("k3s-ours")

    @property
    def sources(self) -> tuple[str, ...]:
        """Files that name package repositories."""
        return tuple(self.lines.get("source", ()))

    @property
    def paths(self) -> frozenset[str]:
        """Which of the script's PATHS exist."""
        return self._all("path")

    def told(self) -> dict[str, object]:
        """What is worth keeping of it."""
        return {
            "architecture": self.architecture,
            "system": self.system,
            "os": self.os.get("PRETTY_NAME", ""),
            "kernel": self.kernel,
            "hostname": self.hostname,
            "machine_id": self.machine_id,
            "model": self._first("model"),
            "memory": self.memory,
            "free": self.free,
            "disk": self.disk,
            "k3s": self.k3s,
        }

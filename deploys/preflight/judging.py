"""Whether a cluster can be made of a node: one table, a row a check. Pure.

`fatal` keeps the node out of the run. `fixable` is what *base* puts right, and fatal where the site does not let it.
`warning` is for a person to know.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from deploys.boot import boot_file, remedy
from deploys.events import Level
from deploys.order import Node, Order
from deploys.preflight.facts import Facts
from deploys.preflight.script import MODULES

SKEW = 5  # seconds a clock may differ before it is set
_LEAST = {"server": 900, "agent": 450}  # MiB of memory, for the system and k3s alone


@dataclass(frozen=True)
class Case:
    """A node, what is known of it, and the appliance's time (seconds since 1970) when its clock was read."""

    facts: Facts
    order: Order
    node: Node
    now: float


@dataclass(frozen=True)
class Judgement:
    check: str
    level: Level
    what: str
    hint: str = ""


@dataclass(frozen=True)
class Check:
    """`says` is what is wrong, or empty; `hint` the remedy. `may_fix`: whether *base* is allowed to, and can."""

    name: str
    level: Level
    says: Callable[[Case], str]
    hint: Callable[[Case], str] | str
    may_fix: Callable[[Case], bool] = lambda _: True

    def judge(self, case: Case) -> Judgement | None:
        what = self.says(case)
        if not what:
            return None
        level = "fatal" if self.level == "fixable" and not self.may_fix(case) else self.level
        return Judgement(self.name, level, what, self.hint if isinstance(self.hint, str) else self.hint(case))


def judge(case: Case) -> tuple[Judgement, ...]:
    """What there is to say about a node, in the order of the table."""
    return tuple(found for check in CHECKS if (found := check.judge(case)))


def together(nodes: Mapping[str, Facts], order: Order) -> Iterator[tuple[str, Judgement]]:
    """What shows only when the nodes are laid side by side: (node, or empty for all of them, judgement)."""
    yield from _copied(nodes)
    if nodes.keys() == {node.name for node in order.nodes} and (found := _profiles_memory(nodes, order)):
        yield "", found


def _profiles_memory(nodes: Mapping[str, Facts], order: Order) -> Judgement | None:
    there = sum(nodes[node.name].memory - _LEAST[node.role] for node in order.nodes)
    wanted = sum(profile.memory for profile in order.profiles)
    if wanted <= there:
        return None
    names = ", ".join(profile.name for profile in order.profiles)
    what = f"the profiles {names} take {wanted} MiB of memory, and the nodes have {max(there, 0)} to spare"
    return Judgement("profiles-memory", "warning", what, "leave one out, or add a node")


def _copied(nodes: Mapping[str, Facts]) -> Iterator[tuple[str, Judgement]]:
    same: dict[str, list[str]] = defaultdict(list)
    for name, facts in nodes.items():
        same[facts.machine_id].append(name)
    for machine_id, names in same.items():
        for name in names if machine_id and len(names) > 1 else ():
            others = ", ".join(other for other in names if other != name)
            yield (
                name,
                Judgement(
                    "machine-id",
                    "warning",
                    f"{name} has the machine-id of {others}: one card was copied from the other",
                    f"on {name}: rm /etc/machine-id && systemd-machine-id-setup, then restart it",
                ),
            )


# What is wrong, a function a row of the table below.


def _architecture(case: Case) -> str:
    served = {"/".join(platform.split("/")[:2]) for platform in case.order.crate.platforms}
    if not served or f"linux/{case.facts.architecture}" in served:
        return ""
    return f"it is linux/{case.facts.architecture}, and the crate is for {', '.join(sorted(served))}"


def _architecture_hint(case: Case) -> str:
    return f'build the crate with "linux/{case.facts.architecture}" among its platforms, or use another board'


def _modules(case: Case) -> str:
    missing = [name for name in MODULES if case.facts.modules.get(name, "missing") == "missing"]
    return f"kernel {case.facts.kernel} has no {', '.join(missing)}" if missing else ""


def _modules_hint(case: Case) -> str:
    first = "restart it if its kernel was upgraded since it started; else "
    match case.facts.system:
        case "raspberry":
            return f"{first}install linux-image-rpi-v8 (or rpi-update's kernel with modules) from the crate"
        case "ubuntu":
            board = "raspi" if any("firmware" in path for path in case.facts.boot_files) else case.facts.kernel
            return f"{first}apt-get install linux-modules-extra-{board}"
        case "armbian":
            return f"{first}install a current linux-image of this board's family: legacy kernels lack them"
        case "arch":
            return f"{first}pacman -S linux-aarch64 (or linux-rpi), and restart it"
    return f"{first}apt-get install linux-image-{case.facts.architecture}"


def _filter(case: Case) -> str:
    return "its kernel filters no packets: neither nf_tables nor ip_tables" if case.facts.filter == "missing" else ""


def _firewall(case: Case) -> str:
    if case.facts.filter != "kernel" or not case.order.base.firewall:
        return ""
    return "it has neither nft nor iptables, so 8472/udp, 10250 and 2379-2380 stay open to every network it is on"


def _controllers(case: Case) -> str:
    missing = sorted({"cpu", "cpuset", "pids"} - case.facts.cgroups)
    return f"its kernel has no cgroup controllers {', '.join(missing)}" if missing else ""


def _memory_cgroup(case: Case) -> str:
    return "" if "memory" in case.facts.cgroups else "the memory cgroup is off, and the kubelet does not start without"


def _memory_cgroup_fixable(case: Case) -> bool:
    known = boot_file(case.facts.boot_files)
    return case.order.base.reboot and known is not None and known.edit is not None


def _clock(case: Case) -> str:
    skew = case.facts.clock - case.now
    if abs(skew) <= SKEW:
        return ""
    return f"its clock is {_span(abs(skew))} {'ahead' if skew > 0 else 'behind'}, so TLS and apt would refuse the crate"


def _memory(case: Case) -> str:
    least = _LEAST[case.node.role]
    if case.facts.memory >= least:
        return ""
    return f"it has {case.facts.memory} MiB of memory, and {_role(case)} needs {least}"


def _little_memory(case: Case) -> str:
    wanted = 1800 if case.node.role == "server" else 900
    if _memory(case) or case.facts.memory >= wanted:
        return ""
    return f"it has {case.facts.memory} MiB of memory; {_role(case)} is at ease with {wanted}"


def _disk(case: Case) -> str:
    least = 300 if case.facts.k3s else 2000
    return "" if case.facts.free >= least else f"{case.facts.free} MiB are free under /var/lib, of {least} needed"


def _little_disk(case: Case) -> str:
    wanted = 2000 if case.facts.k3s else 6000
    if _disk(case) or case.facts.free >= wanted:
        return ""
    return f"{case.facts.free} MiB are free under /var/lib; images and volumes want {wanted}"


def _slow_disk(case: Case) -> str:
    names = {"card": "an SD card", "disk": "a rotating disk"}
    if case.node.role != "server" or case.facts.disk not in names:
        return ""
    return f"the cluster's database will lie on {names[case.facts.disk]}: slow, and a card wears"


def _swap(case: Case) -> str:
    return f"it swaps to {', '.join(case.facts.swap)}: memory limits of pods do not hold" if case.facts.swap else ""


def _ports(case: Case) -> str:
    if case.facts.k3s_units and case.facts.k3s_ours:
        return ""
    wanted = {("tcp", 10250), ("udp", 8472), ("tcp", 10248), ("tcp", 10249), ("tcp", 10256)}
    if case.node.role == "server":
        wanted |= {("tcp", number) for number in (6443, 6444, 2379, 2380, 10257, 10259)}
    if case.order.k3s and case.order.k3s.embedded_registry:
        wanted.add(("tcp", 5001))
    taken = [
        f"{port.number}/{port.protocol}" + (f" ({port.program})" if port.program else "")
        for port in case.facts.ports
        if (port.protocol, port.number) in wanted
    ]
    return f"in use already: {', '.join(taken)}" if taken else ""


def _left_over(case: Case) -> str:
    if case.facts.left_overs:
        return f"a cluster of {', '.join(case.facts.left_overs)} is left on it"
    if case.facts.k3s_units and not case.facts.k3s_ours:
        return "a k3s that somebody else installed is left on it"
    return ""


def _left_over_hint(case: Case) -> str:
    removes = {"kubeadm": "kubeadm reset -f", "MicroK8s": "snap remove --purge microk8s", "k0s": "k0s reset"}
    names = case.facts.left_overs
    commands = [removes.get(name, f"the uninstall script of {name}") for name in names] or [
        "/usr/local/bin/k3s-uninstall.sh" if "k3s" in case.facts.k3s_units else "/usr/local/bin/k3s-agent-uninstall.sh"
    ]
    return f"what is on it would be lost, so remove it yourself: {'; '.join(commands)}"


def _other_role(case: Case) -> str:
    unit, other = ("k3s-agent", "an agent") if case.node.role == "server" else ("k3s", "a server")
    return f"it is {other} of this crate, and site.toml makes it the other" if _ours(case, unit) else ""


def _ours(case: Case, unit: str) -> bool:
    return unit in case.facts.k3s_units and case.facts.k3s_ours


def _route(case: Case) -> str:
    return "" if case.facts.routes else "it has no default route, and k3s does not start without one"


def _hostname(case: Case) -> str:
    name = case.facts.hostname
    return "" if name == case.node.name else f"it calls itself {name or 'nothing'}, and site.toml {case.node.name}"


def _address(case: Case) -> str:
    if not case.facts.addresses or case.node.address in case.facts.addresses:
        return ""
    return f"none of its interfaces has {case.node.address}: the cluster may choose another address"


def _nameserver(case: Case) -> str:
    return "" if case.facts.nameservers else "it has no nameserver"


def _unanswered(case: Case) -> str:
    return "" if case.order.base.resolver else _nameserver(case)


def _role(case: Case) -> str:
    return "a server" if case.node.role == "server" else "an agent"


def _span(seconds: float) -> str:
    for size, name in ((86400 * 365, "years"), (86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} seconds"


_BASE = "base puts it right"

CHECKS = (
    Check(
        "init",
        "fatal",
        lambda case: "" if case.facts.systemd else "it does not run systemd",
        "set it up with a system that does: Debian, Raspberry Pi OS, Ubuntu, Armbian or Arch Linux ARM",
    ),
    Check("architecture", "fatal", _architecture, _architecture_hint),
    Check(
        "packages",
        "warning",
        lambda case: "" if case.facts.programs & {"apt-get", "pacman"} else "it has neither apt nor pacman",
        "packages of the crate cannot be installed on it",
    ),
    Check(
        "read-only",
        "fatal",
        lambda case: "its root file system is read-only" if case.facts.read_only else "",
        "switch its write protection off (raspi-config: overlay file system); if there is none, its card is dying",
    ),
    Check("modules", "fatal", _modules, _modules_hint),
    Check("packet-filter", "fatal", _filter, _modules_hint),
    Check("firewall", "warning", _firewall, "put nftables into packages under [base], and into the crate"),
    Check("cgroups", "fatal", _controllers, "it needs another kernel: these are switched on when it is built"),
    Check(
        "memory-cgroup",
        "fixable",
        _memory_cgroup,
        lambda case: remedy(case.facts.boot_files),
        _memory_cgroup_fixable,
    ),
    Check("clock", "fixable", _clock, _BASE),
    Check("memory", "fatal", _memory, "use a board with more memory"),
    Check("little-memory", "warning", _little_memory, "keep heavy profiles away from it"),
    Check("disk", "fatal", _disk, "free some (apt-get clean, journalctl --vacuum-size=50M) or use a larger one"),
    Check("little-disk", "warning", _little_disk, "use a larger one before it fills"),
    Check("disk-speed", "warning", _slow_disk, "put /var/lib/rancher on a solid-state disk"),
    Check("swap", "warning", _swap, "swapoff -a, and take it out of /etc/fstab (dphys-swapfile: systemctl disable it)"),
    Check("ports", "fatal", _ports, "stop what listens there"),
    Check("left-over", "fatal", _left_over, _left_over_hint),
    Check("role", "fatal", _other_role, lambda case: f"crate-appliance reset --node {case.node.name} first"),
    Check("route", "fixable", _route, _BASE, lambda case: bool(case.facts.links)),
    Check("hostname", "fixable", _hostname, _BASE),
    Check("address", "warning", _address, "give it that address, or write its own into site.toml"),
    Check("nameserver", "fixable", lambda case: _nameserver(case) if case.order.base.resolver else "", _BASE),
    Check("names", "warning", _unanswered, "name one in its /etc/resolv.conf: the crate answers no names here"),
)


def worst(found: Sequence[Judgement]) -> Judgement | None:
    """The first fatal one, if any."""
    return next((each for each in found if each.level == "fatal"), None)

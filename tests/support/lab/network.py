"""The lab's network: one bridge in a namespace of its own, a cable to every machine, and a count of what wants out.

There is no way out: the bridge knows no other network. A packet that is meant for somewhere else is counted twice,
where it leaves its machine and again if it reaches the bridge, so it is seen too when it dies in a machine's own
default route.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.support.tools import tool

SUBNET = "10.77.0.0/24"
APPLIANCE = "10.77.0.1"
VISITOR = "10.77.0.254"
"""The hub's own address when the appliance is a machine: somebody's laptop, plugged into the crate's network."""
_INSIDE = f"{SUBNET}, 10.42.0.0/16, 10.43.0.0/16, 127.0.0.0/8, 169.254.0.0/16, 224.0.0.0/4, 255.255.255.255"
_INSIDE6 = "::1, fe80::/10, ff00::/8"
_TABLE = """
table {family} lab {{
  set tried {{ type ipv4_addr; flags dynamic; size 4096; }}
  set tried6 {{ type ipv6_addr; flags dynamic; size 4096; }}
  counter escaped {{ }}
  chain leaving {{
    type filter hook {hook} priority {priority}; policy accept;
    {route} {ip} ip daddr != {{ {inside} }} counter name escaped add @tried {{ ip daddr }}
    {route} {ip6} ip6 daddr != {{ {inside6} }} counter name escaped add @tried6 {{ ip6 daddr }}
  }}
}}
"""
_MACHINE = _TABLE.format(
    family="inet",
    hook="postrouting",
    priority=300,
    route='oifname != "lo"',
    ip="",
    ip6="",
    inside=_INSIDE,
    inside6=_INSIDE6,
)
_BRIDGE = _TABLE.format(
    family="bridge",
    hook="prerouting",
    priority=-300,
    route="",
    ip="ether type ip",
    ip6="ether type ip6",
    inside=_INSIDE,
    inside6=_INSIDE6,
)
_ETC = Path("/etc/netns")


def run(*words: str, given: str | None = None) -> str:
    done = subprocess.run([tool(words[0]), *words[1:]], input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


class Network:
    """The namespaces of one lab, all named after it: `<lab>-hub` and `<lab>-<machine>`."""

    def __init__(self, lab: str) -> None:
        self.lab = lab
        self.hub = f"{lab}-hub"
        self._gone = 0  # packets counted by namespaces that a cold start has thrown away
        self._gone_to: set[str] = set()
        self._machines: list[str] = []

    def create(self, address: str, names: Iterable[tuple[str, str]]) -> None:
        """Makes the hub at `address`. `names` are (address, name) pairs that programs in the hub resolve."""
        run("ip", "netns", "add", self.hub)
        batch = (
            "link set lo up\nlink add br0 type bridge\n"
            f"addr add {address}/{SUBNET.partition('/')[2]} dev br0\nlink set br0 up\n"
        )
        run("ip", "-n", self.hub, "-batch", "-", given=batch)
        run("ip", "netns", "exec", self.hub, tool("nft"), "-f", "-", given=_MACHINE + _BRIDGE)
        folder = _ETC / self.hub  # `ip netns exec` puts these over those of /etc
        folder.mkdir(parents=True)
        (folder / "hosts").write_text("127.0.0.1 localhost\n" + "".join(f"{a} {name}\n" for a, name in names))
        (folder / "resolv.conf").write_text(f"nameserver {APPLIANCE}\noptions timeout:1 attempts:1\n")

    def namespace(self, machine: str) -> str:
        return f"{self.lab}-{machine}"

    def attach(self, machine: str, address: str) -> None:
        """A fresh namespace for `machine`, with eth0 at `address` on the bridge."""
        name = self.namespace(machine)
        run("ip", "netns", "add", name)
        self._machines.append(machine)
        # as a board's, its hardware address survives the power
        mac = "02:00:" + ":".join(f"{int(part):02x}" for part in address.split("."))
        cable = f"link add v{machine} netns {self.hub} type veth peer name eth0 address {mac} netns {name}\n"
        run("ip", "-batch", "-", given=cable)
        run("ip", "-n", self.hub, "link", "set", f"v{machine}", "master", "br0", "up")
        batch = f"link set lo up\naddr add {address}/{SUBNET.partition('/')[2]} dev eth0\nlink set eth0 up\n"
        run("ip", "-n", name, "-batch", "-", given=batch)
        run("ip", "netns", "exec", name, tool("nft"), "-f", "-", given=_MACHINE)

    def detach(self, machine: str) -> None:
        """Throws the namespace of `machine` away, as the power going does; what it counted is kept."""
        packets, where = _counted(self.namespace(machine))
        self._gone += packets
        self._gone_to |= where
        self._machines.remove(machine)
        run("ip", "-n", self.hub, "link", "del", f"v{machine}")  # with its namespace, it would go at leisure
        run("ip", "netns", "del", self.namespace(machine))

    def escaped(self) -> tuple[int, list[str]]:
        """How many packets wanted to leave the lab, and where to.

        Raises `RuntimeError` when a machine has lost its counter, because somebody flushed its whole ruleset.
        """
        total, where = self._gone, set(self._gone_to)
        for name in (self.hub, *map(self.namespace, self._machines)):
            packets, to = _counted(name)
            total += packets
            where |= to
        return total, sorted(where)


def _counted(namespace: str) -> tuple[int, set[str]]:
    listed = json.loads(run("ip", "netns", "exec", namespace, tool("nft"), "-j", "list", "ruleset"))["nftables"]
    counters = [entry["counter"] for entry in listed if entry.get("counter", {}).get("table") == "lab"]
    if not counters:
        raise RuntimeError(f"{namespace} has lost the lab's counter: the whole nftables ruleset was flushed there")
    packets = sum(int(counter["packets"]) for counter in counters)
    sets = [entry["set"] for entry in listed if entry.get("set", {}).get("table") == "lab"]
    return packets, {str(_address(element)) for each in sets for element in each.get("elem", ())}


def _address(element: object) -> object:
    while isinstance(element, dict):
        element = element.get("elem", element.get("val"))
    return element


def remove(lab: str) -> None:
    """Deletes every namespace of `lab` that there is."""
    for line in run("ip", "netns", "list").splitlines():
        name = line.split()[0] if line else ""
        if re.fullmatch(rf"{re.escape(lab)}-[a-z0-9-]+", name):
            run("ip", "netns", "del", name)
    folder = _ETC / f"{lab}-hub"
    for path in folder.glob("*"):
        path.unlink()
    if folder.is_dir():
        folder.rmdir()

"""A site file to begin with, whose comments say what each key is for: from then on it is kept in an editor."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

_SPARE = 21  # addresses for MetalLB: as many services may have one of their own
_COLUMN = 34  # where comments begin
_BELOW_TOP = 34  # routers and the like often have the highest addresses


@dataclass(frozen=True)
class Machine:
    """A node to be."""

    name: str
    address: str
    role: str


@dataclass(frozen=True)
class Answers:
    """What `site init` was told, or took as it is usual."""

    name: str
    address: str
    network: str
    domain: str = "crate.internal"
    user: str = "root"
    sudo: bool = False
    profiles: Sequence[str] = ()
    range: str = ""
    nodes: Sequence[Machine] = ()


def text(answers: Answers) -> str:
    """The file."""
    parts = [_SITE.format(**{key: json.dumps(value) for key, value in vars(answers).items() if key in _IN_SITE})]
    sudo = "sudo = true" if answers.sudo else "# sudo = true                  # when the user is not root"
    parts.append(_SSH.format(user=json.dumps(answers.user), sudo=sudo))
    parts.append(_CLUSTER.format(profiles=json.dumps(list(answers.profiles))))
    parts.append(_BASE)
    if "metallb" in answers.profiles:
        parts.append(_METALLB.format(range=json.dumps(answers.range)))
    parts.append(_NODES)
    parts += [_NODE.format(name=one.name, address=one.address, role=one.role) for one in answers.nodes]
    return "\n".join(_aligned(line) for line in "\n".join(parts).split("\n"))


def _aligned(line: str) -> str:
    """With the comment behind a value in the same column everywhere."""
    value, mark, comment = line.rpartition("  # ")
    return f"{value.rstrip():<{_COLUMN}}# {comment}" if mark and len(value.rstrip()) < _COLUMN - 1 else line


def spare_range(network: IPv4Network, taken: Collection[IPv4Address]) -> str:
    """The highest run of addresses in which nobody is, for MetalLB; empty when the network is too full or small."""
    top = int(network.broadcast_address) - min(_BELOW_TOP, network.num_addresses // 8)
    length = min(_SPARE, network.num_addresses // 8)
    if length < 1:
        return ""
    used = sorted({int(address) for address in taken}, reverse=True)
    last = top
    for address in used:
        if last - length + 1 <= address <= last:
            last = address - 1
    first = last - length + 1
    if first <= int(network.network_address):
        return ""
    return f"{IPv4Address(first)}-{IPv4Address(last)}"


def role(number: int, servers: int) -> str:
    """Of the `number`th node, counted from 0."""
    return "server" if number < servers else "agent"


_IN_SITE = {"name", "address", "network", "domain"}
_SITE = """\
# The machines of this site, and what they shall become. docs/site.md explains every key.
# crate-appliance site check looks it over; crate-appliance install CRATE --site FILE makes it so, as often as you like.

[site]
name = {name}
address = {address}            # the appliance (this machine), as the nodes reach it
network = {network}         # the network that they share
domain = {domain}      # nodes are found as NAME.DOMAIN, applications as NAME.apps.DOMAIN
names = true                   # the appliance answers names (DNS) for the nodes
time = true                    # … and tells them the time (NTP)
# apps = "10.77.0.11"          # where applications are found, if not at MetalLB's first address or the first server
"""
_SSH = """\
[ssh]
user = {user}
{sudo}
# key = "~/.ssh/id_ed25519"    # a key of yours; without it the appliance makes one, and nodes pin installs it
"""
_CLUSTER = """\
[cluster]
profiles = {profiles}          # what runs on it; the crate brings them
# k3s = "v1.36.4+k3s1"         # which release; without it the newest in the crate
# embedded-registry = true     # nodes hand images to each other
"""
_BASE = """\
[base]
packages = []                  # packages of the crate for every node, such as "nfs-common"
foreign-sources = "disable"    # package sources that point to the internet: "disable" (reset undoes it) or "keep"
reboot = true                  # a node may be rebooted, when its boot command line has to change
firewall = true                # keep the cluster's own ports inside the network
"""
_METALLB = """\
[profiles.metallb]
range = {range}   # addresses of the network that nobody has: services get theirs from here
"""
_NODES = """\
# One table a machine. role: "server" (1, or 3 that stand in for each other) or "agent".
# crate-appliance nodes add NAME ADDRESS writes one and meets the machine.
"""
_NODE = """\
[[nodes]]
name = "{name}"
address = "{address}"
role = "{role}"
"""

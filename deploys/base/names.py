"""Names on a node: its own, the crate's, and who answers for all others. Pure texts; `wave.py` puts them in place."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deploys.order import Node, Order
from deploys.preflight.facts import Facts

KUBELET_RESOLVER = "/etc/buzzcrate/resolv.conf"
CLOUD = "/etc/cloud/cloud.cfg.d/99-buzzcrate.cfg"
_OURS = "# buzzcrate"


@dataclass(frozen=True)
class Setting:
    """A file to be kept, the command after which it counts, and that for when it is back (the same, if empty)."""

    name: str
    path: str
    content: str
    then: str = ""
    undone: str = ""


def hosts(text: str, order: Order, node: Node) -> str:
    """/etc/hosts with this node's own name and the crate's; a line that has the node's name already stays as it is."""
    kept = [line for line in text.splitlines() if not line.rstrip().endswith(_OURS)]
    named = {word for line in kept for word in line.partition("#")[0].split()[1:]}
    wanted = [(order.crate.address, [order.crate.name])]
    if node.name not in named:
        wanted.append((node.address, [f"{node.name}.{order.base.domain}", node.name]))
    ours = [f"{address} {' '.join(names)} {_OURS}" for address, names in wanted]
    return "\n".join([*kept, *ours]) + "\n"


def resolv_conf(order: Order, nameservers: Sequence[str]) -> str:
    """A resolv.conf that names `nameservers`."""
    lines = [*(f"nameserver {address}" for address in nameservers), f"search {order.base.domain}"]
    return "\n".join([*lines, "options timeout:2 attempts:2"]) + "\n"


def for_kubelet(order: Order, facts: Facts) -> Setting:
    """What pods get to ask. Never without a nameserver: k3s would write a public one instead."""
    own = [address for address in facts.nameservers if not ipaddress.ip_address(address.partition("%")[0]).is_loopback]
    asked = [order.crate.address] if order.base.resolver or not own else own
    return Setting("Resolver of pods", KUBELET_RESOLVER, resolv_conf(order, asked))


def resolver(order: Order, facts: Facts) -> Iterator[Setting]:
    """Makes the appliance this node's resolver, by way of whoever writes resolv.conf there."""
    address = order.crate.address
    if "systemd-resolved" in facts.active:
        # `~.`: for every name, whatever a link's DHCP server says
        text = f"[Resolve]\nDNS={address}\nFallbackDNS=\nDomains={order.base.domain} ~.\nDNSSEC=no\nMulticastDNS=no\n"
        yield Setting(
            "Resolver (systemd-resolved)",
            "/etc/systemd/resolved.conf.d/buzzcrate.conf",
            text,
            "systemctl restart systemd-resolved",
        )
        if "systemd/resolve" in facts.resolver_link:
            return
    if "NetworkManager" in facts.active:
        yield Setting(
            "NetworkManager leaves resolv.conf alone",
            "/etc/NetworkManager/conf.d/90-buzzcrate.conf",
            "[main]\ndns=none\nsystemd-resolved=false\n",
            "systemctl reload NetworkManager",
        )
    if "/etc/dhcp/dhclient-enter-hooks.d" in facts.paths:
        yield Setting(
            "dhclient leaves resolv.conf alone",
            "/etc/dhcp/dhclient-enter-hooks.d/buzzcrate",
            "make_resolv_conf() { :; }\n",
        )
    yield Setting("Resolver", "/etc/resolv.conf", resolv_conf(order, [address]))


def cloud() -> str:
    """cloud-init would put the image's names back at every boot."""
    return "preserve_hostname: true\nmanage_etc_hosts: false\n"


def dhcpcd(text: str) -> str:
    """dhcpcd.conf with resolv.conf left alone. The option holds for all interfaces when it stands first."""
    line = f"nohook resolv.conf {_OURS}"
    return text if line in text.splitlines() else f"{line}\n{text}"

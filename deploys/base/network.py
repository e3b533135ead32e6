"""A default route where there is none, and a fence around the ports that no stranger may reach. Pure texts.

k3s does not start without a default route; any will do, so it gets one to a device that leads nowhere, with a metric
that any real one beats. VXLAN is not authenticated, kubelet and etcd are nobody's business: their ports answer to the
crate's own network, the nodes and the pods.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from deploys.order import Order
from deploys.preflight.facts import Facts

DEVICE = "buzzcrate0"
ROUTE_UNIT = "buzzcrate-route.service"
FIREWALL_UNIT = "buzzcrate-firewall.service"
FIREWALL_FILE = "/etc/buzzcrate/firewall"
# 203.0.113.0/24 is for documentation (RFC 5737): nobody's address
_ADDRESS, _GATEWAY = "203.0.113.254/31", "203.0.113.255"
_TCP = (2379, 2380, 10250)
_UDP = (8472,)
_POD_NETWORKS = {"cluster-cidr": "10.42.0.0/16", "service-cidr": "10.43.0.0/16"}


def needs_route(facts: Facts) -> bool:
    """Whether there is no default route but ours, if that."""
    return all(f"dev {DEVICE}" in f"{route} " for route in facts.routes)


def route_unit(kind: str) -> str:
    """The unit that makes the route with a device of `kind` (dummy or bridge)."""
    return f"""\
[Unit]
Description=Default route that leads nowhere, for a network without one (BuzzCrate)
DefaultDependencies=no
After=network-pre.target systemd-modules-load.service
Before=network.target k3s.service k3s-agent.service
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=-/bin/sh -c 'ip link add {DEVICE} type {kind}'
ExecStart=/bin/sh -c 'ip address replace {_ADDRESS} dev {DEVICE} && ip link set {DEVICE} up'
ExecStart=/bin/sh -c 'ip route replace default via {_GATEWAY} dev {DEVICE} metric 1000'
ExecStop=-/bin/sh -c 'ip link delete {DEVICE}'

[Install]
WantedBy=multi-user.target
"""


def friends(order: Order) -> tuple[str, ...]:
    """Networks and addresses that may reach the fenced ports, in the order's order, none inside another."""
    settings = order.k3s.settings if order.k3s else {}
    pods = [str(settings.get(key, usual)) for key, usual in _POD_NETWORKS.items()]
    wanted = [order.base.network, *pods, order.crate.address, *(node.address for node in order.nodes)]
    networks = [ipaddress.ip_network(each.strip(), strict=False) for one in wanted for each in one.split(",")]
    kept = [
        network
        for index, network in enumerate(networks)
        if network not in networks[:index]
        and not any(
            network != other and network.version == other.version and network.subnet_of(other)  # type: ignore[arg-type]
            for other in networks
        )
    ]
    return tuple(str(network) for network in kept)


def nftables(networks: Sequence[str]) -> str:
    """A file for nft, replaced as a whole and at once."""
    by_version = _by_version(networks)
    tcp, udp = ", ".join(map(str, _TCP)), ", ".join(map(str, _UDP))
    rules = [
        "iif lo accept",
        *(
            f"{family} saddr {{ {', '.join(by_version[version])} }} accept"
            for version, family in ((4, "ip"), (6, "ip6"))
        ),
        f"tcp dport {{ {tcp} }} drop",
        f"udp dport {{ {udp} }} drop",
    ]
    lines = "".join(f"    {rule}\n" for rule in rules)
    return (
        "table inet buzzcrate\ndelete table inet buzzcrate\ntable inet buzzcrate {\n  chain input {\n"
        f"    type filter hook input priority -10; policy accept;\n{lines}  }}\n}}\n"
    )


def iptables(networks: Sequence[str]) -> str:
    """The same for iptables, as a script for sh: a chain of our own that INPUT goes through first."""
    by_version = _by_version(networks)
    lines = ["set -e"]
    for program, version in (("iptables", 4), ("ip6tables", 6)):
        if version == 6:
            lines.append("command -v ip6tables >/dev/null && ip6tables -w -S INPUT >/dev/null 2>&1 || exit 0")
        lines += [
            f"{program} -w -N BUZZCRATE 2>/dev/null || {program} -w -F BUZZCRATE",
            f"{program} -w -A BUZZCRATE -i lo -j RETURN",
            *(f"{program} -w -A BUZZCRATE -s {network} -j RETURN" for network in by_version[version]),
            *(f"{program} -w -A BUZZCRATE -p tcp --dport {port} -j DROP" for port in _TCP),
            *(f"{program} -w -A BUZZCRATE -p udp --dport {port} -j DROP" for port in _UDP),
            f"{program} -w -C INPUT -j BUZZCRATE 2>/dev/null || {program} -w -I INPUT -j BUZZCRATE",
        ]
    return "\n".join(lines) + "\n"


def firewall_unit(program: str) -> str:
    """The unit that puts the fence up with `program` (nft or iptables)."""
    if program == "nft":
        start, stop = f"nft -f {FIREWALL_FILE}", "nft delete table inet buzzcrate"
    else:
        start = f"sh {FIREWALL_FILE}"
        stop = 'for p in iptables ip6tables; do for w in "-D INPUT -j" -F -X; do $$p -w $$w BUZZCRATE; done; done'
    return f"""\
[Unit]
Description=VXLAN, kubelet and etcd answer to the crate's own network only (BuzzCrate)
DefaultDependencies=no
After=systemd-modules-load.service nftables.service
Before=network.target k3s.service k3s-agent.service
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c '{start}'
ExecStop=-/bin/sh -c '{stop}'

[Install]
WantedBy=multi-user.target
"""


def _by_version(networks: Sequence[str]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {4: [], 6: ["::1/128", "fe80::/10"]}
    for network in networks:
        found[ipaddress.ip_network(network).version].append(network)
    return found

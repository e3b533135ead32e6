"""Nodes on paper: what the reading of a healthy board says, and how to make it say something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deploys.order import Order
from deploys.preflight.facts import Facts, lines
from deploys.preflight.judging import Case

NOW = 1_800_000_000
HEALTHY = f"""\
clock {NOW}
machine aarch64
kernel 6.6.31-v8
hostname n1
user 0
packages-for arm64
os ID debian
os VERSION_CODENAME bookworm
flavour raspberry
init systemd
machine-id 0123456789abcdef0123456789abcdef
memory MemTotal: 3884000
module overlay loaded
module br_netfilter loadable
module nf_conntrack builtin
module vxlan loadable
filter nft
link dummy
link bridge
cgroup-fs cgroup2fs
cgroup cpu
cgroup cpuset
cgroup memory
cgroup pids
cmdline console=tty1 root=PARTUUID=1 rootwait
boot /boot/firmware/cmdline.txt
disk 20000000 30000000 /dev/mmcblk0p2
block 0 /sys/devices/platform/emmc2bus/nvme
port tcp 22 sshd
route default via 10.77.0.1 dev eth0
address lo 127.0.0.1/8
address eth0 10.77.0.11/24
nameserver 10.77.0.1
program apt-get
program nft
source /etc/apt/sources.list
"""


def facts(more: str = "", *, without: Sequence[str] = ()) -> Facts:
    """A healthy board's, less the lines that begin with one of `without`, and `more` lines."""
    kept = [line for line in HEALTHY.splitlines() if not line.startswith(tuple(without) or ("\0",))]
    return Facts(lines([*kept, *more.splitlines()]))


def order(changes: Mapping[str, object] | None = None, *, role: str = "server") -> Order:
    """An order for one node; `changes` go by dotted name (`base.reboot`)."""
    document: dict[str, dict[str, object]] = {
        "ssh": {"key": "k", "known_hosts": "h"},
        "crate": {
            "address": "10.77.0.1",
            "authority": "PEM",
            "created": 0,
            "platforms": ["linux/arm64", "linux/amd64"],
            "hosts": [],
        },
        "base": {"domain": "crate.internal", "network": "10.77.0.0/24"},
    }
    for name, value in (changes or {}).items():
        part, _, key = name.partition(".")
        document[part][key] = value
    nodes = [
        {"name": "n1", "address": "10.77.0.11", "role": role},
        {"name": "n2", "address": "10.77.0.12", "role": "agent"},
    ]
    return Order.model_validate({**document, "nodes": nodes})


def case(
    more: str = "",
    *,
    without: Sequence[str] = (),
    changes: Mapping[str, object] | None = None,
    role: str = "server",
    now: float = NOW,
) -> Case:
    wanted = order(changes, role=role)
    return Case(facts(more, without=without), wanted, wanted.nodes[0], now)

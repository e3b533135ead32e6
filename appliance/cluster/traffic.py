"""How much this machine sent on the nodes' network, by the kernel's own count (proc(5), /proc/net/dev)."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path

from appliance.site.networks import networks

_SENT = 8  # the column of bytes sent, behind the interface's name


def counter(network: IPv4Network) -> Callable[[], int | None]:
    """Bytes sent so far on the interface to `network`; None where there is none."""
    interface = networks().get(network, "")

    def read() -> int | None:
        for line in Path("/proc/net/dev").read_text().splitlines():
            name, colon, counts = line.strip().partition(":")
            if colon and name == interface:
                return int(counts.split()[_SENT])
        return None

    return read

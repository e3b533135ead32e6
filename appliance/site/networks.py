"""Which networks this machine is on, read from the kernel's tables: no program, no library."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from appliance import addresses

_UP, _GATEWAY = 1, 2  # route flags (linux/route.h)


def networks(proc: Path = Path("/proc/net")) -> dict[IPv4Network, str]:
    """The networks that are reached without a router, and the interface of each."""
    found: dict[IPv4Network, str] = {}
    try:
        lines = (proc / "route").read_text().splitlines()[1:]
    except OSError:  # no /proc in a bare chroot
        return {}
    for line in lines:
        words = line.split()
        interface, flags = words[0], int(words[3], 16)
        if flags & _UP and not flags & _GATEWAY and int(words[7], 16):
            # the kernel prints both as a machine word whose bytes are in network order
            base, mask = (socket.inet_ntoa(struct.pack("=I", int(words[column], 16))) for column in (1, 7))
            found[IPv4Network((base, mask))] = interface
    return found


def network_of(address: IPv4Address, proc: Path = Path("/proc/net")) -> IPv4Network | None:
    """The smallest of this machine's networks that `address` is in."""
    return max((one for one in networks(proc) if address in one), key=lambda one: one.prefixlen, default=None)


def own_addresses() -> list[IPv4Address]:
    """The addresses of this machine, loopback aside."""
    found = [IPv4Address(text) for text in addresses.local_addresses() if ":" not in text]
    return [address for address in found if not address.is_loopback]

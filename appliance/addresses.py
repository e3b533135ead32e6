"""Where the daemon listens, and under which addresses of this machine it is found."""

from __future__ import annotations

import ipaddress
import itertools
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from appliance.errors import CannotListen

if TYPE_CHECKING:  # what asks for addresses need not wait for the web server
    from aiohttp import web

_FORM = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.\-]*):(\d{1,5})")
_PORT = re.compile(r":\d*$")


@dataclass(frozen=True, slots=True)
class Address:
    """A host, or an address without brackets, and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """`HOST:PORT`, `[IPv6]:PORT`, or `:PORT` for every IPv4 address. Raises `CannotListen`."""
        form = _FORM.fullmatch(text)
        if form is None or not 0 < int(form[2]) < 65536:
            raise CannotListen(f"{text!r} is no address to listen at", hint="write it like 0.0.0.0:5000 or [::]:5000")
        return cls(form[1].strip("[]") or "0.0.0.0", int(form[2]))  # noqa: S104 - the crate is there to be reached

    @property
    def everywhere(self) -> bool:
        return self.host in {"0.0.0.0", "::"}  # noqa: S104

    def as_reached_by(self, request: web.Request) -> str:
        """`host:port` for a client that reached `request` on this machine; empty when it would not be reached there."""
        transport, asked = request.transport, request.headers.get("Host", "")
        if transport is None or not asked:
            return ""
        reached = transport.get_extra_info("sockname")[0]
        if not self.everywhere and reached != self.host:
            return ""
        return f"{_PORT.sub('', asked)}:{self.port}"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def local_addresses(proc: Path = Path("/proc/net")) -> list[str]:
    """The addresses of this machine, IPv4 and then IPv6, without link-local ones (they need a zone to be reached)."""
    found = {"127.0.0.1"}
    lines = _lines(proc / "fib_trie")
    for before, line in itertools.pairwise(lines):
        # an address line `|-- 10.0.0.1` is this machine's own when `/32 host LOCAL` follows it
        if "/32 host LOCAL" in line:
            found.add(before.split()[-1])
    for line in _lines(proc / "if_inet6"):
        found.add(str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))))
    addresses = sorted((ipaddress.ip_address(text) for text in found), key=lambda address: (address.version, address))
    return [str(address) for address in addresses if not address.is_link_local]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:  # no /proc in a bare chroot, or no IPv6
        return []


def host_names() -> list[str]:
    """What this machine calls itself: its name, and the name as mDNS announces it."""
    name = socket.gethostname().lower().partition(".")[0]
    return [name, f"{name}.local"]

"""Who else is on the network and speaks ssh: every address is knocked at once, nothing is sent but silence."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from console.visible import visible

_AT_ONCE = 256
_SECONDS = 1.0  # for a machine on the same network to answer, and then to say what it speaks
LARGEST = 4096  # addresses; more are not one room's network


@dataclass(frozen=True)
class Neighbour:
    """A machine that answered: `banner` is how its ssh introduces itself (RFC 4253, 4.2)."""

    address: IPv4Address
    banner: str


async def scan(network: IPv4Network, port: int = 22) -> list[Neighbour]:
    """The machines of `network` whose ssh answers, by address. At most `LARGEST` addresses are tried."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def knock(address: IPv4Address) -> Neighbour | None:
        async with slots:
            banner = await _banner(address, port)
        return Neighbour(address, banner) if banner else None

    hosts = [address for address, _ in zip(network.hosts(), range(LARGEST), strict=False)]
    found = await asyncio.gather(*map(knock, hosts))
    return [one for one in found if one]


async def _banner(address: IPv4Address, port: int) -> str:
    try:
        async with asyncio.timeout(_SECONDS):
            reader, writer = await asyncio.open_connection(str(address), port)
    except (OSError, TimeoutError):
        return ""
    try:
        async with asyncio.timeout(_SECONDS):
            line = (await reader.readline()).decode(errors="replace").strip()
    except (OSError, TimeoutError, ValueError):
        return ""
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    return visible(line) if line.startswith("SSH-") else ""

"""The nodes of the site: what they are, how the last run left them, and whether they answer now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from appliance.web.runs import RunFinding, has_site, latest_run

_PATIENCE = 1.5  # seconds in which a node takes a connection, or does not answer


@dataclass(frozen=True, slots=True)
class Node:
    """`state` is how the last run left it (new before the first), `answers` whether its ssh port does now.

    `memory` and what is `free` on its `disk` (card, emmc, usb, disk or solid) are in MiB, as of the last run; 0 where
    unknown. `clock` is what the last run found about it.
    """

    name: str
    address: str
    port: int
    role: str
    state: str
    what: str
    hint: str
    version: str
    architecture: str
    system: str
    model: str
    memory: int
    disk: str
    free: int
    clock: str
    answers: bool | None = None


def known_nodes(root: Path) -> tuple[Node, ...]:
    """In the order of the site file; none without one. Not for the event loop's thread."""
    if not has_site(root):
        return ()
    from appliance.site.errors import NoSite, SiteInvalid  # noqa: PLC0415 - only a crate with a site needs the model
    from appliance.site.folder import SiteFolder  # noqa: PLC0415

    folder = SiteFolder(root)
    try:
        site = folder.in_force(draft=True)
    except (NoSite, SiteInvalid):
        return ()
    facts, run = folder.known_facts(), latest_run(root)
    left = {node.name: node for node in run.nodes} if run else {}
    findings = run.findings if run else ()
    found = []
    for node in site.nodes:
        known, last = facts.get(node.name, {}), left.get(node.name)
        found.append(
            Node(
                name=node.name,
                address=node.address,
                port=node.port,
                role=node.role,
                state=last.state if last else "known" if known else "new",
                what=last.what or last.said if last else "",
                hint=last.hint if last else "",
                version=str(known.get("k3s", "")),
                architecture=str(known.get("architecture", "")),
                system=str(known.get("os", "") or known.get("system", "")),
                model=str(known.get("model", "")),
                memory=_number(known, "memory"),
                disk=str(known.get("disk", "")),
                free=_number(known, "free"),
                clock=_clock(node.name, known, findings),
            )
        )
    return tuple(found)


async def answering(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The same, with whether each takes a connection at this moment."""
    answers = await asyncio.gather(*(_answers(node.address, node.port) for node in nodes))
    return tuple(replace(node, answers=answer) for node, answer in zip(nodes, answers, strict=True))


async def _answers(address: str, port: int) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE):
            _, writer = await asyncio.open_connection(address, port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


def _clock(name: str, known: dict[str, Any], findings: Sequence[RunFinding]) -> str:
    said = next((found.what for found in findings if found.node == name and found.check == "clock"), "")
    return said or ("right" if known else "")


def _number(known: dict[str, Any], key: str) -> int:
    value = known.get(key, 0)
    return value if isinstance(value, int) else 0

"""The machines of the site, and what the appliance does for them: names and time."""

from __future__ import annotations

import socket
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from appliance.doctor.findings import Seen, fatal, fine, warning
from appliance.site.folder import SiteFolder
from appliance.store import Store

_SECONDS = 2.0  # for a node on the same network to take a connection
_AT_ONCE = 16
_SSH = 22


def answer(store: Store) -> Iterator[Seen]:
    """Whether each node takes a connection where ssh is; nothing is said to it."""
    # read without checking it, because whoever looks every few minutes need not load what checks
    table = _table(SiteFolder(store.root))
    nodes = table.get("nodes", [])
    usual = table.get("ssh", {}).get("port", _SSH)
    places = [(node["address"], node.get("port", usual)) for node in nodes]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        reached = list(threads.map(_reached, places))
    for node, there in zip(nodes, reached, strict=True):
        if not there:
            yield warning(
                f"{node['name']} ({node['address']}) does not answer",
                "is it on, and its cable in? crate-appliance nodes check tells more",
            )
    if nodes and all(reached):
        yield fine(f"all {len(nodes)} nodes answer")


def ssh(store: Store) -> Iterator[Seen]:
    """Whether each node is who it was, and takes the site's key."""
    folder = SiteFolder(store.root)
    if not folder.site.exists():
        return
    from appliance.site import checking  # noqa: PLC0415 - paramiko; without a site nobody needs it
    from appliance.site.errors import Unreachable  # noqa: PLC0415

    site = folder.in_force(draft=True)
    reports = checking.check(site, folder, site.nodes)
    for report in reports:
        if report.problem and not isinstance(report.problem, Unreachable):  # that has been said already
            level = fatal if report.problem.exit_code == 3 else warning
            yield level(report.problem.what, report.problem.hint)
        if report.twins:
            yield warning(
                f"{report.node.name} has the host key of {', '.join(report.twins)}: a copy of the same card",
                "crate-appliance nodes check says how to set it right",
            )
    if all(report.problem is None for report in reports):
        yield fine(f"all {len(reports)} nodes take the site's key")


def names_and_time(store: Store) -> Iterator[Seen]:
    """Asks as a node would."""
    site = _table(SiteFolder(store.root)).get("site", {})
    if not site:
        return
    from appliance.names.probing import answers_names, stratum  # noqa: PLC0415
    from appliance.names.units import NAMES, TIME  # noqa: PLC0415

    address = site["address"]
    again = "or crate-appliance deploy sets it up again"
    if site.get("names", True):
        if answers_names(address):
            yield fine(f"names are answered at {address}")
        else:
            yield warning(f"no names are answered at {address}", f"systemctl restart {NAMES}, {again}")
    if site.get("time", True):
        if stratum(address):
            yield fine(f"time is served at {address}")
        else:
            yield warning(f"no time is served at {address}", f"systemctl restart {TIME}, {again}")


def _table(folder: SiteFolder) -> dict[str, Any]:
    try:
        return tomllib.loads(folder.site.read_text())
    except FileNotFoundError:
        return {}


def _reached(place: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(place, _SECONDS):
            return True
    except OSError:
        return False

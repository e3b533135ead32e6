"""What `nodes check` finds out about each node, all of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from appliance.site.contact import contact, sudo
from appliance.site.errors import HostKeyChanged, HostKeyUnknown, KeyRefused, SudoRefused, Unreachable
from appliance.site.folder import SiteFolder
from appliance.site.known_hosts import KnownHosts
from appliance.site.model import Node, Site
from archive.errors import Problem

_AT_ONCE = 16


@dataclass(frozen=True)
class Report:
    """A node, step by step; an empty step was not come to. `problem` is what ended it, with exit code and remedy.

    `twins` are other nodes that show the same host key: copies of one card, which are one machine to ssh.
    """

    node: Node
    reachable: str = ""
    host_key: str = ""
    key: str = ""
    root: str = ""
    problem: Problem | None = None
    twins: tuple[str, ...] = ()


def check(site: Site, folder: SiteFolder, nodes: Sequence[Node], sudo_password: str = "") -> list[Report]:
    """Reports in the order of `nodes`. Changes nothing; nothing is sent to a node whose host key is not the pinned."""
    folder.key_for(site)  # made once, not by every thread
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as threads:
        return list(threads.map(lambda node: _report(site, folder, node, sudo_password), nodes))


def exit_code(reports: Sequence[Report]) -> int:
    """The gravest: 3 when a host key is not the pinned one, else that of any problem, else 0."""
    return max((report.problem.exit_code for report in reports if report.problem), default=0)


def _report(site: Site, folder: SiteFolder, node: Node, sudo_password: str) -> Report:
    known = KnownHosts(folder)
    pinned = known.pinned(node)
    twins = tuple(other.name for other in site.nodes if pinned and other != node and known.pinned(other) == pinned)
    try:
        with contact(node, pinned, site.ssh, key=folder.key_for(site)) as session:
            how = sudo(session, node, site.ssh, sudo_password)
    except Unreachable as error:
        return Report(node, "no", problem=error)
    except HostKeyUnknown as error:
        return Report(node, "yes", "not confirmed", problem=error)
    except HostKeyChanged as error:
        return Report(node, "yes", "changed", problem=error)
    except KeyRefused as error:
        return Report(node, "yes", "as pinned", "refused", problem=error)
    except SudoRefused as error:
        return Report(node, "yes", "as pinned", "accepted", "no", problem=error)
    return Report(node, "yes", "as pinned", "accepted", how, twins=twins)

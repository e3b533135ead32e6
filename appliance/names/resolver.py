"""What dnsmasq is told: the names of the site, and that there are no others. Pure.

It knows no server to ask, so it cannot forward; whatever is not listed does not exist. It listens at the appliance's
address on the nodes' network and nowhere else, so a systemd-resolved on the loopback addresses is not in its way.
"""

from __future__ import annotations

from pathlib import Path

from appliance.certificates import WELL_KNOWN
from appliance.names.queries import RUNTIME_LOG
from appliance.site.model import Site
from appliance.site.rules import APPS

_TTL = 60  # seconds that a client may keep an answer; nodes move, if rarely


def configuration(site: Site, *, log: Path = RUNTIME_LOG, port: int = 53) -> str:
    """dnsmasq.conf (dnsmasq(8)) for `site`."""
    apps = f"{APPS}.{site.domain}"
    lines = [
        f"# The names of the site {site.name}. Written by crate-appliance from {site.path.name}; changes are lost.",
        f"port={port}",
        f"listen-address={site.address}",
        "bind-dynamic",  # the address may come later than we do
        "no-resolv",
        "no-poll",
        "no-hosts",
        f"local-ttl={_TTL}",
        "neg-ttl=5",
        "log-queries=extra",
        f"log-facility={log}",
        "# what is not named below does not exist",
        "local=/#/",
        f"host-record={WELL_KNOWN},{site.address},{_TTL}",
        # the first name of an address is the one that reverse questions are answered with
        *(f"host-record={node.name}.{site.domain},{node.name},{node.address},{_TTL}" for node in site.nodes),
        f"# applications: any name below {apps} is the cluster's ingress",
        f"local=/{apps}/",  # or questions for IPv6 would be told that the name does not exist
        f"address=/{apps}/{site.apps}",
    ]
    return "\n".join([*lines, ""])

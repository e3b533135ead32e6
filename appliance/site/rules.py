"""What must hold between the keys of a site file. Pure: nothing here looks at a machine."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from appliance.certificates import WELL_KNOWN
from appliance.site.tables import Contents, NodeTable
from console.toml_document import nearest
from console.toml_lines import Path
from deploys.errors import UnfitSetting
from deploys.k3s import settings
from manifests.settings import addresses

METALLB = "metallb"
APPS = "apps"
"""The label below the site's domain that applications are found under: `<application>.apps.<domain>`."""
_FEW = 7  # servers; more make etcd slower, not safer


class Broken(NamedTuple):
    """A rule that does not hold: the key to look at, what is wrong, what to do."""

    where: Path
    what: str
    hint: str


def broken(contents: Contents, network: IPv4Network, *, draft: bool) -> Iterator[Broken]:
    """Every rule that a file breaks. A `draft` may have no nodes, or no server among them, yet."""
    yield from _addresses(contents, network)
    yield from _names(contents)
    if not draft:
        yield from _servers(contents)
    yield from _settings(contents)
    yield from _profiles(contents)
    if METALLB in contents.cluster.profiles:
        yield from _range(contents, network)


def _addresses(contents: Contents, network: IPv4Network) -> Iterator[Broken]:
    if contents.site.address not in network:
        yield Broken(("site", "address"), f"{contents.site.address} is not in the network {network}", "correct either")
    seen: dict[IPv4Address, NodeTable] = {}
    for number, node in enumerate(contents.nodes):
        where: Path = ("nodes", number, "address")
        if node.address not in network:
            hint = "every node is on the appliance's own network: correct the address, or [site] network"
            yield Broken(where, f"{node.address} of {node.name} is not in the network {network}", hint)
        elif network.prefixlen < 31 and node.address in {network.network_address, network.broadcast_address}:
            yield Broken(where, f"{node.address} is the network itself, not a machine in it", "give another address")
        other = seen.setdefault(node.address, node)
        if other is not node:
            yield Broken(where, f"{other.name} and {node.name} both have the address {node.address}", "correct one")


def _names(contents: Contents) -> Iterator[Broken]:
    seen: set[str] = set()
    for number, node in enumerate(contents.nodes):
        where: Path = ("nodes", number, "name")
        if node.name in seen:
            yield Broken(where, f"two nodes are called {node.name}", "give one of them another name")
        if node.name == APPS:
            yield Broken(where, f"*.{APPS}.{contents.site.domain} is for applications", "give the node another name")
        if f"{node.name}.{contents.site.domain}" == WELL_KNOWN:
            yield Broken(where, f"{WELL_KNOWN} is the appliance", "give the node or the domain another name")
        seen.add(node.name)


def _servers(contents: Contents) -> Iterator[Broken]:
    count = sum(node.role == "server" for node in contents.nodes)
    if not contents.nodes:
        yield Broken(("nodes",), "the site has no nodes", "crate-appliance nodes add NAME ADDRESS adds one")
    elif not count:
        yield Broken(("nodes",), "no node is a server", 'give one of them role = "server"')
    elif count % 2 == 0 or count > _FEW:
        yield Broken(
            ("nodes",),
            f"{count} nodes are servers",
            "1 keeps its state in SQLite; 3 keep it among themselves (etcd), where an odd number decides",
        )


def _settings(contents: Contents) -> Iterator[Broken]:
    for key, value in contents.cluster.settings.items():
        try:
            settings.check({key: value})
        except UnfitSetting as error:
            yield Broken(("cluster", "settings", key), error.what.removeprefix("[cluster.settings] "), error.hint)


def _profiles(contents: Contents) -> Iterator[Broken]:
    names = contents.cluster.profiles
    for number, name in enumerate(names):
        if name in names[:number]:
            yield Broken(("cluster", "profiles", number), f"{name} is named twice", "remove one of the two")
    for name in contents.profiles:
        if name not in names:
            hint = nearest(name, sorted(names)) if names else f'add profiles = ["{name}"] to [cluster]'
            yield Broken(("profiles", name), f"{name} is not among the profiles of [cluster]", hint)


def _range(contents: Contents, network: IPv4Network) -> Iterator[Broken]:
    where: Path = ("profiles", METALLB, "range")
    example = f'like range = "{network[-1] - 54}-{network[-1] - 34}"' if network.num_addresses > 128 else ""
    text = contents.profiles.get(METALLB, {}).get("range")
    if text is None:
        what = "MetalLB needs a range of addresses that nobody else has"
        yield Broken(("cluster", "profiles"), what, f"write [profiles.metallb] with a range {example}".rstrip())
        return
    try:
        first, last = addresses(str(text))
    except ValueError:
        yield Broken(where, f"{text!r} is not a range of IPv4 addresses", f"write it {example}" if example else "")
        return
    taken = {contents.site.address: "the appliance", **{node.address: node.name for node in contents.nodes}}
    if first not in network or last not in network:
        what = f"{first}-{last} is not inside the network {network}"
        yield Broken(where, what, "MetalLB answers for these addresses on the nodes' own network")
    for address, who in taken.items():
        if first <= address <= last:
            yield Broken(where, f"{first}-{last} includes {address}, which is {who}", "choose a range apart from it")

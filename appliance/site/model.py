"""The site file, `site.toml`: what a person writes about the machines, checked so that a mistake is named where it
stands. docs/site.md explains every key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Literal

from appliance.site import networks, rules
from appliance.site.errors import NotHere, SiteInvalid
from appliance.site.tables import BaseTable, ClusterTable, Contents, SiteTable, SshTable
from console.toml_document import Document, Kind
from manifests.settings import addresses

KIND = Kind("the site file", "docs/site.md lists every key", SiteInvalid)


@dataclass(frozen=True)
class Node:
    """A machine of the site. `local` when it is the appliance itself."""

    name: str
    address: str
    role: Literal["server", "agent"]
    port: int
    labels: Mapping[str, str]
    taints: tuple[str, ...]
    local: bool


@dataclass(frozen=True)
class Site:
    """A site file as read from `path`. `text` is what it says, `network` where its machines are."""

    path: Path
    text: str
    contents: Contents
    network: IPv4Network

    @classmethod
    def load(cls, path: Path, *, draft: bool = False) -> Site:
        """Raises `SiteInvalid`, each line of it beginning with file and line. A `draft` may lack nodes yet.

        This machine is looked at only for a network that the file leaves out.
        """
        absent = "crate-appliance site init writes one to begin with"
        return cls._checked(Document.read(path, KIND, absent=absent), draft=draft)

    @classmethod
    def parse(cls, path: Path, text: str, *, draft: bool = False) -> Site:
        """`text` as what `path` is to hold. Raises `SiteInvalid`."""
        return cls._checked(Document.parse(path, KIND, text), draft=draft)

    @classmethod
    def _checked(cls, document: Document, *, draft: bool) -> Site:
        contents = document.validated(Contents)
        network = contents.site.network or networks.network_of(contents.site.address)
        if network is None:
            what = f"no interface of this machine is on a network with {contents.site.address}"
            hint = 'give the interface that address, or name the network: network = "10.77.0.0/24"'
            raise document.mistakes([(("site", "address"), what, hint)])
        if broken := list(rules.broken(contents, network, draft=draft)):
            raise document.mistakes(broken)
        return cls(document.path, document.text, contents, network)

    @property
    def name(self) -> str:
        return self.contents.site.name

    @property
    def address(self) -> str:
        """The appliance, on the nodes' network."""
        return str(self.contents.site.address)

    @property
    def domain(self) -> str:
        return self.contents.site.domain

    @property
    def table(self) -> SiteTable:
        """`[site]` itself."""
        return self.contents.site

    @property
    def ssh(self) -> SshTable:
        return self.contents.ssh

    @property
    def cluster(self) -> ClusterTable:
        return self.contents.cluster

    @property
    def base(self) -> BaseTable:
        return self.contents.base

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """In the order of the file."""
        return tuple(
            Node(
                name=node.name,
                address=str(node.address),
                role=node.role,
                port=node.port or self.ssh.port,
                labels=node.labels,
                taints=node.taints,
                local=node.address == self.contents.site.address,
            )
            for node in self.contents.nodes
        )

    def settings(self, profile: str) -> Mapping[str, Any]:
        """`[profiles.<profile>]`, as the file has it."""
        return self.contents.profiles.get(profile, {})

    @property
    def apps(self) -> str:
        """Where *.apps.<domain> points: as the file says, else MetalLB's first address, else the first server."""
        if self.contents.site.apps:
            return str(self.contents.site.apps)
        if rules.METALLB in self.cluster.profiles:
            return str(addresses(str(self.settings(rules.METALLB).get("range")))[0])
        return next((node.address for node in self.nodes if node.role == "server"), self.address)

    def require_here(self) -> None:
        """Raises `NotHere` unless this machine has the appliance's address."""
        own = networks.own_addresses()
        if self.contents.site.address not in own:
            raise NotHere(
                f"{self.path}: [site] address is {self.address}, which is none of this machine's",
                hint=f"it has {', '.join(map(str, own)) or 'none but the loopback address'}; "
                "correct the file, or give the interface that address",
            )

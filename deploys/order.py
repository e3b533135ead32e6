"""What the child process is told: one JSON document on its standard input, secrets included, and nothing else.

Whoever gives the order (the appliance) has read the site file and the crate by then; `deploys` knows neither. Nothing
of it ever stands in an argument list, in the environment or in an event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_serializer

Wave = Literal["preflight", "base", "server", "agents", "cluster", "verify"]
WAVES: tuple[Wave, ...] = ("preflight", "base", "server", "agents", "cluster", "verify")
"""In this order. A wave that fails on every node it had stops those after it."""

Task = Literal["deploy", "plan", "reset", "remove"]
Role = Literal["server", "agent"]
Port = Annotated[int, Field(gt=0, lt=65536)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_serializer("*", when_used="json-unless-none", check_fields=False)
    def _reveal(self, value: object) -> object:
        """Secrets travel in the document, and are masked everywhere else."""
        return value.get_secret_value() if isinstance(value, SecretStr) else value


class Ssh(_Part):
    """How every node is reached. `key` and `known_hosts` are files; `sudo` empty of `password` asks for none."""

    user: str = "root"
    key: str
    known_hosts: str
    sudo: bool = False
    password: SecretStr = SecretStr("")


class Node(_Part):
    """A machine of the site. `local` marks the appliance itself, when it is a node as well."""

    name: str
    address: str
    role: Role
    port: Port = 22
    labels: Mapping[str, str] = Field(default_factory=dict)
    taints: tuple[str, ...] = ()
    local: bool = False


class AptSource(_Part):
    """A repository of the crate: `text` is its .sources file for this site, `suites` what it publishes."""

    name: str
    suites: tuple[str, ...]
    text: str


class Crate(_Part):
    """The appliance as nodes see it. `created` is the newest crate's time, in seconds since 1970.

    `platforms` are those of the active crates, `hosts` the registries that their images come from.
    """

    name: str = "crate.internal"
    address: str
    https: Port = 5000
    plain: Port = 8080
    authority: str
    created: int
    platforms: tuple[str, ...]
    hosts: tuple[str, ...]
    apt: tuple[AptSource, ...] = ()


class Artifact(_Part):
    """A file of the crate: `url` is on the plain port and named by digest, so any downloader will do."""

    url: str
    sha256: str
    size: int


class Base(_Part):
    """What *base* may change. `resolver` and `time` say whether the appliance answers names and time."""

    domain: str
    resolver: bool = True
    time: bool = True
    packages: tuple[str, ...] = ()
    foreign_sources: Literal["disable", "keep"] = "disable"
    reboot: bool = True
    firewall: bool = True
    network: str  # the crate's own, as CIDR: what the firewall lets in


class K3s(_Part):
    """A release and how this site wants it. `binaries` and `airgap` go by platform (`linux/arm64`)."""

    version: str
    binaries: Mapping[str, Artifact]
    airgap: Mapping[str, Artifact] = Field(default_factory=dict)
    token: SecretStr
    embedded_registry: bool = False
    disable: tuple[str, ...] = ()
    settings: Mapping[str, object] = Field(default_factory=dict)  # further keys of config.yaml


class Check(_Part):
    """What *verify* asks of a profile: `url` answers with `status` and holds `text`, asked from every node.

    `host` goes into the Host header, for an ingress. In `url`, `{node}` is the address of the node that asks, and
    `{web.demo}` that of the service `web` in the namespace `demo`.
    """

    name: str
    url: str
    host: str = ""
    status: int = 200
    text: str = ""


class Profile(_Part):
    """A profile, rendered for this site: `manifests` by file name, in the order in which they are applied.

    `memory` (MiB) is what its pods take together once they run, `secret` are the manifests that nobody is shown.
    """

    name: str
    memory: int = 0
    namespaces: tuple[str, ...]
    manifests: Mapping[str, str]
    secret: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()


class Order(_Part):
    """All there is to know for one run of the child.

    `nodes` are all of the site's; only those in `limit` are touched when it is not empty. `images` is a file with one
    digest (`sha256:…`) of the crate's image manifests a line, for *verify*. `timeout` (seconds) ends a command on a
    node that no longer answers.
    """

    task: Task = "deploy"
    waves: tuple[Wave, ...] = WAVES
    limit: tuple[str, ...] = ()
    ssh: Ssh
    nodes: tuple[Node, ...]
    crate: Crate
    base: Base
    k3s: K3s | None = None
    profiles: tuple[Profile, ...] = ()
    images: str = ""
    timeout: int = 900

    @property
    def touched(self) -> tuple[Node, ...]:
        """The nodes that this run may connect to."""
        return tuple(node for node in self.nodes if not self.limit or node.name in self.limit)

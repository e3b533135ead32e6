"""The tables of a site file, each key checked for itself. docs/site.md explains every one."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr, field_validator

from console.toml_document import refusal
from manifests.definition import PACKAGE

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_K3S = re.compile(r"v\d+\.\d+\.\d+(-rc\d+)?\+k3s\d+")
# labels and values: "Labels and Selectors", taints: "Taints and Tolerations" of the Kubernetes documentation
_LABEL_KEY = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")
_TAINT = re.compile(
    rf"{_LABEL_KEY.pattern}(=({_LABEL_VALUE.pattern}))?:(NoSchedule|PreferNoSchedule|NoExecute)",
)


def _address(value: object) -> IPv4Address:
    try:
        if isinstance(value, str):
            return IPv4Address(value)
    except ValueError:
        pass
    raise refusal(f"{value!r} is not an IPv4 address", 'write it like "10.77.0.11"')


def _network(value: object) -> IPv4Network:
    if not isinstance(value, str) or "/" not in value:
        raise refusal(f"{value!r} is not a network", 'write it like "10.77.0.0/24"')
    try:
        return IPv4Network(value)
    except ValueError:
        pass
    try:
        meant = IPv4Network(value, strict=False)
    except ValueError:
        raise refusal(f"{value!r} is not a network", 'write it like "10.77.0.0/24"') from None
    raise refusal(f"{value} is an address in a network, not a network", f'the network is "{meant}"')


def host_name(name: str) -> str:
    """`name` when it is an RFC 1123 label in lower case, as Kubernetes wants the names of nodes."""
    if not _LABEL.fullmatch(name):
        raise refusal(
            f"{name[:80]!r} cannot be the name of a machine", "use a-z, 0-9 and '-', up to 63 of them (RFC 1123)"
        )
    return name


Address = Annotated[IPv4Address, BeforeValidator(_address)]
Network = Annotated[IPv4Network, BeforeValidator(_network)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SiteTable(_Table):
    """`[site]`: the appliance and its network."""

    name: StrictStr
    address: Address
    network: Network | None = None
    domain: StrictStr = "crate.internal"
    names: StrictBool = True
    time: StrictBool = True
    apps: Address | None = None

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        return host_name(name)

    @field_validator("domain")
    @classmethod
    def _check_domain(cls, domain: str) -> str:
        if not _DOMAIN.fullmatch(domain) or len(domain) > 200:
            raise refusal(f"{domain[:80]!r} is not a domain", 'write it like "crate.internal", in lower case')
        return domain


class SshTable(_Table):
    """`[ssh]`: how the nodes are reached. An empty `key` is the site's own."""

    user: StrictStr = "root"
    key: StrictStr = ""
    sudo: StrictBool = False
    port: Annotated[StrictInt, Field(gt=0, lt=65536)] = 22

    @field_validator("user")
    @classmethod
    def _check_user(cls, user: str) -> str:
        if not _USER.fullmatch(user):
            raise refusal(f"{user[:40]!r} is not the name of an account")
        return user


class ClusterTable(_Table):
    """`[cluster]`: what the nodes become. An empty `k3s` is the newest release of the active crates."""

    k3s: StrictStr = ""
    profiles: tuple[StrictStr, ...] = ()
    embedded_registry: StrictBool = Field(default=False, alias="embedded-registry")
    settings: dict[str, Any] = Field(default_factory=dict)

    @field_validator("k3s")
    @classmethod
    def _check_k3s(cls, version: str) -> str:
        if version and not _K3S.fullmatch(version):
            raise refusal(f"{version[:40]!r} is not a k3s release", "write it whole, like v1.36.4+k3s1")
        return version


class BaseTable(_Table):
    """`[base]`: what may be changed on the nodes beside the cluster."""

    packages: tuple[StrictStr, ...] = ()
    foreign_sources: Literal["disable", "keep"] = Field(default="disable", alias="foreign-sources")
    reboot: StrictBool = True
    firewall: StrictBool = True

    @field_validator("packages")
    @classmethod
    def _check_packages(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not PACKAGE.fullmatch(name):
                raise refusal(f"{name[:80]!r} is not the name of a package")
        return names


class NodeTable(_Table):
    """`[[nodes]]`: a machine. A `port` of 0 is that of `[ssh]`."""

    name: StrictStr
    address: Address
    role: Literal["server", "agent"] = "agent"
    port: Annotated[StrictInt, Field(ge=0, lt=65536)] = 0
    labels: dict[str, StrictStr] = Field(default_factory=dict)
    taints: tuple[StrictStr, ...] = ()

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        return host_name(name)

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, labels: dict[str, str]) -> dict[str, str]:
        for key, value in labels.items():
            if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
                raise refusal(
                    f"{key}={value} is not a label that Kubernetes takes", "letters, digits, '-', '_' and '.'"
                )
        return labels

    @field_validator("taints")
    @classmethod
    def _check_taints(cls, taints: tuple[str, ...]) -> tuple[str, ...]:
        for taint in taints:
            if not _TAINT.fullmatch(taint):
                raise refusal(f"{taint[:80]!r} is not a taint", 'write it like "dedicated=builds:NoSchedule"')
        return taints


class Contents(_Table):
    """The whole file, each key for itself."""

    site: SiteTable
    ssh: SshTable = SshTable()
    cluster: ClusterTable = ClusterTable()
    base: BaseTable = BaseTable()
    profiles: dict[str, dict[str, Any]] = Field(default_factory=dict)
    nodes: tuple[NodeTable, ...] = ()

"""`[cluster.settings]`: further keys of k3s's config.yaml, which of them a site may not give, and why.

Every node gets its config.yaml from one site file, so what servers have to agree on agrees. What is left to refuse is
what BuzzCrate sets itself, what would lead around the crate, and what a running cluster cannot change any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network

from deploys.errors import UnfitSetting

_PER_NODE = "set labels and taints under [[nodes]] in site.toml"
_LAYOUT = "BuzzCrate finds k3s's files there when it upgrades, resets and backs up"
_DATASTORE = "the number of servers in site.toml decides: one keeps SQLite, three or more keep etcd among them"
_ADDRESSED = "agents, health checks and kubeconfig count on this address"
_SECRET = "the site's own token is used, and settings are shown in plans"  # noqa: S105 - a sentence

# key -> why it is not for the site to set
_OURS: Mapping[str, str] = {
    "token": _SECRET,
    "token-file": _SECRET,
    "agent-token": _SECRET,
    "agent-token-file": _SECRET,
    "datastore-endpoint": _DATASTORE,
    "datastore-cafile": _DATASTORE,
    "datastore-certfile": _DATASTORE,
    "datastore-keyfile": _DATASTORE,
    "cluster-init": _DATASTORE,
    "cluster-reset": "a command for an emergency is no setting",
    "cluster-reset-restore-path": "a command for an emergency is no setting",
    "server": "nodes join the first server of site.toml",
    "node-name": "nodes are called as in site.toml",
    "with-node-id": "nodes are called as in site.toml",
    "node-ip": "nodes have the addresses of site.toml",
    "flannel-iface": "it is the interface that has the node's address in site.toml",
    "node-label": _PER_NODE,
    "node-taint": _PER_NODE,
    "resolv-conf": "names are answered by the appliance",
    "private-registry": "registries.yaml leads every image to the crate",
    "disable-default-registry-endpoint": "images come from the crate, or not at all",
    "system-default-registry": "images keep their names; the crate answers for every registry",
    "embedded-registry": "write embedded-registry = true under [cluster]",
    "docker": "only containerd reads registries.yaml",
    "container-runtime-endpoint": "only the containerd of k3s reads registries.yaml",
    "data-dir": _LAYOUT,
    "config": _LAYOUT,
    "write-kubeconfig": _LAYOUT,
    "rootless": "k3s runs as a service of the system",
    "https-listen-port": _ADDRESSED,
    "advertise-port": _ADDRESSED,
    "advertise-address": _ADDRESSED,
    "bind-address": _ADDRESSED,
    "disable-apiserver": "every server is a whole one",
    "disable-controller-manager": "every server is a whole one",
    "disable-scheduler": "every server is a whole one",
    "disable-etcd": "every server is a whole one",
    "disable-agent": "every server runs workloads too; keep them off with a taint",
    "disable-helm-controller": "profiles install their charts through it",
}

_NETWORKS = frozenset({"cluster-cidr", "service-cidr"})  # the firewall lets them in, reset takes their routes away

# What etcd or SQLite and every certificate were made for.
BORN_WITH = ("cluster-cidr", "service-cidr", "cluster-dns", "cluster-domain")

# The keys that `k3s agent` has too; an agent refuses any other.
_AGENTS_TOO = frozenset(
    {
        "alsologtostderr",
        "cri-dockerd",
        "debug",
        "default-runtime",
        "disable-apiserver-lb",
        "enable-pprof",
        "flannel-cni-conf",
        "flannel-conf",
        "image-credential-provider-bin-dir",
        "image-credential-provider-config",
        "image-service-endpoint",
        "kubelet-arg",
        "kube-proxy-arg",
        "lb-server-port",
        "log",
        "node-external-dns",
        "node-external-ip",
        "node-internal-dns",
        "nonroot-devices",
        "pause-image",
        "prefer-bundled-bin",
        "protect-kernel-defaults",
        "selinux",
        "snapshotter",
        "v",
        "vmodule",
        "vpn-auth-file",
    }
)


def check(settings: Mapping[str, object]) -> None:
    """Raises `UnfitSetting` for the first key that is not for a site to set, or whose value other parts could not use.

    `key+`, which appends, is such a key too.
    """
    for written in settings:
        key = written.removesuffix("+")
        if key in _OURS:
            raise UnfitSetting(f"[cluster.settings] {written} is not for the site to set", hint=_OURS[key])
        if key in _NETWORKS and not _are_networks(settings[written]):
            what = f"[cluster.settings] {written} = {settings[written]!r} is no network"
            raise UnfitSetting(what, hint='write it like "10.42.0.0/16", or two of them with a comma between')


def check_unchanged(before: Mapping[str, object], after: Mapping[str, object], node: str) -> None:
    """Raises `UnfitSetting` when a server's config.yaml would change what its cluster was born with."""
    for key in BORN_WITH:
        if before.get(key) != after.get(key):
            raise UnfitSetting(
                f"{node}: {key} was {_spoken(before.get(key))} when the cluster was made and cannot become "
                f"{_spoken(after.get(key))}",
                hint=f"put {key} back under [cluster.settings], or reset the nodes and install anew",
            )


def for_agents(settings: Mapping[str, object]) -> dict[str, object]:
    """Those that an agent understands."""
    return {key: value for key, value in settings.items() if key.removesuffix("+") in _AGENTS_TOO}


def _are_networks(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return all(ip_network(part.strip()) for part in value.split(","))
    except ValueError:
        return False


def _spoken(value: object) -> str:
    return "left to k3s" if value is None else repr(value)

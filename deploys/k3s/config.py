"""What k3s reads at its start: config.yaml and its two neighbours, and registries.yaml. Text only, nothing is done.

config.yaml holds what may be shown, in plans too. The token has a file of its own, and so have labels and taints: the
kubelet registers with them once and looks at them no more, so that a change of theirs is no reason to restart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from deploys.k3s import layout, settings
from deploys.order import Crate, K3s, Node

_FULL = re.compile(r"K10[0-9a-f]{64}::(?:[^:]*:)?(?P<secret>.+)")
# Labels of Kubernetes' own name spaces that a kubelet may give itself (kubelet's --node-labels); it does not start
# with any other of them.
_KUBERNETES = re.compile(r"(?:.*\.)?(?:kubernetes|k8s)\.io")
_KUBELETS = re.compile(r"(?:.*\.)?(?:kubelet|node)\.kubernetes\.io")
_WELL_KNOWN = frozenset(
    {
        "kubernetes.io/hostname",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
    }
)


def server(k3s: K3s, node: Node, servers: Iterable[Node], *, domain: str, interface: str, join: str) -> str:
    """config.yaml of a server: the first one when `join` is empty, else one that joins the address `join`.

    `servers` are all of the site's; more than one of them means embedded etcd. `interface` is the network device that
    has the node's address. Raises `UnfitSetting`.
    """
    settings.check(k3s.settings)
    servers = tuple(servers)
    own: dict[str, Any] = _common(node, interface) | {
        "write-kubeconfig-mode": "0600",
        # any server's name is good for all of them: a kubeconfig or an agent may turn to another one
        "tls-san": _united(
            [name for each in servers for name in (each.address, f"{each.name}.{domain}")], k3s.settings.get("tls-san")
        ),
    }
    if disabled := _united(k3s.disable, k3s.settings.get("disable")):
        own["disable"] = disabled
    if k3s.embedded_registry:
        own["embedded-registry"] = True
    if join:
        own["server"] = url(join)
    elif len(servers) > 1:
        own["cluster-init"] = True
    return _text({**k3s.settings, **own})


def agent(k3s: K3s, node: Node, *, interface: str, join: str) -> str:
    """config.yaml of an agent that joins the server at the address `join`. Raises `UnfitSetting`."""
    settings.check(k3s.settings)
    return _text({**settings.for_agents(k3s.settings), **_common(node, interface), "server": url(join)})


def token(value: str) -> str:
    """The neighbour that nobody gets to see."""
    return _text({"token": value})


def registration(node: Node) -> str:
    """The neighbour with what a node says of itself when it joins."""
    labels = [f"{key}={value}" for key, value in sorted(node.labels.items()) if _kubelet_may(key)]
    return _text({"node-label": labels, "node-taint": sorted(node.taints)}) if labels or node.taints else ""


def registries(crate: Crate) -> str:
    """registries.yaml: every registry there is, the crate's own by name, answered by the crate alone.

    `*` covers hosts that no image of the crate comes from, so that a wrong name ends at the crate, in its list of
    requests, and not in a time-out on the way to the internet.
    """
    here = f"{crate.name}:{crate.https}"
    mirror = {"endpoint": [f"https://{here}"]}
    mirrors = {host: dict(mirror, endpoint=list(mirror["endpoint"])) for host in (*sorted(set(crate.hosts)), "*")}
    return _text({"mirrors": mirrors, "configs": {here: {"tls": {"ca_file": layout.AUTHORITY}}}})


def url(address: str) -> str:
    """Where a server's API is."""
    host = f"[{address}]" if ":" in address else address
    return f"https://{host}:{layout.API_PORT}"


def joined(text: str) -> str:
    """The address that this config.yaml joins, empty for a first server's and for what cannot be read."""
    server = read(text).get("server")
    found = re.fullmatch(rf"https://\[?([^\]/]+?)\]?:{layout.API_PORT}", server) if isinstance(server, str) else None
    return found[1] if found else ""


def read(text: str) -> Mapping[str, object]:
    """A config.yaml as it lies on a node; empty when it is no mapping."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return document if isinstance(document, dict) else {}


def secret_of(token: str) -> str:
    """The secret in a token, whichever form it has: a first server takes nothing else."""
    full = _FULL.fullmatch(token)
    return full["secret"] if full else token


def pins_authority(token: str) -> bool:
    """Whether this is the form that a server hands out, which names its cluster's authority."""
    return _FULL.fullmatch(token) is not None


def _common(node: Node, interface: str) -> dict[str, Any]:
    return {
        "node-name": node.name,
        "node-ip": node.address,
        # left alone, flannel takes the interface of the default route, which in a gap may be a dummy
        "flannel-iface": interface,
        "resolv-conf": layout.RESOLVER,
        "disable-default-registry-endpoint": True,
    }


def _kubelet_may(label: str) -> bool:
    prefix, slash, _ = label.rpartition("/")
    if not slash or not _KUBERNETES.fullmatch(prefix):
        return True
    return label in _WELL_KNOWN or _KUBELETS.fullmatch(prefix) is not None


def _united(ours: Iterable[str], theirs: object) -> list[str]:
    """Both lists as one, ours first; a comma-separated text is a list to k3s too."""
    if isinstance(theirs, str):
        theirs = theirs.split(",")
    extra = [str(word).strip() for word in theirs] if isinstance(theirs, list | tuple) else []
    return list(dict.fromkeys([*ours, *extra]))


def _text(document: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(document), default_flow_style=False, sort_keys=True, allow_unicode=True)

"""Where k3s and what belongs to it lie on a node."""

from __future__ import annotations

from deploys.order import Role

BINARY = "/usr/local/bin/k3s"
CONFIG = "/etc/rancher/k3s/config.yaml"
TOKEN = "/etc/rancher/k3s/config.yaml.d/10-token.yaml"  # noqa: S105 - a path
REGISTRATION = "/etc/rancher/k3s/config.yaml.d/20-registration.yaml"
REGISTRIES = "/etc/rancher/k3s/registries.yaml"
KUBECONFIG = "/etc/rancher/k3s/k3s.yaml"

DATA = "/var/lib/rancher/k3s"
LEARNED_TOKEN = f"{DATA}/server/token"
DATABASE = f"{DATA}/server/db"
IMAGES = f"{DATA}/agent/images"
AGENT_KUBECONFIG = f"{DATA}/agent/kubelet.kubeconfig"

# Ours, and what BASE leaves for k3s to use.
STATE = "/var/lib/buzzcrate"
PREVIOUS = f"{STATE}/k3s-previous"
UPGRADE = f"{STATE}/k3s-upgrade"
PROVEN = f"{STATE}/k3s-proven"
STARTED = "/run/buzzcrate-k3s-started"
AUTHORITY = "/etc/buzzcrate/ca.pem"
RESOLVER = "/etc/buzzcrate/resolv.conf"

API_PORT = 6443


def unit(role: Role) -> str:
    """The name of the service that runs k3s in this role."""
    return "k3s.service" if role == "server" else "k3s-agent.service"


def unit_path(role: Role) -> str:
    return f"/etc/systemd/system/{unit(role)}"

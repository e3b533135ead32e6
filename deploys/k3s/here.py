"""What is on a node before k3s is brought up there: one look at its files, one at the machine."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from pyinfra.api.facts import FactBase

from archive.platforms import Platform
from deploys.errors import NodeProblem
from deploys.files import FileNow
from deploys.k3s import layout
from deploys.order import Artifact, Role
from deploys.running import Run

# A 64-bit kernel may carry a 32-bit system (Raspberry Pi OS does): what programs are built for is what counts.
_ARCHITECTURES = {
    ("x86_64", "64"): "amd64",
    ("aarch64", "64"): "arm64",
    ("aarch64", "32"): "arm",
    ("armv7l", "32"): "arm",
    ("armv8l", "32"): "arm",
}


class Machine(FactBase[Mapping[str, str]]):
    """Architecture, the network device with `address`, and the state of k3s in `role` and in the other one."""

    def command(self, address: str, role: Role) -> str:
        other: Role = "agent" if role == "server" else "server"
        joined = layout.LEARNED_TOKEN if role == "server" else layout.AGENT_KUBECONFIG
        return f"""\
echo "machine=$(uname -m)"
echo "bits=$(getconf LONG_BIT 2>/dev/null || echo 64)"
set -- $(ip -o -4 addr show to {shlex.quote(address)} 2>/dev/null)
echo "interface=${{2:-}}"
echo "active=$(systemctl is-active {layout.unit(role)} 2>/dev/null)"
echo "restarts=$(systemctl show -p NRestarts --value {layout.unit(role)} 2>/dev/null)"
echo "enabled=$(systemctl is-enabled {layout.unit(role)} 2>/dev/null)"
if [ -e {layout.unit_path(other)} ]; then echo other=yes; fi
if [ -s {joined} ]; then echo joined=yes; fi
"""

    def process(self, output: list[str]) -> dict[str, str]:
        return dict(line.partition("=")[::2] for line in output if "=" in line)


@dataclass(frozen=True, slots=True)
class Here:
    """A node as it is: `interface` has its address (empty behind a translated one), `joined` when in a cluster.

    `active` is the service's state in systemd's words, `restarts` how often it was started again because it failed.
    """

    platform: Platform | None
    interface: str
    active: str
    enabled: bool
    restarts: int
    joined: bool
    files: Mapping[str, FileNow]

    @property
    def binary(self) -> str:
        """The sha256 of the k3s that is there, or nothing."""
        return self.files[layout.BINARY].sha256

    @property
    def upgrading(self) -> bool:
        """Whether an upgrade was begun and not ended."""
        return self.files[layout.UPGRADE].kind == "file"

    @property
    def lives(self) -> bool:
        """Whether it is in a cluster and k3s runs."""
        return self.joined and self.active == "active"

    def text(self, path: str) -> str:
        return self.files[path].text


def look_around(run: Run) -> Here:
    """Raises `NodeProblem` for a node that has the other role."""
    role = run.node.role
    paths = (
        layout.BINARY,
        layout.CONFIG,
        layout.TOKEN,
        layout.REGISTRATION,
        layout.REGISTRIES,
        layout.unit_path(role),
        layout.STARTED,
        layout.PROVEN,
        layout.UPGRADE,
    )
    files = run.look(*paths)
    found = run.fact(Machine, address=run.node.address, role=role)
    if "other" in found:
        was = "an agent" if role == "server" else "a server"
        raise NodeProblem(
            f"{run.node.name} is {was} of the cluster, and site.toml wants it to be {_article(role)}",
            hint=f"crate-appliance nodes remove {run.node.name}, then deploy: it joins anew",
        )
    architecture = _ARCHITECTURES.get((found.get("machine", ""), found.get("bits", "64")))
    return Here(
        platform=Platform("linux", architecture) if architecture else None,
        interface=found.get("interface", "").partition("@")[0],
        active=found.get("active", ""),
        enabled=found.get("enabled") == "enabled",
        restarts=int(found.get("restarts") or 0),
        joined="joined" in found,
        files=files,
    )


def artifact(here: Here, offered: Mapping[str, Artifact]) -> Artifact | None:
    """What is `offered` for the node's platform."""
    for text, found in offered.items():
        if here.platform is not None and Platform.parse(text) == here.platform.normalised():
            return found
    return None


def _article(role: Role) -> str:
    return "a server" if role == "server" else "an agent"

"""k3s on one node, from whatever is there to what is wanted: the part that servers and agents share."""

from __future__ import annotations

from deploys.errors import NodeProblem
from deploys.k3s import kubectl as cluster
from deploys.k3s import layout, placement, starting, upgrade
from deploys.k3s.here import Here, artifact
from deploys.k3s.kubectl import Kubectl
from deploys.k3s.placement import Placement
from deploys.order import K3s
from deploys.running import Run


def place(run: Run, here: Here, k3s: K3s, *, config: str, token: str, registration: str, registries: str) -> Placement:
    """What the node's k3s is to start from. Raises `NodeProblem` when the crate has no binary for the node."""
    binary = artifact(here, k3s.binaries)
    if binary is None:
        has = ", ".join(sorted(k3s.binaries)) or "none"
        raise NodeProblem(
            f"{run.node.name} is {here.platform or 'of an unknown architecture'}, and the crate has k3s for {has}",
            hint="add the platform under [crate] in bundle.toml and build the crate again",
        )
    return Placement(
        role=run.node.role,
        binary=binary,
        images=artifact(here, k3s.airgap),
        config=config,
        token=token,
        registration=registration,
        registries=registries,
    )


def begin(run: Run, wanted: Placement, here: Here) -> None:
    """A node that is in no cluster yet, or whose k3s stays the one it is: files, and a start if one is due."""
    placement.fetch(run, wanted, layout.BINARY)
    placement.configure(run, wanted)
    if starting.due(here, wanted) or not here.enabled:
        starting.start(run, wanted.role)
    if not run.planning:
        starting.wait(run, wanted.role, run.order.timeout)


def finish_upgrade(run: Run, wanted: Placement, here: Here, kubectl: Kubectl, k3s: K3s, *, snapshot: bool) -> None:
    """A node of a cluster, to another k3s."""
    upgrade.Upgrade(run, wanted, here, kubectl, wanted=k3s.version).carry_out(snapshot=snapshot)


def make_room(run: Run, kubectl: Kubectl) -> None:
    """Takes a Node out of the cluster that an earlier machine of this name left, so that a fresh one may join.

    Raises `NodeProblem` when that machine is there and well.
    """
    found = kubectl.node(run.node.name)
    if not found:
        return
    if cluster.ready(found):
        raise NodeProblem(
            f"another machine, at {cluster.address(found) or 'no address'}, is well in the cluster as {run.node.name}",
            hint="give this one another name in site.toml, or take the other one out: crate-appliance nodes remove",
        )
    kubectl.delete_node(run.node.name)

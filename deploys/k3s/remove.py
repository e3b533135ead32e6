"""The wave *remove*: nodes leave the cluster, which is told so by a server that stays; *reset* follows on them.

A node that is off leaves the cluster all the same. Deleting the Node of a server also takes it out of etcd: k3s does
that itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from deploys import operations
from deploys.errors import NodeProblem, NotAdmitted, NotTrusted, Unreachable
from deploys.k3s import kubectl as cluster
from deploys.k3s import layout
from deploys.k3s.cluster import servers_of
from deploys.k3s.kubectl import Kubectl, NotDrained
from deploys.order import Node, Order
from deploys.running import Run, Wave

_DRAIN = 300  # seconds


class Remove(Wave):
    """Works on the first server that stays and answers, for all nodes of the order's `limit`."""

    name = "remove"

    def groups(self, order: Order, nodes: Sequence[Node]) -> Sequence[Sequence[Node]]:
        del nodes
        stay = [node for node in servers_of(order) if node.name not in order.limit]
        return [[stay[0]]] if stay else [[node for node in order.nodes if node.name in order.limit][:1]]

    def add(self, run: Run) -> None:
        there = self._server(run)
        kubectl = Kubectl(there)
        for node in run.order.touched:
            found = kubectl.node(node.name)
            if not found:
                continue
            if cluster.ready(found):
                self._drain(kubectl, node.name, min(_DRAIN, run.order.timeout), was=cluster.cordoned(found))
            self._stop(run, node)
            kubectl.delete_node(node.name)

    def _stop(self, run: Run, node: Node) -> None:
        """An agent that runs may make itself known again; a server has to run until etcd has let it go."""
        if node.role == "agent":
            unit = layout.unit(node.role)
            with suppress(Unreachable, NotAdmitted, NotTrusted):
                there = run.at(node)
                if there.holds(f"systemctl is-active -q {unit}"):
                    there.add(operations.run, name="Stop k3s", command=f"systemctl stop {unit}")

    def _drain(self, kubectl: Kubectl, name: str, seconds: int, *, was: bool) -> None:
        try:
            kubectl.drain(name, seconds)
        except NotDrained:
            if not was:
                kubectl.uncordon(name)
            raise

    def _server(self, run: Run) -> Run:
        if run.node.name in run.order.limit:
            raise NodeProblem(
                f"{run.node.name} cannot leave: no server would stay",
                hint="crate-appliance reset takes a whole cluster down",
            )
        if not run.holds(f"[ -s {layout.LEARNED_TOKEN} ]"):
            raise NodeProblem(f"{run.node.name} has no cluster that a node could leave", hint="use reset instead")
        return run


WAVE = Remove()

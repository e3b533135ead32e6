"""The wave *agents*: all at once, but for upgrades, which empty one node at a time.

An agent joins once a server has a cluster, and is never newer than the servers that it speaks to.
"""

from __future__ import annotations

from collections.abc import Sequence

from gevent.lock import RLock

from deploys.errors import NodeProblem
from deploys.k3s import bringing_up, config, layout, upgrade
from deploys.k3s.cluster import older, server_for_agents, servers_of, token_of
from deploys.k3s.here import Here, look_around
from deploys.k3s.kubectl import Kubectl
from deploys.order import K3s, Node, Order
from deploys.running import Run, Wave


class Agents(Wave):
    """Nodes share what was found out about the cluster, and the server that is asked."""

    name = "agents"

    def __init__(self) -> None:
        self._asking, self._upgrading = RLock(), RLock()
        self._server: tuple[Kubectl, str] | None = None  # and its token

    def groups(self, order: Order, nodes: Sequence[Node]) -> Sequence[Sequence[Node]]:
        self._server = None
        agents = [node for node in nodes if node.role == "agent"]
        return [agents] if order.k3s and agents else []

    def add(self, run: Run) -> None:
        if run.order.k3s:
            self._bring_up(run, run.order.k3s)

    def _bring_up(self, run: Run, k3s: K3s) -> None:
        here = look_around(run)
        kubectl, token = self._cluster(run)
        wanted = bringing_up.place(
            run,
            here,
            k3s,
            config=config.agent(k3s, run.node, interface=here.interface, join=_join(run, here, kubectl)),
            token=config.token(token or k3s.token.get_secret_value()),
            registration=config.registration(run.node),
            registries=config.registries(run.order.crate),
        )
        if kubectl is None:
            bringing_up.begin(run, wanted, here)
            return
        self._check_servers(run, kubectl, k3s)
        if upgrade.due(here, wanted):
            with self._upgrading:
                bringing_up.finish_upgrade(run, wanted, here, kubectl, k3s, snapshot=False)
        else:
            if not here.joined and not run.planning:
                bringing_up.make_room(run, kubectl)
            bringing_up.begin(run, wanted, here)
        if not run.planning or here.lives:
            kubectl.give(run.node)
        if not run.planning:
            run.learn({"k3s": k3s.version})

    def _cluster(self, run: Run) -> tuple[Kubectl | None, str]:
        """Kubectl on a server, and the token; none in a plan made before there is a cluster."""
        with self._asking:
            if self._server is None:
                there = server_for_agents(run)
                if there is None:
                    return None, ""
                self._server = Kubectl(there), token_of(there)
            return self._server

    def _check_servers(self, run: Run, kubectl: Kubectl, k3s: K3s) -> None:
        """Raises `NodeProblem` while a server that answers runs an older k3s. In a plan they still do."""
        if run.planning:
            return
        with self._asking:
            behind = older(kubectl.run, servers_of(run.order), {each.sha256 for each in k3s.binaries.values()})
        if behind:
            raise NodeProblem(
                f"{run.node.name} waits: {', '.join(behind)} does not run {k3s.version} yet, and an agent may not be "
                "newer than a server",
                hint="deploy with the server wave, and see above what keeps it back",
            )


def _join(run: Run, here: Here, kubectl: Kubectl | None) -> str:
    """The address of the server to join: the one it has, while that is in the site file."""
    joined = config.joined(here.text(layout.CONFIG))
    servers = servers_of(run.order)
    if joined in {server.address for server in servers}:
        return joined
    return kubectl.run.node.address if kubectl else servers[0].address


WAVE = Agents()

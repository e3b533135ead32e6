"""The wave *server*: one server with SQLite, or several that share etcd, brought up and upgraded one after another.

The first begins the cluster and is Ready before the next one joins. A server that fails stops those after it, so that
a bad release or setting costs one server and not the majority; one that does not answer stops nobody.
"""

from __future__ import annotations

from collections.abc import Sequence

from deploys.errors import NodeProblem, Unreachable
from deploys.k3s import bringing_up, config, layout, settings, upgrade
from deploys.k3s import kubectl as cluster
from deploys.k3s.cluster import server_to_join, servers_of, speaking, token_of
from deploys.k3s.here import look_around
from deploys.k3s.kubectl import Kubectl
from deploys.order import K3s, Node, Order
from deploys.running import Run, Wave


class Servers(Wave):
    """`halts` becomes true with the first server that fails for another reason than being away."""

    name = "server"

    def __init__(self) -> None:
        self._snapshot = True  # the next upgrade takes one

    def groups(self, order: Order, nodes: Sequence[Node]) -> Sequence[Sequence[Node]]:
        self.halts, self._snapshot = False, True
        return [[node] for node in nodes if node.role == "server"] if order.k3s else []

    def add(self, run: Run) -> None:
        try:
            if run.order.k3s:
                self._bring_up(run, run.order.k3s)
        except Unreachable:
            raise
        except NodeProblem:
            self.halts = True
            raise

    def _bring_up(self, run: Run, k3s: K3s) -> None:
        servers = servers_of(run.order)
        here = look_around(run)
        join, token = server_to_join(run, here, k3s)
        text = config.server(k3s, run.node, servers, domain=run.order.base.domain, interface=here.interface, join=join)
        if here.joined:
            settings.check_unchanged(config.read(here.text(layout.CONFIG)), config.read(text), run.node.name)
        wanted = bringing_up.place(
            run,
            here,
            k3s,
            config=text,
            token=config.token(token),
            registration=config.registration(run.node),
            registries=config.registries(run.order.crate),
        )
        kubectl = Kubectl(run)
        if upgrade.due(here, wanted):
            # its own k3s may be what an interrupted upgrade has left half done
            own_first = sorted(servers, key=lambda server: server.name != run.node.name)
            kubectl = Kubectl(speaking(run, own_first) or run)
            self._check_others(run, kubectl, servers)
            bringing_up.finish_upgrade(run, wanted, here, kubectl, k3s, snapshot=self._snapshot)
            self._snapshot = False
        else:
            if join and not here.joined and not run.planning:
                bringing_up.make_room(run, Kubectl(_at(run, join)))
            bringing_up.begin(run, wanted, here)
        if not run.planning or here.lives:
            kubectl.give(run.node)
        if not run.planning:
            run.learn({"k3s": k3s.version})
            self._learn(run)

    def _check_others(self, run: Run, kubectl: Kubectl, servers: Sequence[Node]) -> None:
        """Raises `NodeProblem` unless the others can do without this server for a while."""
        if len(servers) < 3:
            return
        names = {server.name for server in servers} - {run.node.name}
        well = {each["metadata"]["name"] for each in kubectl.nodes() if cluster.ready(each)}
        if missing := sorted(names - well):
            raise NodeProblem(
                f"{run.node.name} is not upgraded: {', '.join(missing)} is not Ready, and etcd needs a majority "
                "while a server restarts",
                hint="bring that server back first, or take it out with crate-appliance nodes remove",
            )

    def _learn(self, run: Run) -> None:
        known = run.known(cluster=True)
        if "token" not in known:
            facts = {"token": token_of(run), "kubeconfig": run.ask(f"cat {layout.KUBECONFIG}") + "\n"}
            run.learn(facts, cluster=True, secret=True)


def _at(run: Run, address: str) -> Run:
    return run.at(next(node for node in run.order.nodes if node.address == address))


WAVE = Servers()

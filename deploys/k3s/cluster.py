"""Finding the cluster: which server of the site has it, whom a node joins, and with which token."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress

from deploys.errors import NodeProblem, NotAdmitted, NotTrusted, OperationFailed, Unreachable
from deploys.k3s import config, layout
from deploys.k3s.here import Here
from deploys.order import K3s, Node, Order
from deploys.running import Run


def servers_of(order: Order) -> tuple[Node, ...]:
    """In the order of the site file; the first begins the cluster."""
    return tuple(node for node in order.nodes if node.role == "server")


def serving(run: Run, servers: Iterable[Node]) -> tuple[list[Run], list[Node]]:
    """Those of `servers` that have a cluster, as runs on them, and those that do not answer."""
    found, silent = [], []
    for server in servers:
        try:
            there = run.at(server)
            if there.holds(f"[ -s {layout.LEARNED_TOKEN} ]"):
                found.append(there)
        except (Unreachable, NotAdmitted, NotTrusted, OperationFailed):
            silent.append(server)
    return found, silent


def speaking(run: Run, servers: Iterable[Node]) -> Run | None:
    """The first of `servers` whose API is ready, as a run on it."""
    for server in servers:
        with suppress(Unreachable, NotAdmitted, NotTrusted, OperationFailed):
            there = run if server.name == run.node.name else run.at(server)
            if there.holds(
                f"HOME=/run KUBECONFIG={layout.KUBECONFIG} {layout.BINARY} kubectl get --raw /readyz >/dev/null"
            ):
                return there
    return None


def server_to_join(run: Run, here: Here, k3s: K3s) -> tuple[str, str]:
    """The address that this server joins, empty when it is the first one, and the token for that.

    A server of a running cluster stays with whom it joined, so that nothing restarts because of who is asked first.
    Raises `NodeProblem` when there is no cluster to join and none may be begun.
    """
    servers = servers_of(run.order)
    secret = k3s.token.get_secret_value()
    others = [server for server in servers if server.name != run.node.name]
    if here.joined:
        joined = config.joined(here.text(layout.CONFIG))
        if not joined or not others:
            return "", config.secret_of(secret)
        known = joined in {server.address for server in others}
        return joined if known else others[0].address, token_of(run)
    found, silent = serving(run, others)
    if found:
        return found[0].node.address, token_of(found[0])
    first = servers[0]
    if run.node.name != first.name:
        if run.planning:
            return first.address, secret
        raise NodeProblem(
            f"{run.node.name}: no server has a cluster yet that it could join",
            hint=f"deploy to {first.name} first, or to all servers at once",
        )
    if silent and config.pins_authority(secret):
        names = ", ".join(server.name for server in silent)
        raise NodeProblem(
            f"{run.node.name} is empty, and the site has a cluster already on servers that do not answer: {names}",
            hint=f"switch them on, so that {run.node.name} can join them, or reset the site to begin a new cluster",
        )
    return "", config.secret_of(secret)


def server_for_agents(run: Run) -> Run | None:
    """A server with a cluster, as a run on it; None in a plan made before there is any. Raises `NodeProblem`."""
    servers = servers_of(run.order)
    found, silent = serving(run, servers)
    if found:
        return found[0]
    if run.planning:
        return None
    names = ", ".join(server.name for server in silent or servers)
    raise NodeProblem(
        f"no server has a cluster that agents could join ({names} {'does not answer' if silent else 'has none'})",
        hint="bring up a server first: run again with the server wave, without --limit",
    )


def token_of(there: Run) -> str:
    """The form of the token that pins the cluster's authority."""
    return there.ask(f"cat {layout.LEARNED_TOKEN}").strip()


def older(there: Run, servers: Sequence[Node], digests: Collection[str]) -> list[str]:
    """The servers that answer and whose k3s has none of these `digests`."""
    behind = []
    for server in servers:
        try:
            if there.at(server).ask(f"sha256sum <{layout.BINARY}").split()[0] not in digests:
                behind.append(server.name)
        except (Unreachable, NotAdmitted, NotTrusted, OperationFailed):
            continue
    return behind

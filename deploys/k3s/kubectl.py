"""What a wave asks of the cluster, on a server, through the kubectl inside k3s."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Mapping
from typing import Any

from gevent.lock import RLock

from deploys import operations
from deploys.errors import NodeProblem, OperationFailed
from deploys.k3s import layout, registration
from deploys.order import Node
from deploys.running import Run

_REQUEST = 20  # seconds for an answer of the API
_PATIENCE = 30  # seconds for it to come back
_AWAY = re.compile(r"refused|timed? ?out|timeout|EOF|[Uu]navailable|connection reset|TLS handshake|no leader")
_GIVEN = {"label": "Labels of {}", "taint": "Taints of {}", "annotate": "Note of what {} is given"}
_DISRUPTION = re.compile(r'evicting pods?/"(?P<pod>[^"]+)" -n "(?P<namespace>[^"]+)".*disruption budget')
_BARE = re.compile(r"declare no controller[^:]*: (?P<pods>.+?)(?:;|$)")


class NotDrained(NodeProblem):
    """Pods stay on a node that is to be emptied."""


class Kubectl:
    """kubectl on the server that `run` is on. Several nodes of a wave may share one; they take turns."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._turn = RLock()

    def node(self, name: str) -> Mapping[str, Any]:
        """The Node object, empty when there is none. Raises `OperationFailed` when the cluster does not answer."""
        text = self._ask("get", "node", name, "--ignore-not-found", "-o", "json")
        return dict(json.loads(text)) if text.strip() else {}

    def nodes(self) -> list[Mapping[str, Any]]:
        return list(json.loads(self._ask("get", "nodes", "-o", "json"))["items"])

    def give(self, node: Node) -> None:
        """The labels and taints of the site file to a node that is in the cluster."""
        found = self.node(node.name)
        if found:
            for words in registration.commands(node, found):
                self._do(_GIVEN[words[0]].format(node.name), *words)

    def drain(self, name: str, seconds: int) -> None:
        """Moves the pods of a node elsewhere. Raises `NotDrained` after `seconds`, naming those that stay."""
        words = ("drain", name, "--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={seconds}s")
        try:
            self._do(f"Drain {name}", *words, timeout=seconds + 60)
        except OperationFailed as problem:
            raise _not_drained(name, seconds, self.run.said or problem.what) from problem

    def uncordon(self, name: str) -> None:
        self._do(f"Let pods onto {name} again", "uncordon", name)

    def delete_node(self, name: str) -> None:
        """The Node and what the cluster keeps to recognise the machine by, so that another may take its name."""
        self._do(f"Delete the node {name}", "delete", "node", name, "--ignore-not-found", timeout=120)
        secret = f"{name}.node-password.k3s"
        self._do(
            f"Forget the password of {name}", "-n", "kube-system", "delete", "secret", secret, "--ignore-not-found"
        )

    def _ask(self, *words: str) -> str:
        """Asks again for a while where the API is only just coming up, or changing hands."""
        began = time.monotonic()
        while True:
            try:
                with self._turn:
                    return self.run.ask(_command(*words), timeout=_REQUEST * 3)
            except OperationFailed as problem:
                if time.monotonic() - began > _PATIENCE or not _AWAY.search(problem.what):
                    raise
            time.sleep(2)

    def _do(self, name: str, *words: str, timeout: int = 0) -> None:
        shown = shlex.join(("kubectl", *words))
        with self._turn:
            self.run.add(operations.run, name=name, command=_command(*words), shown=shown, timeout=timeout)


def ready(found: Mapping[str, Any]) -> bool:
    """Whether a Node object says so."""
    return any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in found.get("status", {}).get("conditions", ())
    )


def cordoned(found: Mapping[str, Any]) -> bool:
    return bool(found.get("spec", {}).get("unschedulable"))


def address(found: Mapping[str, Any]) -> str:
    """The address that a node has in the cluster."""
    listed = found.get("status", {}).get("addresses", ())
    return next((str(each["address"]) for each in listed if each.get("type") == "InternalIP"), "")


def _command(*words: str) -> str:
    patient = words[0] == "drain" or "delete" in words
    asks = () if patient else (f"--request-timeout={_REQUEST}s",)
    # kubectl keeps what it learned of the API in its home, where nobody would look for it
    return shlex.join(("env", "HOME=/run", f"KUBECONFIG={layout.KUBECONFIG}", layout.BINARY, "kubectl", *words, *asks))


def _not_drained(name: str, seconds: int, said: str) -> NotDrained:
    budgets = dict.fromkeys(f"{found['namespace']}/{found['pod']}" for found in _DISRUPTION.finditer(said))
    if budgets:
        return NotDrained(
            f"{name} cannot be drained: after {seconds} seconds a disruption budget still keeps {', '.join(budgets)}",
            hint="give the workload a replica on another node or loosen its PodDisruptionBudget, then run again",
        )
    if bare := _BARE.search(said):
        return NotDrained(
            f"{name} cannot be drained: nothing would start these pods elsewhere: {bare['pods']}",
            hint="delete them by hand when they may go, then run again",
        )
    last = said.strip().splitlines()[-1] if said.strip() else "no reason given"
    return NotDrained(f"{name} cannot be drained: {last}", hint="run again once the cluster is well")

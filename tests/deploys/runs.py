"""Runs of the child process on a lab's machines, as the appliance starts it: an order in, events out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploys.events import EVENT, Event, Finding, Learned, NodeEnded, Operation
from deploys.order import Order
from tests.support.lab import Lab, Node
from tests.support.tools import tool

# All of /etc, and what of it is there: paths, modes, owners, links, contents.
_TREE = "cd /etc && find . -printf '%p %y %m %U:%G %l\\n' | sort && find . -type f | sort | xargs -d '\\n' sha256sum"
SECRET = "a-secret-of-the-trial"
"""What tests/deploys/trial.py hides."""
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def order(site: Lab, **changes: object) -> Order:
    """Preflight and base on all of a lab's nodes, the first as server; `changes` are further fields of the order."""
    return Order.model_validate(
        {
            "waves": ("preflight", "base"),
            "ssh": {"key": str(site.key), "known_hosts": str(site.known_hosts)},
            "nodes": [
                {"name": node.name, "address": node.address, "role": "agent" if index else "server"}
                for index, node in enumerate(site.nodes)
            ],
            "crate": {
                "address": site.address,
                "authority": PEM,
                "created": 0,
                "platforms": ("linux/amd64",),
                "hosts": ("docker.io",),
            },
            "base": {"domain": "crate.internal", "network": site.subnet},
            "timeout": 60,
            **changes,
        }
    )


@dataclass(frozen=True)
class Told:
    """What came of a run."""

    code: int
    events: Sequence[Event]
    log: str

    @classmethod
    def read(cls, code: int, said: str, log: str) -> Told:
        return cls(code, [EVENT.validate_json(line) for line in said.splitlines()], log)

    def operations(self, node: str = "") -> dict[str, Operation]:
        """By name, of one node or of all."""
        return {each.name: each for each in self.events if isinstance(each, Operation) and node in {"", each.node}}

    def changes(self, node: str = "") -> list[str]:
        """The names of the operations that changed something, or would."""
        return [name for name, each in self.operations(node).items() if each.state in {"changed", "would change"}]

    def findings(self, node: str) -> dict[str, Finding]:
        return {each.check: each for each in self.events if isinstance(each, Finding) and each.node == node}

    def learned(self, node: str) -> dict[str, object]:
        return {key: value for each in self.events if isinstance(each, Learned) and each.node == node
                for key, value in each.facts.items()}  # fmt: skip

    def ends(self, wave: str) -> dict[str, NodeEnded]:
        """How each node ended in a wave."""
        return {each.node: each for each in self.events if isinstance(each, NodeEnded) and each.wave == wave}

    def end(self, node: str) -> NodeEnded:
        """How a node ended, as far as it got."""
        return [each for each in self.events if isinstance(each, NodeEnded) and each.node == node and
                each.state != "skipped"][-1]  # fmt: skip


def start(site: Lab, module: str = "deploys", arguments: Sequence[str] = ()) -> subprocess.Popen[str]:
    """The child process, waiting for its order."""
    words = site.words(tool("env"), f"PYTHONPATH={Path.cwd()}", sys.executable, "-m", module, *arguments)
    pipe = subprocess.PIPE
    return subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def run(
    site: Lab, wanted: Order, *, timeout: float = 120, module: str = "deploys", arguments: Sequence[str] = ()
) -> Told:
    """Carries an order out, to its end."""
    with start(site, module, arguments) as child:
        try:
            said, log = child.communicate(wanted.model_dump_json(), timeout=timeout)
        except subprocess.TimeoutExpired:
            child.kill()
            raise
    return Told.read(child.returncode, said, log)


def tree(node: Node) -> str:
    """/etc of a node, to be compared."""
    return node.run(_TREE).stdout

"""Waves of the tests' own, run as the child process runs the real ones: `python -m tests.deploys.trial WAVE…`.

They try what a wave may count on: operations, their order, and what becomes of nodes that fail.
"""

# ruff: noqa: E402 - what is imported must find everything patched
from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import sys
from collections.abc import Sequence

from deploys.errors import NodeProblem
from deploys.operations import drop, fetch, keep, run, unit
from deploys.order import Artifact, Node, Order
from deploys.running import Run, Wave
from deploys.session import Session
from tests.deploys.runs import SECRET

_SERVICE = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c 'echo {} >>/run/trial'\n\n\
[Install]\nWantedBy=multi-user.target\n"


class Files(Wave):
    """Keeps, drops and hides."""

    name = "files"

    def add(self, run_: Run) -> None:
        run_.look("/etc/trial/deep/one", "/etc/trial/secret", "/etc/motd")
        run_.add(keep, name="One", path="/etc/trial/deep/one", content="one\n", mode="640", owner="root:daemon")
        run_.add(keep, name="Secret", path="/etc/trial/secret", content=SECRET, mode="600", secret=True)
        run_.add(drop, name="Gone", path="/etc/motd")
        run_.add(run, name="By input", command="cat >/run/trial-input", stdin=SECRET, unless="[ -e /run/trial-input ]")


class Fetching(Wave):
    """Fetches what the order's first check says: `url` and, as `text`, its sha256."""

    name = "fetching"

    def add(self, run_: Run) -> None:
        check = run_.order.profiles[0].checks[0]
        artifact = Artifact(url=check.url, sha256=check.text, size=1)
        run_.add(fetch, name="Fetch", artifact=artifact, to="/usr/local/bin/trial", mode="750")


class Service(Wave):
    """A unit of ours whose text is the order's first check's."""

    name = "service"

    def add(self, run_: Run) -> None:
        text = _SERVICE.format(run_.order.profiles[0].checks[0].text)
        run_.add(unit, name="Service", unit_name="buzzcrate-trial.service", text=text)


class OneByOne(Wave):
    """A node after the other; n2 has enough."""

    name = "one-by-one"
    halts = True

    def groups(self, order: Order, nodes: Sequence[Node]) -> Sequence[Sequence[Node]]:
        del order
        return [[node] for node in nodes]

    def add(self, run_: Run) -> None:
        if run_.node.name == "n2":
            raise NodeProblem("n2: had enough", hint="let it rest")


class Mistake(Wave):
    """A mistake of ours on n1."""

    name = "mistake"

    def add(self, run_: Run) -> None:
        if run_.node.name == "n1":
            raise KeyError("a mistake")


class Elsewhere(Wave):
    """What n2 and n3 have done on n1, and what they find out there."""

    name = "elsewhere"

    def groups(self, order: Order, nodes: Sequence[Node]) -> Sequence[Sequence[Node]]:
        return [[node for node in nodes if node.name != order.nodes[0].name]]

    def add(self, run_: Run) -> None:
        there = run_.at(run_.order.nodes[0])
        run_.learn({"there": there.ask("uname -n"), "here": run_.ask("uname -n")})
        there.add(run, name="Mark", command=f"echo {run_.node.name} >>/run/trial-mark")
        run_.add(run, name="Mark here", command="echo here >>/run/trial-mark")

    def finish(self, runs: Sequence[Run]) -> None:
        runs[0].find("met", "fine", ", ".join(run_.node.name for run_ in runs), cluster=True)


class Waiting(Wave):
    """For what never comes."""

    name = "waiting"

    def add(self, run_: Run) -> None:
        run_.wait("the file", "[ -e /run/never ]", seconds=1, every=0.2)


WAVES: Sequence[type[Wave]] = (Files, Fetching, Service, OneByOne, Mistake, Elsewhere, Waiting)


def main(names: Sequence[str]) -> int:
    order = Order.model_validate_json(sys.stdin.read())
    session = Session(order, lambda event: print(event.model_dump_json(), flush=True))  # noqa: T201
    known = {wave.name: wave for wave in WAVES}
    return 0 if session.carry_out([known[name]() for name in names]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

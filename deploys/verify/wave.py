"""Verify: asks the cluster through a server, and every node whether what was deployed answers it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from deploys import events
from deploys.cluster import wave as cluster
from deploys.cluster import workloads
from deploys.cluster.workloads import Object
from deploys.errors import NodeProblem, OperationFailed
from deploys.k3s import layout
from deploys.k3s.cluster import servers_of, speaking
from deploys.order import Check, Node, Order
from deploys.running import Run, Wave
from deploys.verify import judging, questions
from deploys.verify.judging import Expected, Verdict
from deploys.verify.questions import Answer

_EVERY = 3.0  # seconds
_PATIENCE = 1 / 5  # of the order's timeout, while nothing changes: what k3s itself starts may take a while
_REQUEST = 60


class NotVerified(NodeProblem):
    """The cluster is not what was ordered; the findings say in what."""


class Verify(Wave):
    """Nothing is changed. A plan has nothing to verify."""

    name = "verify"

    def groups(self, order: Order, nodes: Sequence[Node]) -> Sequence[Sequence[Node]]:
        return [] if order.task == "plan" or order.k3s is None else [nodes]

    def add(self, run: Run) -> None:
        """All is asked in the end, when every node has got here."""

    def finish(self, runs: Sequence[Run]) -> None:
        asked = next((run for run in runs if run.node.role == "server"), None) or _outside(runs[0])
        if asked is None:
            raise NotVerified("no server got this far, so nobody can be asked", hint="mend a server, then run again")
        expected = _expected(asked.order, runs)
        before, since = "", time.monotonic()
        while True:
            verdicts = _all(asked, runs, expected)
            wrong = judging.faults(verdicts)
            told = "; ".join(verdict.what for verdict in wrong)
            if not wrong or not all(verdict.passes for verdict in wrong):
                break
            if told != before:
                before, since = told, time.monotonic()
                asked.progress(f"waiting: {told[:300]}")
            if time.monotonic() - since > asked.order.timeout * _PATIENCE:
                break
            time.sleep(_EVERY)
        for verdict in verdicts:
            _tell(asked, verdict)
        if wrong:
            some = wrong[0].what if len(wrong) == 1 else f"{len(wrong)} things are not as ordered: {told[:500]}"
            raise NotVerified(some, hint=wrong[0].hint)


def _outside(run: Run) -> Run | None:
    """A server that the run's limit leaves out, to be asked all the same: nothing is changed there."""
    return speaking(run, [server for server in servers_of(run.order) if server not in run.order.touched])


def _expected(order: Order, runs: Iterable[Run]) -> Expected:
    assert order.k3s is not None, "there is no such wave without it"  # noqa: S101 - narrows the type
    digests = frozenset(Path(order.images).read_text().split()) if order.images else None
    there = {run.node.name for run in runs}
    return Expected(order.nodes, there, order.k3s.version, digests, unlisted=bool(order.k3s.airgap))


def _all(asked: Run, runs: Sequence[Run], expected: Expected) -> list[Verdict]:
    try:
        nodes = json.loads(asked.ask(f"{layout.BINARY} kubectl get nodes -o json", timeout=_REQUEST))["items"]
        items = cluster.ask(asked)
    except OperationFailed as problem:
        return [Verdict("nodes", "fatal", problem.what, "k3s on the server does not answer yet", passes=True)]
    verdicts = judging.judge(nodes, items, expected)
    if judging.faults(verdicts):
        return verdicts  # what does not run yet need not answer
    checks = [check for profile in asked.order.profiles for check in profile.checks]
    return [*verdicts, *(verdict for check in checks for verdict in _answers(check, runs, items))]


def _answers(check: Check, runs: Sequence[Run], items: Sequence[Object]) -> Iterator[Verdict]:
    services = workloads.services(items)
    wrong = 0
    for run in runs:
        try:
            at = questions.url(check, run.node, services)
        except KeyError as error:
            yield Verdict("answers", "fatal", f"{check.name}: there is no service {error.args[0]}", passes=True)
            return
        answer = Answer.parse(run.ask(questions.script(check, at), timeout=_REQUEST))
        if trouble := questions.trouble(check, answer):
            wrong += 1
            what = f"{check.name}: asked from {run.node.name}, {at}{_as(check)} {trouble}"
            hint = "the pods behind it and, for an ingress, its controller and address are the places to look"
            yield Verdict("answers", "fatal", what, hint, run.node.name, passes=True)
    if not wrong:
        nodes = "every node" if len(runs) > 1 else runs[0].node.name
        yield Verdict("answers", "fine", f"{check.name}: answers {nodes}")


def _as(check: Check) -> str:
    return f" (as {check.host})" if check.host else ""


def _tell(run: Run, verdict: Verdict) -> None:
    run.session.emit(
        events.Finding(
            wave=run.wave,
            node=verdict.node,
            check=verdict.check,
            level=verdict.level,
            what=verdict.what,
            hint=verdict.hint,
        )
    )


WAVE = Verify()

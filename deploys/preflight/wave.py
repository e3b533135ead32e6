"""The wave: reads all nodes at once, tells what there is to say, and lets none go on that would fail later."""

from __future__ import annotations

import time
from collections.abc import Sequence

from deploys.errors import NodeProblem
from deploys.preflight.facts import Facts, Reading
from deploys.preflight.judging import Case, Judgement, judge, together, worst
from deploys.running import Run, Wave

_TIMEOUT = 120  # seconds: `k3s --version` on a slow card is the longest part


def read(run: Run) -> Facts:
    """What the node is now, in one round trip. Raises `NodeProblem`."""
    return Facts(run.fact(Reading, _timeout=_TIMEOUT))


class Preflight(Wave):
    """Collects facts and judges them."""

    name = "preflight"

    def __init__(self) -> None:
        self._facts: dict[str, Facts] = {}

    def add(self, run: Run) -> None:
        began = time.time()
        facts = self._facts[run.node.name] = read(run)
        # the clock is read at the very beginning of the script
        found = judge(Case(facts, run.order, run.node, now=began))
        run.learn(facts.told())
        for each in found:
            _tell(run, each)
        if fatal := worst(found):
            others = sum(each.level == "fatal" for each in found) - 1
            more = f" (and {others} more)" if others else ""
            raise NodeProblem(f"{run.node.name}: {fatal.what}{more}", hint=fatal.hint)
        if not found:
            run.find("all", "fine", "nothing speaks against it")

    def finish(self, runs: Sequence[Run]) -> None:
        by_name = {run.node.name: run for run in runs}
        for name, each in together({name: self._facts[name] for name in by_name}, runs[0].order):
            _tell(by_name.get(name, runs[0]), each, cluster=not name)


def _tell(run: Run, judgement: Judgement, *, cluster: bool = False) -> None:
    run.find(judgement.check, judgement.level, judgement.what, judgement.hint, cluster=cluster)


WAVE = Preflight()

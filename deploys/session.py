"""A run: the waves of an order one after another, over one set of connections, telling all of it as events.

A State of pyinfra for each group of each wave; in it one greenlet a node. A node with a problem leaves the run, the
others go on; a wave in which nobody got through is the last.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import gevent
from paramiko import SSHException
from pyinfra.api.config import Config
from pyinfra.api.exceptions import ConnectError
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State
from pyinfra.context import ctx_host, ctx_state

from deploys import events
from deploys.connection import CONNECT_TIMEOUT, Connection, Link, admit, connector
from deploys.errors import Interrupted, NodeProblem, NotAdmitted, NotTrusted, OperationFailed, Unreachable
from deploys.order import Node, Order
from deploys.running import RESTARTING, Run, Wave

_log = logging.getLogger(__name__)
_TOLD_TO_END = Interrupted("the run was told to end", hint="the same command goes on from here")
_AWAY = (Unreachable, NotTrusted, NotAdmitted)


class Session:
    """The state of one run. `emit` takes events in the order in which they happen."""

    def __init__(self, order: Order, emit: Callable[[events.Event], None]) -> None:
        self.order, self.emit = order, emit
        self.known: dict[str, dict[str, object]] = {}
        self._links = {node.name: Link(node, order.ssh, order.timeout) for node in order.nodes}
        self._left: dict[str, str] = {}  # node -> the wave in which it left the run

    def carry_out(self, waves: Iterable[Wave]) -> bool:
        """All of `waves`, or those until one fails everywhere; whether no node failed in any."""
        good = True
        try:
            for wave in waves:
                went, others = self._wave(wave)
                good &= went
                if not others:
                    return False
        finally:
            for link in self._links.values():
                link.close()
        return good

    def learn(self, node: str, facts: Mapping[str, object], *, secret: bool) -> None:
        self.known.setdefault(node, {}).update(facts)
        self.emit(events.Learned(node=node, facts=dict(facts), secret=secret))

    def run_at(self, run: Run, node: Node) -> Run:
        """A `Run` on another node of the site within the same State."""
        host = run.host.inventory.hosts[node.name]
        self._reach(host)
        return Run(self, run.wave, node, state=host.state, host=host, link=self._links[node.name])

    def restart(self, run: Run, link: Link, seconds: int) -> None:
        """Waits for a node that was told to restart."""
        run.progress("restarting")
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            gevent.sleep(2)
            link.close()
            try:
                self._reach(run.host)
                if run.ask(f"[ -e {RESTARTING} ] || echo back", timeout=20) == "back":
                    return
            except (Unreachable, NotAdmitted, OperationFailed):
                continue
        raise Unreachable(
            f"{link.node.name} ({link.node.address}) was restarted and did not come back within {seconds} seconds",
            hint="look at its screen or its power; the next run picks it up",
        )

    def _wave(self, wave: Wave) -> tuple[bool, bool]:
        """Whether no node failed in it, and whether the waves after it have anybody to work on."""
        began = time.monotonic()
        concerned = _flat(wave.groups(self.order, self.order.touched))
        if not concerned:
            return True, True
        self.emit(events.Began(wave=wave.name, nodes=tuple(node.name for node in concerned)))
        groups = wave.groups(self.order, [node for node in self.order.touched if node.name not in self._left])
        here = {node.name for node in _flat(groups)}
        for node in concerned:
            if node.name in self._left and node.name not in here:
                self._end(wave, node, "skipped", what=f"it left the run in {self._left[node.name]}")
        runs: list[Run] = []
        halted = ""
        for group in groups:
            if halted:
                for node in group:
                    self._end(wave, node, "skipped", what=f"{halted} failed before it")
                    self._left[node.name] = wave.name
                continue
            through = self._group(wave, group)
            runs += through
            if wave.halts and len(through) < len(group):
                halted = next(node.name for node in group if node.name not in {run.node.name for run in through})
        good = len(runs) == len(concerned)
        if runs:
            good &= self._finish(wave, runs)
        self.emit(events.Ended(wave=wave.name, ok=good, seconds=round(time.monotonic() - began, 3)))
        return good, any(run.node.name not in self._left for run in runs)

    def _group(self, wave: Wave, nodes: Sequence[Node]) -> list[Run]:
        """Works on `nodes` at once; the runs of those that got through."""
        inventory = _inventory(self._links)
        config = Config(CONNECT_TIMEOUT=CONNECT_TIMEOUT)  # type: ignore[no-untyped-call]
        state = State(inventory, config, check_for_changes=False)
        ctx_state.set(state)  # type: ignore[no-untyped-call]
        runs = [
            Run(self, wave.name, node, state=state, host=inventory.hosts[node.name], link=self._links[node.name])
            for node in nodes
        ]
        workers = [gevent.spawn(self._work, wave, run) for run in runs]
        try:
            gevent.joinall(workers)
        except BaseException:
            gevent.killall(workers, exception=_TOLD_TO_END)
            raise
        return [run for run, worker in zip(runs, workers, strict=True) if worker.value]

    def _work(self, wave: Wave, run: Run) -> bool:
        """One node's part of a wave, from the first connection on."""
        ctx_host.set(run.host)  # type: ignore[no-untyped-call]
        try:
            self._reach(run.host)
            wave.add(run)
        except Interrupted:
            self._fail(wave, run, _TOLD_TO_END)
        except NodeProblem as problem:
            self._fail(wave, run, problem)
        except Exception as error:
            # a mistake of ours on one node must not cost the others their run
            _log.exception("%s on %s", wave.name, run.node.name)
            self._fail(
                wave, run, NodeProblem(f"{run.node.name}: {type(error).__name__}: {error}", hint="a bug; see the log")
            )
        else:
            self._end(wave, run.node, "done", changed=run.changed)
            return True
        return False

    def _finish(self, wave: Wave, runs: Sequence[Run]) -> bool:
        ctx_host.set(runs[0].host)  # type: ignore[no-untyped-call]
        try:
            wave.finish(runs)
        except NodeProblem as problem:
            self.emit(
                events.Finding(
                    wave=wave.name, node="", check=wave.name, level="fatal", what=problem.what, hint=problem.hint
                )
            )
            return False
        return True

    def _reach(self, host: Host) -> None:
        """Connects `host` unless it is. Raises `Unreachable`, `NotTrusted` or `NotAdmitted`."""
        link = self._links[host.name]
        with link.turn:
            try:
                fresh = not link.alive
                host.connect(show_errors=False, raise_exceptions=True)
                connection = host.connector
                if fresh and isinstance(connection, Connection):
                    connection.connect()  # a host that was connected before a restart does not see to it itself
                    admit(connection)
            except (ConnectError, OSError, EOFError, SSHException) as error:
                raise link.broken or Unreachable(f"{host.name}: {error}") from error

    def _fail(self, wave: Wave, run: Run, problem: NodeProblem) -> None:
        self._left[run.node.name] = wave.name
        self._end(
            wave,
            run.node,
            "unreachable" if isinstance(problem, _AWAY) else "failed",
            changed=run.changed,
            what=problem.what,
            hint=problem.hint,
        )

    def _end(
        self, wave: Wave, node: Node, state: events.NodeState, *, changed: int = 0, what: str = "", hint: str = ""
    ) -> None:
        self.emit(events.NodeEnded(wave=wave.name, node=node.name, state=state, changed=changed, what=what, hint=hint))


def _inventory(links: Mapping[str, Link]) -> Inventory:
    names = [(name, link.data()) for name, link in links.items()]
    inventory = Inventory((names, {}))  # type: ignore[no-untyped-call]
    for host in inventory:
        # pyinfra looks its connectors up among installed packages; ours is made for one link
        host.connector_cls = connector(links[host.name])  # type: ignore[assignment]
    return inventory


def _flat(groups: Sequence[Sequence[Node]]) -> list[Node]:
    return [node for group in groups for node in group]

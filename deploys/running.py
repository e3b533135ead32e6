"""What a wave is, and what it is given to work with.

A wave is a module with a `WAVE`; `deploys/waves.py` lists them. For each node there is one call of `add`, all nodes of
a group at once, and what it declares happens there and then, so a wave reads like a script:

    class Agents(Wave):
        name = "agents"

        def groups(self, order: Order, nodes: Sequence[Node]) -> Sequence[Sequence[Node]]:
            return [[node for node in nodes if node.role == "agent"]]

        def add(self, run: Run) -> None:
            run.look("/usr/local/bin/k3s", _CONFIG, _UNIT)           # one round trip for all that is compared below
            run.add(fetch, name="k3s", artifact=_binary(run), to="/usr/local/bin/k3s", mode="755")
            changed = run.add(keep, name="Settings", path=_CONFIG, content=_config(run), mode="600", secret=True)
            run.add(unit, name="Service", unit_name="k3s-agent.service", text=_UNIT, restarted_if=changed)
            if not run.planning:
                run.wait("the node is Ready", "test -e /run/k3s/ready", seconds=120)

    WAVE = Agents()

`run.add` returns whether something changed, or in a plan would. In a plan nothing runs on a node but facts, so what an
earlier operation would bring is not there yet: look at `run.planning` before relying on it. Whatever raises a
`NodeProblem` (a failed operation does) takes this node out of the run and leaves the others alone.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from paramiko import SSHException
from pyinfra.api.arguments_typed import PyinfraOperation
from pyinfra.api.command import PyinfraCommand, StringCommand
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.facts import FactBase
from pyinfra.api.facts import get_fact as read_fact
from pyinfra.api.host import Host
from pyinfra.api.operations import run_host_op
from pyinfra.api.state import State
from pyinfra.context import ctx_host

from deploys import events
from deploys.connection import Link
from deploys.errors import OperationFailed
from deploys.files import FileNow, look
from deploys.kept import pending
from deploys.operations import run as run_command
from deploys.order import Node, Order
from deploys.steps import Step

if TYPE_CHECKING:
    from deploys.session import Session

RESTARTING = "/run/buzzcrate-restarting"
# detached, so that the command ends before the connection does; /run is empty after a restart
_RESTART = f": >{RESTARTING}; (sleep 1; systemctl reboot) >/dev/null 2>&1 </dev/null &"
_TAIL = 20  # lines of a failed command's output that are told
Value = TypeVar("Value")


class Wave(ABC):
    """One stage of a run. `halts`: a group in which a node failed stops the groups after it."""

    name: str
    halts = False

    def groups(self, order: Order, nodes: Sequence[Node]) -> Sequence[Sequence[Node]]:
        """Which of `nodes` (those still in the run) it concerns: groups one after another, each at once."""
        del order
        return [nodes]

    @abstractmethod
    def add(self, run: Run) -> None:
        """Does the wave's work on one node."""

    def finish(self, runs: Sequence[Run]) -> None:
        """After the last group, with the runs of the nodes that got through: what only all of them together show."""
        del runs


class Run:
    """One node in one wave."""

    def __init__(self, session: Session, wave: str, node: Node, *, state: State, host: Host, link: Link) -> None:
        self.session, self.wave, self.node, self.host = session, wave, node, host
        self.order: Order = session.order
        self.planning: bool = session.order.task == "plan"
        self.changed = 0
        self._state, self._link = state, link

    # what is

    def fact(self, fact: type[FactBase[Value]], **arguments: Any) -> Value:
        """What `fact` finds on the node. Raises `OperationFailed` or `Unreachable` instead of a default."""
        with self._asking(f"looking at the node ({fact.__name__})"):
            value: Value = read_fact(self._state, self.host, fact, kwargs=arguments, apply_failed_hosts=False)
        return value

    def ask(self, script: str, *, timeout: int = 0) -> str:
        """The output of a script that changes nothing. Raises `OperationFailed` when it does not end with 0."""
        arguments = {"_timeout": timeout} if timeout else {}
        with self._asking("asking the node"):
            _, output = self.host.run_shell_command(StringCommand(script), **arguments)
        return "\n".join(output.stdout_lines)

    def holds(self, condition: str) -> bool:
        """Whether a command for sh that changes nothing succeeds."""
        return self.ask(f"if {condition}; then echo yes; fi 2>/dev/null") == "yes"

    def look(self, *paths: str) -> Mapping[str, FileNow]:
        """The files at `paths`, in one round trip; operations on them later in the wave need none of their own."""
        with self._asking("reading files"):
            return look(self.host, [each for path in paths for each in (path, pending(path))])

    def wait(self, what: str, condition: str, *, seconds: int, every: float = 1.0) -> None:
        """Until `condition` holds on the node, saying that `what` is waited for. Raises `OperationFailed`."""
        began = time.monotonic()
        while not self.holds(condition):
            if time.monotonic() - began > seconds:
                raise OperationFailed(f"{self.node.name}: after {seconds} seconds still not: {what}")
            self.progress(f"waiting: {what}")
            time.sleep(every)

    @property
    def said(self) -> str:
        """What the last command wrote on standard error, if it failed; a problem's `what` has only the end of it."""
        return self._link.failure

    def at(self, node: Node) -> Run:
        """The same wave on another node, for what has to be asked or done there; connects when nothing has yet."""
        return self.session.run_at(self, node)

    # what is done

    def add(self, operation: PyinfraOperation[...], *, name: str, **arguments: Any) -> bool:
        """Does an operation now, or in a plan finds out what it would do; whether that changes anything.

        Raises `OperationFailed` or `Unreachable`.
        """
        with self._link.turn, ctx_host.use(self.host):  # another one than the greenlet's, after `at`
            return self._add(operation, name, arguments)

    def _add(self, operation: PyinfraOperation[...], name: str, arguments: Mapping[str, Any]) -> bool:
        began = time.monotonic()
        self._link.failure = ""
        operation(name=name, **arguments)  # only declares it: the State is not executing
        operation_hash = self.host.op_hash_order[-1]
        data = self._state.get_op_data_for_host(self.host, operation_hash)
        done: list[PyinfraCommand] = []
        data.command_generator = partial(self._recorded, name, data.command_generator, done)
        try:
            if self.planning:
                list(data.command_generator())
                good = not self._link.failure
            else:
                good = run_host_op(self._state, self.host, operation_hash)
        except PyinfraError:  # a fact that the operation asked for did not come
            good = False
        if not good:
            self._tell(name, "failed", began, done)
            self._raise(name)
            raise OperationFailed(f"{self.node.name}: {name} failed")
        if not done:
            self._tell(name, "unchanged", began, done)
            return False
        self.changed += 1
        self._tell(name, "would change" if self.planning else "changed", began, done)
        return True

    def restart(self, *, seconds: int) -> None:
        """Restarts the node and waits until it is back. Raises `Unreachable` when that takes more than `seconds`."""
        self.add(run_command, name="Restart", command=_RESTART, shown="systemctl reboot")
        if not self.planning:
            self.session.restart(self, self._link, seconds)

    # what is said

    def find(self, check: str, level: events.Level, what: str, hint: str = "", *, cluster: bool = False) -> None:
        """Something to say about this node, or about the `cluster`."""
        node = "" if cluster else self.node.name
        self.session.emit(events.Finding(wave=self.wave, node=node, check=check, level=level, what=what, hint=hint))

    def learn(self, facts: Mapping[str, object], *, cluster: bool = False, secret: bool = False) -> None:
        """Facts worth keeping, of this node or of the `cluster`; later waves of this run find them with `known`."""
        self.session.learn("" if cluster else self.node.name, facts, secret=secret)

    def known(self, *, cluster: bool = False) -> Mapping[str, object]:
        """What was learned in this run about this node, or about the `cluster`."""
        return self.session.known.get("" if cluster else self.node.name, {})

    def progress(self, what: str) -> None:
        """For display only."""
        self.session.emit(events.Progressed(wave=self.wave, node=self.node.name, what=what))

    def _recorded(
        self, name: str, commands: Callable[[], Iterator[PyinfraCommand]], done: list[PyinfraCommand]
    ) -> Iterator[PyinfraCommand]:
        """Passes an operation's commands on, keeping them; with the first it is clear that there is something to do."""
        for command in commands():
            if not done and not self.planning:
                self.progress(name)
            done.append(command)
            yield command

    def _tell(self, name: str, state: events.State, began: float, done: Sequence[PyinfraCommand]) -> None:
        output = "\n".join(self._link.failure.splitlines()[-_TAIL:]) if state == "failed" else ""
        self.session.emit(
            events.Operation(
                wave=self.wave,
                node=self.node.name,
                name=name,
                state=state,
                seconds=round(time.monotonic() - began, 3),
                commands=tuple(step.shown if isinstance(step, Step) else str(step) for step in done),
                diff="".join(step.diff for step in done if isinstance(step, Step)),
                output=output,
            )
        )

    @contextmanager
    def _asking(self, doing: str) -> Iterator[None]:
        """For one command that changes nothing: what goes wrong with it becomes a problem of this node."""
        with self._link.turn:
            self._link.failure = ""
            try:
                yield
            except (OSError, EOFError, SSHException, PyinfraError) as error:
                self._raise(doing)
                raise OperationFailed(f"{self.node.name}: {doing}: {error}") from error
            self._raise(doing)

    def _raise(self, doing: str) -> None:
        """Says as a problem what went wrong in the last command, if anything did."""
        if self._link.broken is not None:
            raise self._link.broken
        if self._link.failure:
            last = self._link.failure.strip().splitlines()[-1]
            raise OperationFailed(f"{self.node.name}: {doing}: {last}")

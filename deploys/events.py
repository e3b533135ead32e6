"""What the child process says while it works: one JSON object a line on its standard output.

The parent shows them, keeps them and makes the receipt of them; nothing else leaves the child but its exit code
(0: every wave ended well; 1: some node failed; 2: the order could not be read).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Level = Literal["fatal", "warning", "fixable", "fine"]
State = Literal["unchanged", "changed", "would change", "failed"]
NodeState = Literal["done", "failed", "unreachable", "skipped"]


class _Event(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Began(_Event):
    """A wave starts, on these nodes."""

    event: Literal["began"] = "began"
    wave: str
    nodes: tuple[str, ...]


class Finding(_Event):
    """What preflight or verify has to say about a node (or, with `node` empty, about the cluster)."""

    event: Literal["finding"] = "finding"
    wave: str
    node: str
    check: str
    level: Level
    what: str
    hint: str = ""


class Operation(_Event):
    """One thing done to one node, or in a plan one that would be. `diff` is unified, secrets masked."""

    event: Literal["operation"] = "operation"
    wave: str
    node: str
    name: str
    state: State
    seconds: float = 0.0
    commands: tuple[str, ...] = ()
    diff: str = ""
    output: str = ""  # the end of its standard error, when it failed


class Progressed(_Event):
    """Something long goes on: bytes fetched, pods ready. For display only."""

    event: Literal["progressed"] = "progressed"
    wave: str
    node: str
    what: str


class NodeEnded(_Event):
    """A node is through with a wave. `what` and `hint` name the reason and the remedy unless it is done."""

    event: Literal["node"] = "node"
    wave: str
    node: str
    state: NodeState
    changed: int = 0
    what: str = ""
    hint: str = ""


class Learned(_Event):
    """Facts worth keeping: preflight's by node; the cluster's with `node` empty (its `token`, its `kubeconfig`).

    `secret` facts are never shown or logged.
    """

    event: Literal["learned"] = "learned"
    node: str
    facts: dict[str, object]
    secret: bool = False


class Ended(_Event):
    """A wave is over. `ok` when no node failed in it."""

    event: Literal["ended"] = "ended"
    wave: str
    ok: bool
    seconds: float


Event = Annotated[Began | Finding | Operation | Progressed | NodeEnded | Learned | Ended, Field(discriminator="event")]
EVENT: TypeAdapter[Event] = TypeAdapter(Event)

"""What stays to be read: the lines of a run, and of a plan. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.cluster.record import Record
from console import units
from console.visible import visible
from deploys.events import Began, Ended, Event, Finding, NodeEnded, Operation


class Lines:
    """What stays to be read of events, on a terminal and elsewhere."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def of(self, event: Event) -> Iterator[str]:
        """What a node says of itself stands in many of them: it is shown, and not obeyed."""
        return map(visible, self._of(event))

    def _of(self, event: Event) -> Iterator[str]:
        match event:
            case Began():
                yield f"{event.wave}: {', '.join(event.nodes) or 'no node to do'}"
            case Finding(level="fine"):
                pass
            case Finding():
                self._told.add((event.node, event.hint))
                yield f"  {event.node or 'cluster'}: {event.level}: {event.what}"
                yield from _hint(event.hint)
            case NodeEnded(state="failed" | "unreachable"):
                yield f"  {event.node}: {event.state}: {event.what.removeprefix(f'{event.node}: ')}"
                if (event.node, event.hint) not in self._told:  # a finding may have said it just before
                    yield from _hint(event.hint)
            case Ended():
                how = "done" if event.ok else "not done everywhere"
                yield f"{event.wave}: {how} in {units.duration(event.seconds)}"
            case _:
                pass


def _hint(hint: str) -> Iterator[str]:
    if hint:
        yield f"    hint: {hint}"


def plan_text(operations: list[Operation], record: Record) -> str:
    """Per node what would change, with diffs, in the order of the waves."""
    said: list[str] = []
    left_behind = {name for _, name, _ in record.left_behind()}
    for node in dict.fromkeys(name for wave in record.waves for name in wave.nodes):
        own = [operation for operation in operations if operation.node == node]
        if not own and node in left_behind:
            continue
        said.append(f"{node}: {_counted(len(own), 'change')}" if own else f"{node}: nothing would change")
        for operation in own:
            said.append(f"  {operation.wave}: {operation.name}")
            said += [f"      {line}" for line in operation.diff.splitlines()]
            if not operation.diff:
                said += [f"      $ {command}" for command in operation.commands]
    for wave, name, ended in record.left_behind():
        said.append(f"{name}: {ended.state} in {wave}: {ended.what.removeprefix(f'{name}: ')}")
        said += [f"  hint: {ended.hint}"] if ended.hint else []
    return "\n".join(said)


def _counted(count: int, name: str) -> str:
    return f"{count} {name}{'s' if count != 1 else ''}"

"""A lock as a graph, whatever its format was, and the walk that one machine takes through it. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from mirror.npm.machines import Machine


class Need(Enum):
    """How much a package needs another: an optional one may not run here, a peer may be left to the user."""

    FULL = "needed"
    OPTIONAL = "optional"
    PEER = "peer"


@dataclass(frozen=True, slots=True)
class Edge:
    """`to` is the key of the package that the lock has for `name`, empty when it has none."""

    name: str
    wanted: str
    need: Need
    to: str


@dataclass(frozen=True, slots=True)
class Package:
    """One package of a lock. `url` and `integrity` may be empty: then the registry's word is taken.

    `inside` is true of what travels in the project or in another package; `unserved` says why no registry can serve it.
    """

    name: str
    version: str
    edges: tuple[Edge, ...] = ()
    url: str = ""
    integrity: str = ""
    os: tuple[str, ...] = ()
    cpu: tuple[str, ...] = ()
    libc: tuple[str, ...] = ()
    inside: bool = False
    unserved: str = ""

    @property
    def restricted(self) -> bool:
        return bool(self.os or self.cpu or self.libc)


@dataclass(frozen=True, slots=True)
class Graph:
    """`wishes` maps what the recipe says to the edges that it means."""

    packages: Mapping[str, Package]
    wishes: Mapping[str, tuple[Edge, ...]]


@dataclass(frozen=True, slots=True)
class Left:
    """An optional dependency that the lock does not have; whether it matters here, only the registry can say."""

    edge: Edge
    chain: tuple[str, ...]


@dataclass(slots=True)
class Walk:
    """What one machine installs: `reached` keys per wish, the shortest `chains` by key, what is missing."""

    machine: Machine
    reached: dict[str, set[str]] = field(default_factory=dict)
    chains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    gaps: list[str] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)


def walk(graph: Graph, machine: Machine) -> Walk:
    """Breadth first from every wish, around optional packages that do not run on the machine."""
    found = Walk(machine)
    for wish, edges in graph.wishes.items():
        reached = found.reached.setdefault(wish, set())
        waiting: deque[tuple[Edge, tuple[str, ...]]] = deque((edge, (wish,)) for edge in edges)
        told: set[tuple[tuple[str, ...], Edge]] = set()
        while waiting:
            edge, chain = waiting.popleft()
            package = graph.packages.get(edge.to)
            if package is None:
                if edge.need is not Need.PEER and (chain[-1:], edge) not in told:
                    told.add((chain[-1:], edge))
                    _absent(found, edge, chain)
                continue
            trouble = package.unserved
            if not machine.runs(package.os, package.cpu, package.libc):
                trouble = f"{package.name} {package.version} does not run there"
            if trouble:
                if edge.need is not Need.OPTIONAL:
                    found.gaps.append(_gap(edge, chain, trouble))
                continue
            if edge.to not in reached:
                reached.add(edge.to)
                longer = (*chain, package.name)
                found.chains.setdefault(edge.to, longer)
                waiting.extend((needed, longer) for needed in package.edges)
    return found


def _absent(found: Walk, edge: Edge, chain: tuple[str, ...]) -> None:
    if edge.need is Need.OPTIONAL:
        found.left.append(Left(edge, chain))
    else:
        found.gaps.append(_gap(edge, chain, "the lock does not have it"))


def _gap(edge: Edge, chain: tuple[str, ...], trouble: str) -> str:
    return f"{edge.name}@{edge.wanted}, wanted by {' > '.join(chain)}: {trouble}"

"""What is asked of the solver, and what it answers: a choice of packages with its causes, or a gap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mirror.apt.packages import Package
from mirror.apt.relations import Group

SIBLING = "is built from the same source"
"""The words of the cause of a package that is there beside another."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A line of the recipe: `text` as written, the alternatives it means, and the one version it may have fixed."""

    text: str
    group: Group


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a package is there: what wanted it (None for a wish) and in which words."""

    owner: str | None
    words: str


@dataclass(frozen=True, slots=True)
class Solution:
    """`chosen` in the order of choice, without what the nodes already have in that version; `wished` are the names that
    fulfil the wishes themselves.
    """

    chosen: Mapping[str, Package]
    causes: Mapping[str, Cause]
    wished: tuple[str, ...]

    @property
    def companions(self) -> frozenset[str]:
        """What no wish needs: newer siblings of what the nodes have, and what those need."""
        beside = {name for name, cause in self.causes.items() if cause.words == SIBLING}
        return frozenset(name for name in self.chosen if beside.intersection(self._links(name)))

    def _links(self, name: str) -> list[str]:
        links = [name]
        while (cause := self.causes.get(links[-1])) and cause.owner is not None and cause.owner not in links:
            links.append(cause.owner)
        return links

    def chain(self, name: str) -> tuple[str, ...]:
        """What brought `name` in: the wish first, `name` last."""
        links = self._links(name)
        cause = self.causes.get(links[-1])
        if cause and cause.owner is None and cause.words != links[-1]:
            links.append(cause.words)
        return tuple(reversed(links))


@dataclass(frozen=True, slots=True)
class Gap:
    """A wish that cannot be fulfilled: the lines say what is missing or in the way, and wanted by whom."""

    wish: str
    lines: tuple[str, ...]

"""Chooses packages so that nothing is missing and nothing conflicts, as apt would where apt succeeds.

The order of choices is that of apt's `MarkInstall`: all wishes first, then the dependencies of each, depth first, an
alternative's whole closure before the next relation. Where a choice leads to a conflict, apt gives up or patches;
this goes back to the latest choice that had a part in the conflict and takes the next alternative (conflict-directed
backjumping, Prosser 1993). Every package carries a bit set of the choices it is there because of.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field

from mirror.apt.packages import Package
from mirror.apt.relations import Group, Relation, describe
from mirror.apt.solution import SIBLING, Cause, Gap, Solution, Wish
from mirror.apt.universe import Universe

_RETREATS = 100_000


@dataclass(frozen=True, slots=True)
class _Goal:
    """`group` is to hold because of `cause`, which is `because` in choices.

    A `soft` one may stay open; the dependencies of what a `wished` one chooses wait until all wishes are chosen;
    `expand` is where they come in.
    """

    group: Group
    cause: Cause
    because: int
    soft: bool = False
    wished: bool = False
    expand: bool = False


_Goals = tuple["_Goal", "_Goals"] | None


@dataclass(slots=True)
class _Choice:
    """A goal with alternatives left: where to go back to. `reasons` say why earlier ones failed, `blame` which choices
    had a part in that.
    """

    goal: _Goal
    options: Sequence[Package]
    rest: _Goals
    placed: int
    next: int = 0
    blame: int = 0
    reasons: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True)
class _Conflict(Exception):  # noqa: N818 - control flow within this module: an option that cannot be placed
    blame: int
    words: str


@dataclass(slots=True)
class _Unsolvable(Exception):  # noqa: N818 - control flow within this module: no choice is left
    wish: str
    lines: tuple[str, ...]


@dataclass(slots=True)
class _State:
    """What is chosen so far. Entries of `provided` and `excluded` may be stale and are checked against `present`."""

    present: dict[str, Package]
    because: dict[str, int] = field(default_factory=dict)
    causes: dict[str, Cause] = field(default_factory=dict)
    trail: list[tuple[str, Package | None]] = field(default_factory=list)
    provided: dict[str, list[Package]] = field(default_factory=dict)
    excluded: dict[str, list[tuple[Package, Relation]]] = field(default_factory=dict)

    def index(self, package: Package) -> None:
        for name, _ in package.provides:
            self.provided.setdefault(name, []).append(package)
        for relation in package.excludes:
            self.excluded.setdefault(relation.name, []).append((package, relation))

    def place(self, package: Package, because: int, cause: Cause) -> None:
        self.trail.append((package.name, self.present.get(package.name)))
        self.present[package.name] = package
        self.because[package.name] = because
        self.causes[package.name] = cause
        self.index(package)

    def undo(self, length: int) -> None:
        while len(self.trail) > length:
            name, before = self.trail.pop()
            package = self.present.pop(name)
            for provided, _ in package.provides:
                self.provided[provided].pop()
            for relation in package.excludes:
                self.excluded[relation.name].pop()
            del self.because[name]
            del self.causes[name]
            if before:
                self.present[name] = before

    def real_and_provided(self, name: str) -> Iterator[Package]:
        if name in self.present:
            yield self.present[name]
        for package in self.provided.get(name, ()):
            if self.present.get(package.name) is package and package.name != name:
                yield package


class Solver:
    """One run over one universe. `recommends` makes Recommends goals that may stay open."""

    def __init__(self, universe: Universe, *, recommends: bool = False) -> None:
        self.universe = universe
        self.recommends = recommends
        self._state = _State(dict(universe.base.packages))
        for package in universe.base.packages.values():
            self._state.index(package)
        self._choices: list[_Choice] = []
        self._passed_over: dict[str, dict[str, None]] = {}
        self._retreats = 0

    def solve(self, wishes: Sequence[Wish]) -> Solution | Gap:
        """All `wishes` together, or the first gap in the way."""
        try:
            self._run(self._wished(wishes))
            self._settle()
        except _Unsolvable as gap:
            return Gap(gap.wish, gap.lines)
        chosen = {name: self._state.present[name] for name, _ in self._state.trail}
        wished = (self._held_by(wish.group) for wish in wishes)
        return Solution(chosen, dict(self._state.causes), tuple(package.name for package in wished if package))

    def _wished(self, wishes: Sequence[Wish]) -> _Goals:
        goals: _Goals = None
        for expand in (True, False):
            for wish in reversed(wishes):
                cause = Cause(None, wish.text)
                goals = (_Goal(wish.group, cause, 0, wished=True, expand=expand), goals)
        return goals

    def _run(self, goals: _Goals) -> None:
        while goals is not None:
            goal, goals = goals
            held_by = self._held_by(goal.group)
            if held_by is not None:
                if goal.expand:
                    goals = self._dependencies(held_by, goals)
                continue
            goals = self._try(_Choice(goal, self.universe.options(goal.group), goals, len(self._state.trail)))

    def _held_by(self, group: Group) -> Package | None:
        for relation in group:
            for package in self._state.real_and_provided(relation.name):
                if self.universe.fits(relation, package):
                    return package
        return None

    def _dependencies(self, package: Package, rest: _Goals) -> _Goals:
        because = self._state.because.get(package.name, 0)
        if self.recommends:
            for group in reversed(package.recommends):
                cause = Cause(package.name, f"recommends {describe(group)}")
                rest = (_Goal(group, cause, because, soft=True), rest)
        for group in reversed(package.depends):
            rest = (_Goal(group, Cause(package.name, f"depends on {describe(group)}"), because), rest)
        return rest

    def _try(self, choice: _Choice) -> _Goals:
        """Takes the next option that can be placed, going back to earlier choices as often as it must."""
        while True:
            goal = choice.goal
            while choice.next < len(choice.options):
                package = choice.options[choice.next]
                choice.next += 1
                open_still = goal.soft or choice.next < len(choice.options)
                because = goal.because | choice.blame | (1 << len(self._choices) if open_still else 0)
                try:
                    urgent = self._place(package, because, goal.cause)
                except _Conflict as conflict:
                    choice.blame |= conflict.blame
                    choice.reasons.setdefault(conflict.words)
                    continue
                self._passed_over[package.name] = dict(choice.reasons)
                if open_still:
                    self._choices.append(choice)
                rest = choice.rest
                if not goal.wished:
                    rest = self._dependencies(package, rest)
                for upgrade in urgent:
                    rest = (upgrade, rest)
                return rest
            if goal.soft:
                return choice.rest
            if not choice.options:
                choice.reasons.setdefault(self._missing(goal))
            choice = self._back(goal.because | choice.blame, goal, choice.reasons)

    def _back(self, blame: int, goal: _Goal, reasons: dict[str, None]) -> _Choice:
        self._retreats += 1
        if self._retreats > _RETREATS:
            raise _Unsolvable(self._root(goal.cause), (f"no way found in {_RETREATS:,} attempts", *reasons))
        if not blame:
            raise _Unsolvable(self._root(goal.cause), tuple({**self._earlier(goal.cause), **reasons}))
        level = blame.bit_length() - 1
        choice = self._choices[level]
        del self._choices[level:]
        self._state.undo(choice.placed)
        choice.blame |= blame & ~(1 << level)
        choice.reasons.update(reasons)
        return choice

    def _place(self, package: Package, because: int, cause: Cause) -> list[_Goal]:
        """Puts `package` in, and returns the upgrades of what nodes have that it makes necessary."""
        state = self._state
        there = state.present.get(package.name)
        base = self.universe.base.packages
        if there is not None and base.get(package.name) is not there:
            words = f"{package} and {there} are two versions of one package"
            raise _Conflict(state.because[there.name], self._with_chains(words, cause, there))
        urgent = []
        for other, words in self._conflicts(package):
            better = self.universe.candidate(other.name)
            if other is base.get(other.name) and better is not None and better is not other:
                wanted = Relation(other.name, "", "=", better.version)
                urgent.append(_Goal((wanted,), Cause(package.name, f"breaks {other}"), because))
                continue
            raise _Conflict(state.because.get(other.name, 0), self._with_chains(words, cause, other))
        state.place(package, because, cause)
        return urgent

    def _conflicts(self, package: Package) -> Iterator[tuple[Package, str]]:
        state, fits = self._state, self.universe.fits
        for relation in package.excludes:
            for other in state.real_and_provided(relation.name):
                if other.name != package.name and fits(relation, other):
                    yield other, f"{package} conflicts with {relation}"
        for name in (package.name, *(provided for provided, _ in package.provides)):
            for owner, relation in state.excluded.get(name, ()):
                current = state.present.get(owner.name) is owner
                if current and owner.name != package.name and fits(relation, package):
                    yield owner, f"{owner} conflicts with {relation}"

    def _settle(self) -> None:
        """What an upgrade of something the nodes have left open: their dependencies on it, and its siblings."""
        if not self.universe.base.packages:
            return
        tried: set[str] = set()
        while True:
            goals: _Goals = None
            for package, group in self._broken():
                cause = Cause(package.name, f"depends on {describe(group)}")
                better = self.universe.candidate(package.name)
                if not self.universe.options(group) and better is not None and better is not package:
                    group = (Relation(package.name, "", "=", better.version),)  # noqa: PLW2901 - the way out instead
                goals = (_Goal(group, cause, self._state.because.get(package.name, 0)), goals)
            for sibling, owner in self._siblings(tried):
                tried.add(sibling.name)
                wanted = Relation(sibling.name, "", "=", sibling.version)
                goals = (_Goal((wanted,), Cause(owner.name, SIBLING), 0, soft=True), goals)
            if goals is None:
                return
            self._run(goals)

    def _broken(self) -> Iterator[tuple[Package, Group]]:
        replaced = {name for name, before in self._state.trail if before is not None}
        if replaced:
            for package in list(self._state.present.values()):
                for group in package.depends:
                    if self._held_by(group) is None:
                        yield package, group

    def _siblings(self, tried: Container[str]) -> Iterator[tuple[Package, Package]]:
        """Newer versions of what the nodes have, built from the source of something chosen."""
        sources = {self._state.present[name].source: self._state.present[name] for name, _ in self._state.trail}
        for have in self.universe.base.packages.values():
            better = self.universe.candidate(have.name)
            left = better is not None and self._state.present[have.name] is not better and have.name not in tried
            if better is not None and left and better.source in sources:
                yield better, sources[better.source]

    def _missing(self, goal: _Goal) -> str:
        why = "; ".join(dict.fromkeys(self.universe.explain(relation) for relation in goal.group))
        return f"{describe(goal.group)}: {why}{self._wanted_by(goal.cause)}"

    def _with_chains(self, words: str, cause: Cause, other: Package) -> str:
        there = self._state.causes.get(other.name)
        other_side = f"; {other.name} is{self._wanted_by(there)[1:]}" if there else "; the nodes have it already"
        return f"{words}{self._wanted_by(cause)}{other_side}"

    def _wanted_by(self, cause: Cause) -> str:
        chain: list[str] = []
        while cause.owner is not None and len(chain) < 12:
            chain.append(cause.owner)
            if cause.owner not in self._state.causes:
                return f", wanted by {' <- '.join(chain)}"
            cause = self._state.causes[cause.owner]
        if not chain or chain[-1] != cause.words:
            chain.append(cause.words)
        return f", wanted by {' <- '.join(chain)}"

    def _earlier(self, cause: Cause) -> dict[str, None]:
        """Why alternatives to what leads to `cause` were passed over."""
        found: dict[str, None] = {}
        while cause.owner is not None and cause.owner in self._state.causes:
            found = {**self._passed_over.get(cause.owner, {}), **found}
            cause = self._state.causes[cause.owner]
        return found

    def _root(self, cause: Cause) -> str:
        while cause.owner is not None and cause.owner in self._state.causes:
            cause = self._state.causes[cause.owner]
        return cause.words

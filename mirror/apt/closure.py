"""One architecture's part of a resolution: the closure of its wishes, what each costs, or every gap in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mirror.apt.packages import Origin, Package
from mirror.apt.relations import Relation
from mirror.apt.solution import Gap, Solution, Wish
from mirror.apt.solver import Solver
from mirror.apt.universe import Base, Universe
from mirror.errors import Unsolvable

_GAPS = 20
_STATUS = Origin("the base", "status", "installed")


@dataclass(frozen=True)
class Closure:
    """What is shipped for one architecture.

    `solution` is what was chosen for the wishes. `siblings` are packages that the nodes have already and that are
    shipped because something built from the same source is. `recommended` is what Recommends would add to each wish,
    by name, where they were left out.
    """

    universe: Universe
    wishes: tuple[Wish, ...]
    solution: Solution
    siblings: Mapping[str, Package] = field(default_factory=dict)
    recommended: Mapping[str, Mapping[str, Package]] = field(default_factory=dict)

    @property
    def packages(self) -> dict[str, Package]:
        return {**self.solution.chosen, **self.siblings}


def close(universe: Universe, wishes: Sequence[Wish], *, recommends: bool, siblings: bool) -> Closure:
    """Raises `Unsolvable`, with every wish that cannot be fulfilled."""
    solution = _solve(universe, wishes, recommends=recommends)
    sources = {package.source[0] for package in solution.chosen.values()}
    beside = {
        name: package
        for name, package in universe.base.packages.items()
        if siblings and name not in solution.chosen and package.source[0] in sources
    }
    recommended = {} if recommends else _recommended(universe, wishes, solution)
    return Closure(universe, tuple(wishes), solution, beside, recommended)


def _solve(universe: Universe, wishes: Sequence[Wish], *, recommends: bool = False) -> Solution:
    gaps: list[Gap] = []
    left = list(wishes)
    while len(gaps) < _GAPS:
        found = Solver(universe, recommends=recommends).solve(left)
        if isinstance(found, Gap):
            gaps.append(found)
            left = [wish for wish in left if wish.text != found.wish]
            continue
        if not gaps:
            return found
        break
    lines = [f"for {universe.architecture}, {gap.wish}: {line}" for gap in gaps for line in gap.lines[:8]]
    raise Unsolvable(
        "\n".join(dict.fromkeys(lines)),
        hint="name another version or alternative, add a suite, or put packages that conflict into two sections",
    )


def _recommended(universe: Universe, wishes: Sequence[Wish], without: Solution) -> dict[str, dict[str, Package]]:
    found = Solver(universe, recommends=True).solve(wishes)
    if isinstance(found, Gap):
        return {}
    extra: dict[str, dict[str, Package]] = {}
    for name, package in found.chosen.items():
        if name not in without.chosen:
            extra.setdefault(found.chain(name)[0], {})[name] = package
    return extra


def closed_base(universe: Universe, names: Iterable[str], *, what: str) -> Base:
    """The nodes have `names`, so they have what those need, in versions that nobody knows. Raises `Unsolvable`."""
    from_names = [Wish(name, (Relation(name),)) for name in names]
    try:
        return Base(_solve(universe, from_names).chosen)
    except Unsolvable as error:
        raise Unsolvable(f"{what} does not hold together\n{error.what}", hint=error.hint) from error

"""The proof of closure, without I/O: from every wish, along each distribution's own metadata, to nothing missing.

uv has solved this already; walking it again says which wish brought a package in, and finds what a lock made
elsewhere, or for other platforms, leaves out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version


@dataclass(frozen=True, slots=True)
class Distribution:
    """What was chosen for a name on one target."""

    name: NormalizedName
    version: Version
    requires: tuple[Requirement, ...]


@dataclass(frozen=True, slots=True)
class Wish:
    """`what` the recipe says, and the requirements that it means."""

    what: str
    requirements: tuple[Requirement, ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """`requirement`, which nothing chosen satisfies; `chain` leads from the wish to who wants it."""

    requirement: Requirement
    chain: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        return f"{self.requirement}, wanted by {' > '.join(self.chain)}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Walk:
    """`reached` per wish; `chains` per name, the shortest, wish first; what is `missing`."""

    reached: Mapping[str, frozenset[NormalizedName]]
    chains: Mapping[NormalizedName, tuple[str, ...]]
    missing: tuple[Missing, ...]


def walk(
    chosen: Mapping[NormalizedName, Distribution],
    wishes: Iterable[Wish],
    environment: Mapping[str, str],
    reasons: Mapping[NormalizedName, str],
) -> Walk:
    """Follows every requirement whose marker holds in `environment`, extras included, breadth first.

    `reasons` says of names why they could not be chosen.
    """
    reached: dict[str, frozenset[NormalizedName]] = {}
    chains: dict[NormalizedName, tuple[str, ...]] = {}
    missing: dict[str, Missing] = {}
    for wish in wishes:
        names: set[NormalizedName] = set()
        seen: set[tuple[NormalizedName, str]] = set()
        waiting: deque[tuple[Requirement, str, tuple[str, ...]]] = deque()
        waiting.extend((requirement, "", (wish.what,)) for requirement in wish.requirements)
        while waiting:
            requirement, extra, chain = waiting.popleft()
            if not _holds(requirement, extra, environment):
                continue
            name = canonicalize_name(requirement.name)
            distribution = chosen.get(name)
            if distribution is None or not _fits(requirement, distribution.version):
                held = f"only {distribution.version} is there" if distribution else reasons.get(name, "not in the lock")
                missing.setdefault(str(requirement), Missing(requirement, chain, held))
                continue
            names.add(name)
            longer = chain if name == chain[-1] else (*chain, name)
            chains.setdefault(name, longer)
            for wanted in sorted({"", *requirement.extras}):
                if (name, wanted) not in seen:
                    seen.add((name, wanted))
                    waiting.extend((needed, wanted, longer) for needed in distribution.requires)
        reached[wish.what] = frozenset(names)
    return Walk(reached, chains, tuple(missing.values()))


def roots(chosen: Mapping[NormalizedName, Distribution], known: Iterable[NormalizedName]) -> Sequence[NormalizedName]:
    """The names of a lock that nothing else in it asks for, `known` ones aside: what the lock was made for.

    A lock that is one big circle has no such name; all of it was asked for then.
    """
    wanted = {canonicalize_name(needed.name) for each in chosen.values() for needed in each.requires}
    rest = sorted(set(chosen) - set(known))
    return [name for name in rest if name not in wanted] or rest


def _holds(requirement: Requirement, extra: str, environment: Mapping[str, str]) -> bool:
    """Whether the requirement counts: those of the extra alone when one is asked for, the plain ones otherwise."""
    if requirement.marker is None:
        return not extra
    return requirement.marker.evaluate({**environment, "extra": extra})


def _fits(requirement: Requirement, version: Version) -> bool:
    """A direct reference (`name @ url`) was chosen by address: its version is whatever was found there."""
    return bool(requirement.url) or requirement.specifier.contains(version, prereleases=True)

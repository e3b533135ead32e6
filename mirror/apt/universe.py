"""Everything that one architecture has to choose from: all indexes together, and what its nodes already have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from mirror.apt.packages import Package, PackagesIndex
from mirror.apt.relations import Group, Relation
from mirror.apt.versions import version_key


@dataclass(frozen=True)
class Base:
    """What the nodes have. `versions_known` when it was read from a dpkg status file, else only names were given."""

    packages: Mapping[str, Package] = field(default_factory=dict)
    versions_known: bool = False


class Universe:
    """The packages that may be chosen for nodes of one architecture.

    A name has one candidate, as in apt: the version of the highest pin, then the highest version, unless a wish chose
    another (`pinned`). `opened` are suites that wishes named (`chrony/bookworm-backports`): their versions are looked
    at where no candidate will do.
    """

    def __init__(
        self,
        architecture: str,
        indexes: Sequence[PackagesIndex],
        *,
        base: Base | None = None,
        excluded: Iterable[str] = (),
    ) -> None:
        self.architecture = architecture
        self.base = base or Base()
        self.excluded = frozenset(excluded)
        self.pinned: dict[str, Package] = {}
        self.opened: set[str] = set()
        self._indexes = indexes
        self._candidates: dict[str, Package | None] = {}
        self._mentions: dict[str, tuple[int, ...]] = {}

    def versions(self, name: str) -> list[Package]:
        """Every version upstream has, best first."""
        found = [package for index in self._indexes for package in index.named(name) if self._installable(package)]
        return sorted(
            found, key=lambda package: (package.origin.priority, version_key(package.version), -package.origin.order)
        )[::-1]

    def _installable(self, package: Package) -> bool:
        return package.architecture in {self.architecture, "all"}

    def candidate(self, name: str) -> Package | None:
        """The version that apt would install: what the nodes have, where upstream has nothing newer."""
        if name in self.pinned:
            return self.pinned[name]
        if name not in self._candidates:
            self._candidates[name] = self._choose(name)
        return self._candidates[name]

    def _choose(self, name: str) -> Package | None:
        have = self.base.packages.get(name)
        versions = [] if name in self.excluded else self.versions(name)
        if have and (not versions or version_key(versions[0].version) <= version_key(have.version)):
            return have
        if have and versions[0].origin.priority < 100:
            return have
        return versions[0] if versions else None

    def providers(self, name: str) -> list[Package]:
        """Candidates that provide `name`, in no particular order, each once."""
        found = {
            package.name: package
            for index in self._indexes
            for package in index.provided_by(name)
            if self._installable(package) and self.candidate(package.name) is package
        }
        for package in self.base.packages.values():
            if self.candidate(package.name) is package and any(name == provided for provided, _ in package.provides):
                found[package.name] = package
        return list(found.values())

    def fits(self, relation: Relation, package: Package) -> bool:
        """Whether `package` fulfils `relation`, by its name or by what it provides."""
        by_name = package.name == relation.name and relation.accepts(package.version)
        if by_name:
            return self._qualifies(relation.qualifier, package)
        return relation.qualifier in {"", "any", "native", self.architecture} and any(
            provided == relation.name and relation.accepts(version) for provided, version in package.provides
        )

    def _qualifies(self, qualifier: str, package: Package) -> bool:
        match qualifier:
            case "" | "native":
                return True
            case "any":
                return package.multi_arch == "allowed"
            case _:
                return qualifier == self.architecture

    def options(self, group: Group) -> list[Package]:
        """What may be installed for `group`, in apt's order: alternatives as written, within one as apt's
        `CompareProviders` sorts, what the nodes have before what they lack.
        """
        found: dict[int, Package] = {}
        for relation in group:
            candidate = self.candidate(relation.name)
            named = [candidate] if candidate else []
            suitable = [p for p in [*named, *self.providers(relation.name)] if self.fits(relation, p)]
            for package in self._sorted(relation.name, suitable):
                found.setdefault(id(package), package)
        if not found:
            for relation in group:
                for package in self.versions(relation.name):
                    if self.opened & {package.origin.suite, package.origin.codename} and self.fits(relation, package):
                        found.setdefault(id(package), package)
        return sorted(found.values(), key=lambda package: package.name not in self.base.packages)

    def _sorted(self, target: str, packages: list[Package]) -> list[Package]:
        def merit(package: Package) -> tuple[bool, bool, bool, bool, int]:
            installed = package.name in self.base.packages
            return (
                not installed,
                package.name != target,
                not package.essential,
                not package.important,
                package.priority,
            )

        ranked: list[Package] = []
        for _, group in groupby(sorted(packages, key=merit), key=merit):
            equals = list(group)
            if len(equals) > 1:
                # apt's last word between equals: the one it met last while reading.
                equals.sort(key=lambda package: self._met(package.name), reverse=True)
            ranked += equals
        return ranked

    def _met(self, name: str) -> tuple[int, ...]:
        if name not in self._mentions:
            self._mentions[name] = next(
                (
                    (order, *mention)
                    for order, index in enumerate(self._indexes)
                    if (mention := index.mention(name)) is not None
                ),
                (len(self._indexes),),
            )
        return self._mentions[name]

    def essential(self) -> dict[str, Package]:
        """The candidates of the packages that every node has: those marked Essential."""
        names = {package.name for index in self._indexes for package in index.essential()}
        return {name: package for name in sorted(names) if (package := self.candidate(name)) and package.essential}

    def explain(self, relation: Relation) -> str:
        """Why nothing fulfils `relation`, for the message."""
        if relation.qualifier not in {"", "any", "native", self.architecture}:
            return f"{relation} is of another architecture"
        if relation.name in self.excluded:
            return f"{relation.name} is excluded by the recipe"
        versions = self.versions(relation.name)
        if not versions:
            return f"no package named {relation.name}"
        if relation.qualifier == "any" and versions[0].multi_arch != "allowed":
            return f"{versions[0].name} is not Multi-Arch: allowed"
        there = ", ".join(f"{package.version} in {package.origin.suite}" for package in versions[:3])
        return f"{relation} is wanted, there is {there}"

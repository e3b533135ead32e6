"""Relations between packages: `Depends:`, `Conflicts:`, `Provides:` and their kin (Debian Policy, section 7.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from mirror.apt.versions import check_version, satisfies
from mirror.errors import BadIndex

_FORM = re.compile(
    r"([a-z0-9][a-z0-9.+-]*)(?::([a-z0-9-]+))?"
    r"(?:\s*\(\s*(<<|<=|=|>=|>>|<|>)\s*([^\s()]+)\s*\))?",
    re.IGNORECASE,
)
# dpkg reads the two obsolete spellings so.
_OBSOLETE = {"<": "<=", ">": ">="}


@dataclass(frozen=True, slots=True)
class Relation:
    """`name[:qualifier] [(operator version)]`; qualifier, operator and version are empty where not written."""

    name: str
    qualifier: str = ""
    operator: str = ""
    version: str = ""

    @classmethod
    def parse(cls, text: str) -> Relation:
        match = _FORM.fullmatch(text.strip())
        if not match:
            raise BadIndex(f"{text.strip()[:120]!r} is not a relation to a package")
        name, qualifier, operator, version = match.groups(default="")
        if version:
            check_version(version)
        return cls(name, qualifier, _OBSOLETE.get(operator, operator), version)

    def accepts(self, version: str) -> bool:
        """Whether a package of this name in `version` will do. An unversioned provision (empty `version`) does only
        where no version is asked for.
        """
        return not self.operator or (bool(version) and satisfies(version, self.operator, self.version))

    def __str__(self) -> str:
        name = f"{self.name}:{self.qualifier}" if self.qualifier else self.name
        return f"{name} ({self.operator} {self.version})" if self.operator else name


Group = tuple[Relation, ...]
"""Alternatives, best first: any of them will do."""


@lru_cache(maxsize=1 << 14)
def parse_relations(text: str) -> tuple[Group, ...]:
    """A whole field: groups that must all hold. Raises `BadIndex`."""
    return tuple(
        tuple(Relation.parse(alternative) for alternative in group.split("|"))
        for group in text.split(",")
        if group.strip()
    )


def describe(group: Group) -> str:
    return " | ".join(str(relation) for relation in group)

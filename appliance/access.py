"""Who may do what: the one place that is asked before anything is read, published or changed. Pure.

What rights are about is a name: a repository of the registry (`team-a/app`), or what a path serves: `pypi/PROJECT`,
`npm/PACKAGE`, `charts/CHART`, and for files and apt the path itself (`files/tools/k9s`, `apt/team/pool/…`). A pattern
is such a name, or one that ends in `/*` and means all below it; `*` means everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from appliance.errors import BadPattern

EVERYTHING = "*"
_PROJECT = re.compile(r"pypi/(?:simple|files)/([^/]+)/.*")
_CHART = re.compile(r"helm/charts/(.+?)-v?\d+\..*")
_PATTERN = re.compile(r"\*|[A-Za-z0-9@._~+-]+(?:/[A-Za-z0-9@._~+-]+)*(?:/\*)?")


class Role(Enum):
    """What somebody is to the crate; each may do all that those before it may."""

    READER = "reader"
    PUBLISHER = "publisher"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Rights:
    """Patterns: where a publisher may publish (nothing named means everywhere), and which private names to read."""

    publish: tuple[str, ...] = ()
    read: tuple[str, ...] = ()


NO_RIGHTS = Rights()


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request; without a sign-on there is no role. `name` is a user's, or `token:<id>`."""

    role: Role | None = None
    name: str = ""
    rights: Rights = NO_RIGHTS

    @property
    def publishes(self) -> bool:
        """Whether he may publish anywhere at all."""
        return self.role in {Role.PUBLISHER, Role.OPERATOR}


ANYBODY = Caller()


@dataclass(frozen=True, slots=True)
class Access:
    """`open_pulls`: everybody on the crate's network may read, but for what the patterns in `private` cover."""

    open_pulls: bool = True
    private: tuple[str, ...] = ()

    def may_read(self, caller: Caller, name: str) -> bool:
        """What is private is read by operators, by those told so, and by those who may publish there."""
        if covered(name, self.private):
            return caller.role is Role.OPERATOR or covered(name, caller.rights.read) or self.may_publish(caller, name)
        return self.open_pulls or caller.role is not None

    def may_list(self, caller: Caller) -> bool:
        """Whether to tell the caller which repositories there are, those that he may read."""
        return self.open_pulls or caller.role is not None

    def may_publish(self, caller: Caller, name: str) -> bool:
        if caller.role is Role.OPERATOR:
            return True
        return caller.role is Role.PUBLISHER and covered(name, caller.rights.publish or (EVERYTHING,))

    def may_operate(self, caller: Caller) -> bool:
        """Whether the caller may change the crate itself: users, generations, what others published."""
        return caller.role is Role.OPERATOR


def name_of(path: str) -> str:
    """What rights to a path, from the server's root, are about."""
    root, _, rest = path.partition("/")
    if root == "pypi" and (project := _PROJECT.fullmatch(path)):
        return f"pypi/{project[1]}"
    if root == "npm":
        return f"npm/{rest.partition('/-/')[0]}"
    if root == "helm" and (chart := _CHART.fullmatch(path)):
        return f"charts/{chart[1]}"
    return path


def covered(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns means `name`; `team/*` means `team/app`, not `team` and not `team-b/app`."""
    names, folders = _sorted_out(tuple(patterns))
    return name in names or name.startswith(folders)


@lru_cache(maxsize=1024)
def _sorted_out(patterns: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Whole names, and what names below folders begin with; this is asked with every request."""
    folders = tuple(pattern[:-1] for pattern in patterns if pattern.endswith("/*"))
    return frozenset(patterns), ("", *folders) if EVERYTHING in patterns else folders


def check_patterns(patterns: Iterable[str]) -> tuple[str, ...]:
    """The patterns, sorted, each once. Raises `BadPattern`."""
    chosen = tuple(sorted(set(patterns)))
    for pattern in chosen:
        if not _PATTERN.fullmatch(pattern):
            raise BadPattern(
                f"{pattern[:80]!r} is no pattern for names",
                hint="write a whole name, or a folder and /* for all below it: team-a/*",
            )
    return chosen

"""Version constraints as Helm understands them (Masterminds/semver): what a chart's `version` and dependencies say.

Helm's rules differ from npm's and from PEP 440 in small ways that choose another chart, so they are written out here;
ordering is semver's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from semver import Version

from archive.errors import InvalidValue

_VERSION = re.compile(r"v?(\d{1,18})(?:\.(\d{1,18}))?(?:\.(\d{1,18}))?(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
_OPERATOR = r"(=|==|!=|>|<|>=|=>|<=|=<|~|~>|\^)?"
_NUMBER = r"v?(\d{1,18}|[xX*])(?:\.(\d{1,18}|[xX*]))?(?:\.(\d{1,18}|[xX*]))?(-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
_TERM = re.compile(rf"\s*{_OPERATOR}\s*{_NUMBER}\s*(?:,|\s|$)")
_RANGE = re.compile(rf"({_NUMBER})\s+-\s+({_NUMBER})")
_ALIASES = {"": "=", "==": "=", "=>": ">=", "=<": "<=", "~>": "~"}
_LENGTH = 512  # characters


def parse_version(text: str) -> Version:
    """Leniently, as Helm does: `v1.2` is 1.2.0. Raises `InvalidValue`."""
    found = _VERSION.fullmatch(text) if len(text) <= 256 else None
    try:
        if found is None:
            raise ValueError
        numbers = [int(number or 0) for number in found.groups()[:3]]
        return Version.parse(f"{_version(numbers)}{found[4] or ''}{found[5] or ''}")
    except ValueError as error:
        raise InvalidValue(f"{text[:100]!r} is not a version", hint="write it like 1.2.3") from error


def _version(numbers: list[int], prerelease: str = "") -> Version:
    """Numbers that are left out are zero."""
    major, minor, patch = [*numbers, 0, 0, 0][:3]
    return Version(major, minor, patch, prerelease or None)


@dataclass(frozen=True, slots=True)
class _Bounds:
    """`low` <= version < `high`, or the opposite of it where `inverted`; no `high` is no limit."""

    low: Version
    high: Version | None
    inverted: bool
    prerelease: bool

    def admits(self, version: Version) -> bool:
        """A pre-release only where the constraint itself names one."""
        if version.prerelease and not self.prerelease:
            return False
        inside = self.low <= version and (self.high is None or version < self.high)
        return inside != self.inverted


@dataclass(frozen=True, slots=True)
class Constraint:
    """Alternatives, of which each is a set of bounds that hold together."""

    text: str
    alternatives: tuple[tuple[_Bounds, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Empty text admits every release. Raises `InvalidValue`."""
        if len(text) > _LENGTH:
            raise InvalidValue(f"a version constraint of {len(text)} characters is none")
        alternatives = tuple(tuple(_terms(part.strip() or "*", text)) for part in text.split("||"))
        return cls(text, alternatives)

    def admits(self, version: Version) -> bool:
        return any(all(bounds.admits(version) for bounds in every) for every in self.alternatives)


def _terms(part: str, text: str) -> list[_Bounds]:
    part = _RANGE.sub(lambda found: f">={found[1]} <={found[6]}", part)
    bounds, position = [], 0
    while position < len(part):
        found = _TERM.match(part, position)
        if found is None:
            raise InvalidValue(f"{text[:100]!r} is not a version constraint", hint="write it like ^1.2 or >=1.2 <2")
        bounds.append(_bounds(found))
        position = found.end()
    return bounds


def _bounds(found: re.Match[str]) -> _Bounds:
    """A number that is left out or a wildcard widens the term to everything that begins like it."""
    operator = _ALIASES.get(found[1] or "", found[1])
    given = [int(word) for word in _until_wildcard(found.groups()[1:4])]
    prerelease = (found[5] or "")[1:]
    low = _version(given, prerelease)
    after = _next(given) if len(given) < 3 else None
    match operator:
        case ">":
            low, high = (after or _just_above(low)) if given else low, None
            return _Bounds(low, high, inverted=not given, prerelease=bool(prerelease))
        case ">=":
            high = None
        case "<":
            low, high = _LEAST, low
        case "<=":
            low, high = _LEAST, after or _just_above(low)
        case "~":
            high = _next(given[:2])
        case "^":
            leading = next((place for place, number in enumerate(given) if number), len(given) - 1)
            high = _next(given[: leading + 1])
        case _:
            high = (after if len(given) < 3 else _just_above(low)) if given else None
    return _Bounds(low, high, inverted=operator == "!=", prerelease=bool(prerelease))


_LEAST = Version(0, 0, 0, prerelease="0")


def _until_wildcard(words: tuple[str | None, ...]) -> list[str]:
    kept = []
    for word in words:
        if word is None or word in "xX*":
            break
        kept.append(word)
    return kept


def _next(given: list[int]) -> Version | None:
    """The least version above all that begin with `given`; none for no numbers, which everything begins with."""
    if not given:
        return None
    raised = [*given[:-1], given[-1] + 1]
    return _version(raised, "0")


def _just_above(version: Version) -> Version:
    """The least version greater than this one (semver 2.0.0, item 11)."""
    if version.prerelease:
        return version.replace(prerelease=f"{version.prerelease}.0")
    return Version(version.major, version.minor, version.patch + 1, prerelease="0")

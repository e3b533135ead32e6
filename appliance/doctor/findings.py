"""What a check says: how grave it is, what was seen, and the remedy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any, Self


class Level(IntEnum):
    """In the order of their gravity. FATAL: something does not work, or data is lost. WARNING: it will not for long."""

    FINE = 0
    WARNING = 1
    FATAL = 2

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check saw. `remedy` is empty where there is nothing to do."""

    check: str
    level: Level
    what: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        return {**asdict(self), "level": self.level.word}


@dataclass(frozen=True, slots=True)
class Seen:
    """A finding of a check that does not know its own name."""

    level: Level
    what: str
    remedy: str = ""


def fine(what: str) -> Seen:
    return Seen(Level.FINE, what)


def warning(what: str, remedy: str) -> Seen:
    return Seen(Level.WARNING, what, remedy)


def fatal(what: str, remedy: str) -> Seen:
    return Seen(Level.FATAL, what, remedy)


@dataclass(frozen=True, slots=True)
class Report:
    """All findings of one examination, at `at` (seconds since 1970); `whole` when the slow checks were among them."""

    at: int
    whole: bool
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The gravest."""
        return max((finding.level for finding in self.findings), default=Level.FINE)

    def of(self, level: Level) -> list[Finding]:
        return [finding for finding in self.findings if finding.level is level]

    def line(self) -> str:
        """The answer to "is everything well?"."""
        graves, warnings = self.of(Level.FATAL), self.of(Level.WARNING)
        if not graves and not warnings:
            return "everything is well"
        parts = [f"to be done now: {len(graves)}"] if graves else []
        parts += [f"to be looked at: {len(warnings)}"] if warnings else []
        return f"not everything is well ({', '.join(parts)})"

    def to_json(self) -> dict[str, Any]:
        return {
            "at": self.at,
            "whole": self.whole,
            "level": self.level.word,
            "findings": [finding.to_json() for finding in self.findings],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        return cls(document["at"], document["whole"], tuple(map(_finding, document["findings"])))


def _finding(document: Mapping[str, str]) -> Finding:
    return Finding(document["check"], Level[document["level"].upper()], document["what"], document["remedy"])


def gravest_first(findings: Iterable[Finding]) -> list[Finding]:
    """As a person wants to read them; otherwise in the order of the checks."""
    return sorted(findings, key=lambda finding: -finding.level)

"""The `packages` of a section, as apt takes them on its command line, and what they mean for one architecture."""

from __future__ import annotations

import re
from dataclasses import dataclass

from archive.errors import InvalidValue
from mirror.apt.relations import Group, Relation, parse_relations
from mirror.apt.solution import Wish
from mirror.apt.universe import Universe
from mirror.apt.versions import version_key
from mirror.errors import BadIndex, BadSection

_FORM = re.compile(r"([a-z0-9][a-z0-9.+-]*)(?::([a-z0-9-]+))?(?:=([^\s/]+)|/([A-Za-z0-9._-]+))?")


@dataclass(frozen=True, slots=True)
class Line:
    """One of `packages`. `architecture`, `version` and `suite` are empty where not written."""

    text: str
    group: Group
    architecture: str = ""
    version: str = ""
    suite: str = ""

    @classmethod
    def parse(cls, text: str) -> Line:
        """`name[:architecture][=version | /suite]`, or alternatives as in a Depends field. Raises `BadSection`."""
        match = _FORM.fullmatch(text.strip())
        try:
            if match:
                name, architecture, version, suite = match.groups(default="")
                if version:
                    version_key(version)
                return cls(text, (Relation(name),), architecture, version, suite)
            groups = parse_relations(text)
        except (BadIndex, InvalidValue) as error:
            raise BadSection(f"packages: {text[:80]!r}: {error}", hint="write it as for apt-get install") from error
        if len(groups) != 1:
            raise BadSection(f"packages: {text[:80]!r} is not one package", hint="one entry of the list for each")
        return cls(text, groups[0])

    def wish(self, universe: Universe) -> Wish | None:
        """What it means for `universe`, whose candidate it may change; None where it is for another architecture."""
        if self.architecture not in {"", "all", universe.architecture}:
            return None
        name = self.group[0].name
        if self.version:
            wanted = version_key(self.version)
            found = [p for p in universe.versions(name) if version_key(p.version) == wanted]
            if found:
                universe.pinned[name] = found[0]
            return Wish(self.text, (Relation(name, "", "=", self.version),))
        if self.suite:
            universe.opened.add(self.suite)
            found = [p for p in universe.versions(name) if self.suite in {p.origin.suite, p.origin.codename}]
            if not found:
                return Wish(self.text, (Relation(name, "", "=", f"0~in-{self.suite}"),))
            universe.pinned[name] = found[0]
            return Wish(self.text, (Relation(name, "", "=", found[0].version),))
        have, candidate = universe.base.packages.get(name), universe.candidate(name)
        if len(self.group) == 1 and have is not None and candidate is not None and candidate is not have:
            # As `apt-get install` does: what is asked for by name is brought up to date.
            return Wish(self.text, (Relation(name, "", "=", candidate.version),))
        return Wish(self.text, self.group)

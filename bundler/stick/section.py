"""`[appliance]`: what a recipe says about the program that sets up a board."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, StrictStr, field_validator

from archive.platforms import Platform
from mirror.pypi.section import OLDEST_GLIBC, LibcText, PythonText
from mirror.section import Section, UrlText, refusal

ARCHITECTURES = ("amd64", "arm64")
"""What every library that the appliance needs is published for, ready to install."""
PYTHONS = ("3.11", "3.12", "3.13")
"""Debian 12's, Ubuntu 24.04's and Debian 13's; Raspberry Pi OS has those of the Debian that it is made of."""
OLDEST_PYTHON = (3, 11)


class ApplianceSection(Section):
    """What a board needs that has nothing but Python, for each of its platforms and Pythons.

    `packages` come from the `[[apt]]` repositories named in `apt`, or else from the first one; the appliance answers
    names and time with them. `indexes` are as in `[[pypi]]`.
    """

    python: Annotated[tuple[PythonText, ...], Field(min_length=1)] = PYTHONS
    libc: Annotated[tuple[LibcText, ...], Field(min_length=1)] = (OLDEST_GLIBC,)
    indexes: tuple[UrlText, ...] = ()
    packages: tuple[StrictStr, ...] = ("dnsmasq-base", "chrony")
    apt: tuple[StrictStr, ...] = ()

    @field_validator("python")
    @classmethod
    def _check_python(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for version in value:
            if tuple(map(int, version.split("."))) < OLDEST_PYTHON:
                raise refusal(f"the appliance does not run on Python {version}", "it takes 3.11 or later")
        return value

    def platforms_of(self, crate: Iterable[Platform]) -> tuple[Platform, ...]:
        """Its own, or those of the crate's platforms that an appliance can run on."""
        able = (one for one in crate if one.os == "linux" and one.architecture in ARCHITECTURES)
        return self.platforms or tuple(able)

    def check(self, crate: Iterable[Platform], repositories: Iterable[str]) -> None:
        """Against the rest of the recipe: the crate's platforms, and the names of its `[[apt]]` repositories."""
        if not self.platforms_of(crate):
            raise refusal(
                "[appliance]: none of the crate's platforms is one that an appliance runs on",
                'give it platforms = ["linux/arm64"], or leave [appliance] out',
            )
        if unknown := [name for name in self.apt if name not in set(repositories)]:
            raise refusal(f"[appliance]: there is no [[apt]] called {unknown[0]!r}", "name one of the recipe's own")

"""`[[pypi]]`: what a recipe says about Python packages."""

from __future__ import annotations

import re
from typing import Annotated, Self

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import Field, model_validator

from mirror.section import Section, UrlText, parsed, refusal

DEBIAN_PYTHONS = ("3.11", "3.13")
"""What Debian 12 and 13 carry, and so what most nodes run."""

OLDEST_GLIBC = "glibc-2.31"
"""Debian 11's and Ubuntu 20.04's: wheels for it run on every node installed since 2020."""


def _requirement(text: str) -> str:
    try:
        Requirement(text)
    except InvalidRequirement as error:
        why = str(error).splitlines()[0]
        raise refusal(f"{text[:200]!r} is not a requirement: {why}", "write it like aiohttp>=3.9") from error
    return text


def _python(version: str) -> str:
    if not re.fullmatch(r"3\.\d{1,2}", version):
        raise refusal(f"{version[:40]!r} is not a version of Python", "write it like 3.13")
    return version


def _libc(level: str) -> str:
    if not re.fullmatch(r"(glibc-2|musl-1)\.\d{1,2}", level):
        raise refusal(f"{level[:40]!r} is not a C library", "write it like glibc-2.31 or musl-1.2")
    return level


RequirementText = Annotated[str, parsed(_requirement)]
PythonText = Annotated[str, parsed(_python)]
LibcText = Annotated[str, parsed(_libc)]


class PypiSection(Section):
    """One set of Python packages that are installed together, on every combination of platform, Python and libc.

    Requirements and files are resolved together; every lock is taken as it stands. `platforms` defaults to the
    crate's, `indexes` (the first is the main one) to what this machine's pip, or else uv, is configured with. Without
    `sdists` a package that has no wheel for a target fails the build; with them, what building it takes is packed too.
    """

    requirements: tuple[RequirementText, ...] = ()
    files: tuple[str, ...] = ()
    constraints: tuple[RequirementText, ...] = ()
    locks: tuple[str, ...] = ()
    wheels: tuple[str, ...] = ()
    python: Annotated[tuple[PythonText, ...], Field(min_length=1)] = DEBIAN_PYTHONS
    libc: Annotated[tuple[LibcText, ...], Field(min_length=1)] = (OLDEST_GLIBC,)
    indexes: tuple[UrlText, ...] = ()
    sdists: bool = False

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not (self.requirements or self.files or self.locks or self.wheels):
            raise refusal("[[pypi]] asks for nothing", "give it requirements, files, locks or wheels")
        return self

"""The ecosystems that a recipe may name: for each, its section, how to call one of them, and who resolves it.

The next one is a package under mirror/, a line here and a field of the recipe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from bundler.recipe import Contents
from mirror.apt import logins as apt_logins
from mirror.apt import resolve as apt
from mirror.apt.section import AptSection
from mirror.ecosystem import Resolution, ResolveContext
from mirror.files import resolve as files
from mirror.files.section import FileSection
from mirror.helm import resolve as helm
from mirror.helm.section import ChartSection
from mirror.logins import Login
from mirror.npm import logins as npm_logins
from mirror.npm import resolve as npm
from mirror.npm.section import NpmSection
from mirror.pypi import logins as pypi_logins
from mirror.pypi import resolve as pypi
from mirror.pypi.section import PypiSection

_Section = TypeVar("_Section")


@dataclass(frozen=True)
class Ecosystem(Generic[_Section]):
    """`key` is its key in the recipe; `name` what people call a section, `wishes` what it asks for, as written."""

    key: str
    name: Callable[[_Section], str]
    wishes: Callable[[_Section], tuple[str, ...]]
    resolve: Callable[[_Section, ResolveContext], Awaitable[Resolution]]

    def sections(self, contents: Contents) -> Iterator[tuple[int, _Section]]:
        """Those of a recipe, each with its place among them."""
        yield from enumerate(getattr(contents, self.key))


async def logins(contents: Contents, base: Path) -> list[Login]:
    """What this machine's own clients of the ecosystems that a recipe names log in with."""
    found: list[Login] = []
    if contents.apt:
        found += await asyncio.to_thread(apt_logins.logins)
    if contents.pypi:
        found += await pypi_logins.logins()
    if contents.npm:
        found += await asyncio.to_thread(npm_logins.logins, base)
    return found


def _file(section: FileSection) -> str:
    return section.name


def _apt(section: AptSection) -> tuple[str, ...]:
    return section.packages + section.debs


def _pypi(section: PypiSection) -> tuple[str, ...]:
    return section.requirements + section.files + section.locks + section.wheels


def _npm(section: NpmSection) -> tuple[str, ...]:
    return section.packages + section.locks


def _chart(section: ChartSection) -> str:
    return section.name or section.path


ECOSYSTEMS: tuple[Ecosystem[Any], ...] = (
    Ecosystem("files", _file, lambda _: (), files.resolve),
    Ecosystem("apt", lambda section: section.name, _apt, apt.resolve),
    Ecosystem("pypi", lambda _: "pypi", _pypi, pypi.resolve),
    Ecosystem("npm", lambda _: "npm", _npm, npm.resolve),
    Ecosystem("charts", _chart, lambda _: (), helm.resolve),
)

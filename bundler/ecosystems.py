"""The ecosystems that a recipe may name: for each, its section, how to call one of them, and who resolves it.

The next one is a package under mirror/, a line here and a field of the recipe. What resolves a section is loaded when a
recipe has one: a build of images should not wait for a dependency solver.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

from bundler.recipe import Contents
from mirror.apt.section import AptSection
from mirror.ecosystem import Resolution, ResolveContext
from mirror.files.section import FileSection
from mirror.helm.section import ChartSection
from mirror.logins import Login
from mirror.npm.section import NpmSection
from mirror.pypi.section import PypiSection

_Section = TypeVar("_Section")


@dataclass(frozen=True)
class Ecosystem(Generic[_Section]):
    """`key` is its key in the recipe, `package` its package of `mirror`.

    `name` gives what people call a section, `wishes` what it asks for, as written.
    """

    key: str
    package: str
    name: Callable[[_Section], str]
    wishes: Callable[[_Section], tuple[str, ...]]

    async def resolve(self, section: _Section, context: ResolveContext) -> Resolution:
        resolve: Callable[[_Section, ResolveContext], Awaitable[Resolution]]
        resolve = import_module(f"mirror.{self.package}.resolve").resolve
        return await resolve(section, context)

    def sections(self, contents: Contents) -> Iterator[tuple[int, _Section]]:
        """Those of a recipe, each with its place among them."""
        yield from enumerate(getattr(contents, self.key))


async def logins(contents: Contents, base: Path) -> list[Login]:
    """What this machine's own clients of the ecosystems that a recipe names log in with."""
    found: list[Login] = []
    if contents.apt:
        found += await asyncio.to_thread(_logins("apt"))
    if contents.pypi or contents.appliance:
        found += await _logins("pypi")()
    if contents.npm:
        found += await asyncio.to_thread(_logins("npm"), base)
    return found


def _logins(package: str) -> Callable[..., Any]:
    function: Callable[..., Any] = import_module(f"mirror.{package}.logins").logins
    return function


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


APT = Ecosystem[AptSection]("apt", "apt", lambda section: section.name, _apt)
CHARTS = Ecosystem("charts", "helm", _chart, lambda _: ())
ECOSYSTEMS: tuple[Ecosystem[Any], ...] = (
    Ecosystem("files", "files", _file, lambda _: ()),
    APT,
    Ecosystem("pypi", "pypi", lambda _: "pypi", _pypi),
    Ecosystem("npm", "npm", lambda _: "npm", _npm),
    CHARTS,
)

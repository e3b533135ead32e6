"""What people on site asked for and the recipe does not: kept in the lock, and read together with the recipe.

The recipe stays as its author wrote it. A wish stays in the lock until the recipe names the same thing or somebody
drops it, so that what a site was given once does not vanish with the release after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from pydantic import BaseModel

from archive.requests import KINDS
from bundler.recipe import Contents, ImageSection, Recipe, served_name
from mirror.apt.section import AptSection
from mirror.helm.section import ChartSection
from mirror.npm.section import NpmSection
from mirror.pypi.section import PypiSection

_PACKAGES = {"apt": "packages", "pypi": "requirements", "npm": "packages"}
"""The key below which a section of each kind names what it asks for."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A request of a crate, by its `kind` and `name`, and what brings it: a `table` of the recipe's `section`.

    Packages join the first section that fits, and are resolved together with it, unless they are `apart`: what cannot
    be installed beside the rest may still be carried.
    """

    kind: str
    name: str
    section: str
    table: Mapping[str, Any] = field(hash=False)
    apart: bool = False

    def to_json(self) -> dict[str, Any]:
        full = {"kind": self.kind, "name": self.name, "section": self.section, "table": dict(self.table)}
        return {**full, "apart": True} if self.apart else full

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Raises `KeyError`, `TypeError` or `ValueError`."""
        table = {key: tuple(it) if isinstance(it, list) else it for key, it in value["table"].items()}
        found = cls(value["kind"], value["name"], value["section"], table, value.get("apart", False))
        if found.kind not in KINDS or found.section not in _ADD:
            raise ValueError(f"nothing brings {found.kind} {found.name!r}")
        return found

    @property
    def key(self) -> tuple[str, str]:
        return (self.kind, self.name)


def extended(recipe: Recipe, wishes: Iterable[Wish]) -> Recipe:
    """The recipe with the wishes in it; its text, which travels and names its lock, stays what it is.

    Raises pydantic's `ValidationError` for a wish that no recipe could hold.
    """
    contents = recipe.contents
    for wish in wishes:
        contents = _ADD[wish.section](contents, wish)
    return recipe if contents is recipe.contents else replace(recipe, contents=contents)


def matching(contents: Contents, section: str, table: Mapping[str, Any]) -> BaseModel | None:
    """The section of the recipe that says where such packages come from, and for what they are.

    The first that asks for some by name, which they would join; else the first at all, which is taken as a pattern.
    """
    fitting: list[BaseModel] = [
        candidate for candidate in getattr(contents, section) if getattr(candidate, "name", "") == table.get("name", "")
    ]
    return next((it for it in fitting if getattr(it, _PACKAGES[section])), fitting[0] if fitting else None)


def named(contents: Contents, wish: Wish) -> bool:
    """Whether the recipe names the very thing itself."""
    if wish.section == "images":
        wanted = served_name(ImageSection.model_validate(wish.table).reference)
        return any(served_name(section.reference) == wanted for section in contents.images)
    if wish.section == "charts":
        known = {(section.name, section.version) for section in contents.charts}
        return (wish.table["name"], wish.table.get("version", "")) in known
    joined = matching(contents, wish.section, wish.table)
    asked = getattr(joined, _PACKAGES[wish.section]) if joined else ()
    return all(word in asked for word in wish.table[_PACKAGES[wish.section]])


def _with_image(contents: Contents, wish: Wish) -> Contents:
    return contents.model_copy(update={"images": (*contents.images, ImageSection.model_validate(wish.table))})


def _with_chart(contents: Contents, wish: Wish) -> Contents:
    return contents.model_copy(update={"charts": (*contents.charts, ChartSection.model_validate(wish.table))})


def _with_packages(kind: type[BaseModel]) -> Callable[[Contents, Wish], Contents]:
    def add(contents: Contents, wish: Wish) -> Contents:
        key = _PACKAGES[wish.section]
        sections: tuple[BaseModel, ...] = getattr(contents, wish.section)
        words = getattr(kind.model_validate(wish.table), key)
        found = matching(contents, wish.section, wish.table)
        if found is None:
            changed = (*sections, kind.model_validate(wish.table))
        elif wish.apart or not getattr(found, key):
            changed = (*sections, found.model_copy(update={**_emptied(found), key: words}))
        else:
            more = found.model_copy(update={key: tuple(dict.fromkeys((*getattr(found, key), *words)))})
            changed = tuple(more if section is found else section for section in sections)
        return contents.model_copy(update={wish.section: changed})

    return add


def _emptied(section: BaseModel) -> dict[str, tuple[str, ...]]:
    """What else a section asks for: files and locks belong to it, not to what is carried beside it."""
    fields = type(section).model_fields
    return {key: () for key in ("files", "locks", "wheels", "debs", "constraints") if key in fields}


_ADD: Mapping[str, Callable[[Contents, Wish], Contents]] = {
    "images": _with_image,
    "charts": _with_chart,
    "apt": _with_packages(AptSection),
    "pypi": _with_packages(PypiSection),
    "npm": _with_packages(NpmSection),
}

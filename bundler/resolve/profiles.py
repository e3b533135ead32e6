"""`[crate] profiles`: the profiles that a recipe names, what each wants of the crate, and the profile itself.

A name is one of this program's, anything with a `/` a folder beside the recipe. The profile travels as an item, so
that the crate's side deploys what was packed, whatever its own version brings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from archive import documents
from archive.catalogue import PROFILE, File, Item
from archive.errors import Problem
from archive.references import Reference
from bundler.cache import Cache
from bundler.errors import RecipeInvalid
from bundler.recipe import ImageSection, Recipe, served_name
from manifests.profiles import Profile, find, load
from mirror import origins
from mirror.apt.section import AptSection
from mirror.helm.section import ChartSection

MADE = f"{origins.MADE}profile"
"""The origin of a profile that comes with this program."""


@dataclass(frozen=True)
class Carried:
    """A profile of the recipe; `folder` (relative to it) is empty for one of this program's."""

    profile: Profile
    folder: str

    @property
    def fingerprint(self) -> str:
        """Changes when any of its files does."""
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in self.profile.files.items()}
        return hashlib.sha256(documents.canonical(digests)).hexdigest()

    def images(self, own: Collection[Reference]) -> list[ImageSection]:
        """Its images, but for those that the recipe names itself."""
        sections = [
            ImageSection.model_validate(
                {"layout": f"{self.folder}/{image.layout}", "name": image.ref} if image.layout else {"ref": image.ref}
            )
            for image in self.profile.images
        ]
        return [section for section in sections if served_name(section.reference) not in own]

    def charts(self) -> list[ChartSection]:
        """Those that k3s does not bring itself, each in its one version."""
        return [
            ChartSection(name=chart.name, repository=chart.repository, version=f"={chart.version}")
            for chart in self.profile.charts
            if chart.repository
        ]

    def packages(self, recipe: Recipe) -> list[AptSection]:
        """Its packages, of every `[[apt]]` of the recipe: each is for other nodes. Raises `RecipeInvalid`."""
        wanted = self.profile.packages
        if wanted and not recipe.contents.apt:
            raise RecipeInvalid(
                f"{recipe.path}: the profile {self.profile.name} needs {', '.join(wanted)} on every node, and there is "
                "no [[apt]] to take them from",
                hint="add an [[apt]] for the nodes' system",
            )
        update = {"packages": wanted, "debs": ()}
        return [section.model_copy(update=update) for section in recipe.contents.apt if wanted]

    def item(self, cache: Cache) -> Item:
        """The profile as the crate carries it; of one that is no file here, the cache keeps the bytes."""
        files = []
        for name, data in sorted(self.profile.files.items()):
            if not self.folder:
                cache.put(data)
            origin = f"{origins.LOCAL}{self.folder}/{name}" if self.folder else ""
            digest = hashlib.sha256(data).hexdigest()
            files.append(File(digest, len(data), path=f"profiles/{self.profile.name}/{name}", origin=origin))
        origin = f"{origins.LOCAL}{self.folder}" if self.folder else MADE
        return Item(kind=PROFILE, name=self.profile.name, origin=origin, files=tuple(files))


def of_recipe(recipe: Recipe) -> list[Carried]:
    """Every profile that the recipe names. Raises `RecipeInvalid`, `UnknownProfile`, `ProfileInvalid`."""
    found: dict[str, Carried] = {}
    for name in recipe.contents.crate.profiles:
        where = f"{recipe.path}:{recipe.line('crate', 'profiles')}"
        try:
            one = _one(name, recipe.base)
        except Problem as problem:
            raise type(problem)(f"{where}: {problem.what}", hint=problem.hint) from problem
        if one.profile.name in found:
            raise RecipeInvalid(f"{where}: the profile {one.profile.name} is there twice", hint="remove one of the two")
        found[one.profile.name] = one
    return list(found.values())


def _one(name: str, base: Path) -> Carried:
    if "/" not in name:
        return Carried(find(name), "")
    folder = origins.local(name, base).removeprefix(origins.LOCAL)
    return Carried(load(base / name), folder)


def own_items(items: Iterable[Item]) -> Iterator[Item]:
    """The profiles that came with this program, which may have to be made again."""
    return (item for item in items if item.kind == PROFILE and item.origin == MADE)


def remake(item: Item, cache: Cache) -> bool:
    """Puts a profile of this program's into the cache; whether it is still the one that was locked."""
    try:
        made = Carried(find(item.name), "").item(cache)
    except Problem:
        return False
    return made.files == item.files

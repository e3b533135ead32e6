"""From the requests of a crate to wishes that can be met: each is tried, and what cannot be had is told, not fatal.

A mistyped image must not stop the next stick. So what a request adds to the recipe is resolved once by itself before
the lock is made; upstreams are asked, and only metadata is fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from archive.errors import Problem
from archive.requests import Unmet
from bundler.asking import Charts
from bundler.connection import Connection
from bundler.ecosystems import ECOSYSTEMS
from bundler.recipe import Contents, ImageSection, Recipe
from bundler.resolve import chart_images, images
from bundler.resolve.images import ImageRequest
from bundler.resolve.sources import RegistrySource
from bundler.wishes import Wish, extended, matching, named
from mirror.helm.section import ChartSection
from mirror.requested import remedy
from mirror.together import together

_AT_ONCE = 8
_PACKAGES = ("apt", "pypi", "npm")
_ECOSYSTEMS = {ecosystem.key: ecosystem for ecosystem in ECOSYSTEMS}


@dataclass(frozen=True, slots=True)
class Unsatisfied:
    """A request that this build does not meet, and why."""

    request: Unmet
    why: str

    @property
    def line(self) -> str:
        """What a person might add to the recipe; empty where nothing helps."""
        helps = remedy(self.request)
        return helps.line() if helps else ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What comes of a crate's requests.

    `wishes` are all that the lock is to keep, the `added` ones are new among them; `known` requests are met by recipe
    or lock as they are.
    """

    wishes: tuple[Wish, ...]
    added: tuple[Wish, ...]
    known: tuple[Unmet, ...]
    unsatisfied: tuple[Unsatisfied, ...]


def hoped(recipe: Recipe, before: Iterable[Wish], requests: Iterable[Unmet]) -> Recipe:
    """The recipe with all that might come to be added, for knowing whose credentials will be needed."""
    found = (_candidate(recipe, request) for request in requests)
    return extended(recipe, [*before, *(wish for wish in found if isinstance(wish, Wish))])


async def plan(recipe: Recipe, before: Sequence[Wish], requests: Sequence[Unmet], connection: Connection) -> Plan:
    """Tries what `requests` add to the recipe and to the wishes `before`. No request can make it fail."""
    kept = tuple(wish for wish in before if _has_place(recipe.contents, wish) and not named(recipe.contents, wish))
    held = {wish.key for wish in kept}
    known: list[Unmet] = []
    unsatisfied: list[Unsatisfied] = []
    fresh: dict[Wish, Unmet] = {}
    for request in requests:
        wish = _candidate(recipe, request)
        if not isinstance(wish, Wish):
            unsatisfied.append(Unsatisfied(request, wish))
        elif wish.key in held or named(recipe.contents, wish):
            known.append(request)
        else:
            fresh[wish] = request
    tried = await _Trial(extended(recipe, kept), connection).run([*fresh])
    added = [kept_as for _, kept_as in tried if isinstance(kept_as, Wish)]
    added.sort(key=lambda wish: (wish.section, wish.name))
    unsatisfied += [Unsatisfied(fresh[wish], why) for wish, why in tried if isinstance(why, str)]
    return Plan((*kept, *added), tuple(added), tuple(known), tuple(unsatisfied))


def _candidate(recipe: Recipe, request: Unmet) -> Wish | str:
    """What might meet a request, or why nothing does; nobody upstream is asked."""
    helps = remedy(request)
    if helps is None:
        return "no stick brings that"
    table = dict(helps.table)
    if request.kind == "chart":
        places = _repositories(recipe.contents)
        if not places:
            return "the recipe names no repository of charts to look in"
        table["repository"] = places[0]
    elif not helps.certain:
        return "only a person knows where it comes from"
    wish = Wish(request.kind, request.name, helps.section, table)
    if not _has_place(recipe.contents, wish):
        return f"the recipe has no [[apt]] called {table['name']}"
    try:
        extended(recipe, [wish])
    except ValidationError as error:
        return error.errors()[0]["msg"]
    return wish


def _has_place(contents: Contents, wish: Wish) -> bool:
    """Packages of Debian come from an archive that the recipe names; everything else may stand alone."""
    return wish.section != "apt" or matching(contents, "apt", wish.table) is not None


def _repositories(contents: Contents) -> list[str]:
    return list(dict.fromkeys(section.repository for section in contents.charts if section.repository))


Outcome = tuple[Wish, Wish | str]
"""A wish as it was hoped for; as it is to be kept, or why it cannot be met."""


class _Trial:
    """Resolves what wishes add to `recipe`."""

    def __init__(self, recipe: Recipe, connection: Connection) -> None:
        self._recipe = recipe
        self._connection = connection

    async def run(self, wishes: Sequence[Wish]) -> list[Outcome]:
        alone = [wish for wish in wishes if wish.section not in _PACKAGES]
        found: list[Outcome] = []
        with self._connection.progress.task("trying what was asked for", len(wishes), unit="requests") as task:

            async def one(wish: Wish) -> None:
                task.detail(wish.name)
                found.append((wish, await self._alone(wish)))
                task.advance(1)

            async def some(key: str) -> None:
                mine = [wish for wish in wishes if wish.section == key]
                found.extend(await self._together(key, mine) if mine else [])
                task.advance(len(mine))

            await together([*map(one, alone), *map(some, _PACKAGES)], limit=_AT_ONCE)
        return found

    async def _alone(self, wish: Wish) -> Wish | str:
        if wish.section == "charts":
            return await self._chart(wish)
        section = ImageSection.model_validate(wish.table)
        source = RegistrySource(self._connection.registry, self._connection.cache, section.reference)
        platforms = self._recipe.contents.crate.platforms
        try:
            await images.resolve(ImageRequest(section.reference, platforms), source)
        except Problem as problem:
            return problem.what
        return wish

    async def _chart(self, wish: Wish) -> Wish | str:
        """From the first of the recipe's repositories that has it, with its images where helm can tell them."""
        images_too = {"images": "add"} if chart_images.available() else {}
        why = ""
        for repository in _repositories(self._recipe.contents):
            table = {**wish.table, "repository": repository, **images_too}
            try:
                await Charts(self._recipe, self._connection).resolve(ChartSection.model_validate(table))
            except Problem as problem:
                why = problem.what
            else:
                return replace(wish, table=table)
        return why

    async def _together(self, key: str, wishes: Sequence[Wish]) -> list[Outcome]:
        """Packages are to fit together; those that do not are carried beside the rest, if they exist at all."""
        if not await self._resolved(key, wishes):
            return [(wish, wish) for wish in wishes]
        apart = [replace(wish, apart=True) for wish in wishes]
        reasons = await together([self._resolved(key, [wish]) for wish in apart], limit=1)
        return [(wish, why or beside) for wish, beside, why in zip(wishes, apart, reasons, strict=True)]

    async def _resolved(self, key: str, wishes: Sequence[Wish]) -> str:
        """Why the sections that these wishes change or add cannot be resolved; empty when they can."""
        before = getattr(self._recipe.contents, key)
        after = getattr(extended(self._recipe, wishes).contents, key)
        context = self._connection.context(self._recipe.contents.crate.platforms)
        try:
            for section in after:
                if section not in before:
                    await _ECOSYSTEMS[key].resolve(section, context)
        except Problem as problem:
            return problem.what
        return ""

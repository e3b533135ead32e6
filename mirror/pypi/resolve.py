"""From `[[pypi]]` to items: every target resolved, every file fetched, every closure proven."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from mirror.ecosystem import Resolution, ResolveContext
from mirror.errors import BadSection, Unsolvable
from mirror.pypi import uv
from mirror.pypi.choosing import Choice, choose
from mirror.pypi.closure import Distribution, Walk, Wish, roots, walk
from mirror.pypi.fetching import Files
from mirror.pypi.items import Selected, resolution
from mirror.pypi.section import PypiSection
from mirror.pypi.targets import Target, targets
from mirror.pypi.uv import Resolved
from mirror.pypi.wheels import parse_file_name
from mirror.together import together

_RESOLVERS = 4
"""How many uv run at once: they mostly wait for the index, and share a cache."""


@dataclass(frozen=True)
class Selection:
    """What one resolution, or one lock, gives one target: a set that is installed together.

    `what` names the resolution in chains; `wishes` are its explicit requirements, a lock has none.
    """

    what: str
    target: Target
    wishes: tuple[Wish, ...]
    choices: dict[NormalizedName, Choice]
    reasons: dict[NormalizedName, str]


async def resolve(section: PypiSection, context: ResolveContext) -> Resolution:
    """Raises `Unsolvable` with every gap, who wants it and for which target; `BadSection`, `BadIndex`, `ToolFailed`."""
    with TemporaryDirectory(prefix="buzzcrate-wheels-") as folder:
        work = _Work(section, context, Path(folder))
        return await work.run()


class _Work:
    """One section on its way through `resolve`: holds what every step needs."""

    def __init__(self, section: PypiSection, context: ResolveContext, folder: Path) -> None:
        self.section = section
        self.context = context
        self.folder = folder
        self.targets = targets(section.platforms or context.platforms, section.python, section.libc)
        self.local = {path.name: path for path in _globbed(context.base, section.wheels)}
        self.files = Files(context)
        self.indexes: dict[str, str] = {}

    async def run(self) -> Resolution:
        self.indexes, notes = await uv.index_environment(self.section.indexes)
        for name, path in self.local.items():
            (self.folder / name).symlink_to(path)
        if self.local:
            self.indexes["UV_FIND_LINKS"] = str(self.folder)
        selections: list[Selection] = []
        fresh = await self._first_selections()
        while fresh:
            await self.files.fetch(choice for selection in fresh for choice in selection.choices.values())
            selections += fresh
            fresh = await self._build_selections(fresh, {selection.what for selection in selections})
        walked = [self._walked(selection) for selection in selections]
        refusals: dict[str, list[Target]] = {}
        for selection, each in zip(selections, walked, strict=True):
            for gap in _gaps(selection, each.walk):
                refusals.setdefault(gap, []).append(selection.target)
        _refuse(refusals)
        return resolution(walked, self.files, notes)

    async def _first_selections(self) -> list[Selection]:
        """The requirements, files and local wheels as one resolution, and each lock, for every target."""
        jobs: list[tuple[Target, Coroutine[Any, Any, Selection]]] = []
        if self.section.requirements or self.section.files or self.local:
            what = ", ".join(self.section.files) or "requirements"
            jobs += [(each, self._compile(what, each, self._wishes(each), self.section.files)) for each in self.targets]
        locks = {name: await self._lock(name) for name in self.section.locks}
        jobs += [(each, self._from_lock(name, locks[name], each)) for name, each in product(locks, self.targets)]
        return await self._all(f"resolving Python packages for {len(self.targets)} targets", jobs)

    async def _build_selections(self, selections: Iterable[Selection], done: set[str]) -> list[Selection]:
        """What building each sdist takes, resolved by itself, as a build front end does it on site."""
        jobs: list[tuple[Target, Coroutine[Any, Any, Selection]]] = []
        for selection in selections:
            for choice in selection.choices.values():
                what = f"building {choice.parsed.name} {choice.parsed.version} for {selection.target}"
                if choice.parsed.sdist and what not in done:
                    done.add(what)
                    wish = Wish(what, tuple(map(Requirement, self.files.build_requires(choice))))
                    jobs.append((selection.target, self._compile(what, selection.target, (wish,))))
        return await self._all("resolving what builds them", jobs) if jobs else []

    def _wishes(self, target: Target) -> tuple[Wish, ...]:
        wanted = [Wish(text, (Requirement(text),)) for text in self.section.requirements]
        for name in sorted(self.local):
            parsed = parse_file_name(name)
            if not parsed.tags.isdisjoint(target.tags):
                wanted.append(Wish(name, (Requirement(f"{parsed.name}=={parsed.version}"),)))
        return tuple(wanted)

    async def _compile(self, what: str, target: Target, wishes: Sequence[Wish], files: Sequence[str] = ()) -> Selection:
        resolved = await uv.compile_requirements(
            [str(requirement) for wish in wishes for requirement in wish.requirements],
            [_existing(self.context.base, name) for name in files],
            target,
            constraints=self.section.constraints,
            indexes=self.indexes,
            sdists=self.section.sdists,
            folder=self.context.base,
        )
        return self._select(what, target, tuple(wishes), resolved, self.context.base)

    async def _lock(self, name: str) -> Resolved:
        path = _existing(self.context.base, name)
        lock = await uv.export_lock(path) if path.name == "uv.lock" else uv.read_lock(path)
        return Resolved(lock, {})

    async def _from_lock(self, name: str, lock: Resolved, target: Target) -> Selection:
        return self._select(name, target, (), lock, (self.context.base / name).parent)

    def _select(self, what: str, target: Target, wishes: tuple[Wish, ...], found: Resolved, base: Path) -> Selection:
        chosen = choose(
            found.lock, target, sdists=self.section.sdists, base=base, local=self.local, yanked=found.yanked
        )
        return Selection(what, target, wishes, dict(chosen.choices), dict(chosen.reasons))

    def _walked(self, selection: Selection) -> Selected:
        """Walks the closure; leftovers of a lock or of requirement files are walked from their own roots."""
        chosen = {
            name: Distribution(name, choice.parsed.version, self.files.metadata(choice).requires)
            for name, choice in selection.choices.items()
        }
        environment = selection.target.environment
        wishes = list(selection.wishes)
        found = walk(chosen, wishes, environment, selection.reasons)
        while leftover := roots(chosen, found.chains):
            wishes.append(Wish(selection.what, tuple(Requirement(name) for name in leftover)))
            found = walk(chosen, _merged(wishes), environment, selection.reasons)
        return Selected(selection.target, selection.choices, found)

    async def _all(self, what: str, jobs: Sequence[tuple[Target, Coroutine[Any, Any, Selection]]]) -> list[Selection]:
        """Every resolution, or `Unsolvable` with what stands in the way of each target."""
        refusals: dict[str, list[Target]] = {}
        with self.context.progress.task(what, len(jobs), unit="resolutions") as task:

            async def one(target: Target, job: Coroutine[Any, Any, Selection]) -> Iterable[Selection]:
                try:
                    return [await job]
                except Unsolvable as refusal:
                    refusals.setdefault(refusal.what, []).append(target)
                    return []
                finally:
                    task.advance(1)

            found = await together([one(target, job) for target, job in jobs], limit=_RESOLVERS)
        _refuse(refusals)
        return [selection for some in found for selection in some]


def _gaps(selection: Selection, found: Walk) -> list[str]:
    """What is missing for the selection's target: first what something wants, then what a lock merely names."""
    wanted = {canonicalize_name(missing.requirement.name) for missing in found.missing}
    unwanted = {name: why for name, why in selection.reasons.items() if name not in wanted}
    return [
        *map(str, found.missing),
        *(f"{name}, wanted by {selection.what}: {why}" for name, why in unwanted.items()),
    ]


def _refuse(refusals: Mapping[str, Sequence[Target]]) -> None:
    """Raises `Unsolvable` when there is any refusal: each once, with the targets that it concerns."""
    if refusals:
        told = [f"for {', '.join(sorted(map(str, targets)))}: {why}" for why, targets in sorted(refusals.items())]
        raise Unsolvable(
            "the Python packages cannot be complete " + "\n  and ".join(told),
            hint="loosen a requirement, name other `python`, `libc` or `platforms`, or allow `sdists`",
        )


def _globbed(base: Path, patterns: Iterable[str]) -> list[Path]:
    """Raises `BadSection` for a pattern that no wheel answers to."""
    found: list[Path] = []
    for pattern in patterns:
        paths = [path for path in sorted(base.glob(pattern)) if path.suffix == ".whl"]
        if not paths:
            raise BadSection(f"no wheel answers to {pattern!r} in {base}", hint="build it first, or mend `wheels`")
        found += paths
    return found


def _existing(base: Path, name: str) -> Path:
    if not (base / name).is_file():
        raise BadSection(f"{base / name} is named in [[pypi]] and does not exist")
    return base / name


def _merged(wishes: Sequence[Wish]) -> list[Wish]:
    """One wish for each `what`: a resolution's leftovers join under its own name."""
    found: dict[str, Wish] = {}
    for wish in wishes:
        known = found.get(wish.what, replace(wish, requirements=()))
        found[wish.what] = replace(wish, requirements=known.requirements + wish.requirements)
    return list(found.values())

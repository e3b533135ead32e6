"""`[[apt]]` to catalogue items: upstream is read and believed, each architecture closed, apt asked for its opinion."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from mirror.apt import replay
from mirror.apt.architectures import architecture_of, platform_of
from mirror.apt.closure import Closure, close, closed_base
from mirror.apt.items import Items
from mirror.apt.reading import Read, read_all
from mirror.apt.report import asked, chains, notes
from mirror.apt.section import AptSection
from mirror.apt.status import read_status
from mirror.apt.universe import Base, Universe
from mirror.apt.wishes import Line
from mirror.ecosystem import Resolution, ResolveContext
from mirror.errors import BadSection
from mirror.together import together

_SIDE_BY_SIDE = 4


async def resolve(section: AptSection, context: ResolveContext) -> Resolution:
    """The closure of the section's packages for every architecture, pinned to upstream's sha256.

    Raises `BadSection`, `BadIndex`, `UntrustedUpstream`, `UpstreamChanged`, `Unsolvable`, `ReplayDiffers`, and what the
    transport raises.
    """
    architectures = _architectures(section, context)
    read = await read_all(section, context, architectures)
    with context.progress.task("resolving packages", len(architectures), unit="architectures") as task:

        async def close_one(architecture: str) -> Closure:
            closure = await asyncio.to_thread(_close, section, context.base, architecture, read)
            if replay.available():
                upgrades = closure.universe.base.versions_known
                await asyncio.to_thread(replay.check, closure, recommends=section.recommends, upgrades=upgrades)
            task.advance(1)
            return closure

        closures = await together([close_one(architecture) for architecture in architectures], limit=_SIDE_BY_SIDE)
    items = Items(section, read.suites, read.files)
    made = [
        items.make(package, closure.universe.architecture)
        for closure in closures
        for package in closure.packages.values()
    ]
    return Resolution(
        items=tuple(sorted(made, key=lambda item: item.key)),
        asked=asked(closures),
        why=chains(closures),
        notes=notes(section, closures, replayed=replay.available()),
    )


def _architectures(section: AptSection, context: ResolveContext) -> list[str]:
    platforms = section.platforms or context.platforms
    found = list(dict.fromkeys(section.architectures or map(architecture_of, platforms)))
    for architecture in found:
        platform_of(architecture)
    for line in map(Line.parse, section.packages):
        if line.architecture not in {"", "all", *found}:
            raise BadSection(
                f"apt {section.name!r}: {line.text!r} is for an architecture that is not asked for",
                hint=f"the architectures are {' '.join(found)}",
            )
    return found


def _close(section: AptSection, folder: Path, architecture: str, read: Read) -> Closure:
    indexes = read.indexes(architecture)
    base = _base(section, folder, Universe(architecture, indexes, excluded=section.exclude))
    local = (
        f"{package.name}={package.version}" for package in read.local if package.architecture in {architecture, "all"}
    )
    lines = [Line.parse(text) for text in (*section.packages, *local)]
    if not base.versions_known:
        # What is asked for is shipped, even where the nodes have some version of it.
        asked_for = {relation.name for line in lines for relation in line.group}
        base = replace(base, packages={name: p for name, p in base.packages.items() if name not in asked_for})
    universe = Universe(architecture, indexes, base=base, excluded=section.exclude)
    wishes = [wish for line in lines if (wish := line.wish(universe))]
    return close(universe, wishes, recommends=section.recommends, siblings=not isinstance(section.base, str))


def _base(section: AptSection, folder: Path, universe: Universe) -> Base:
    if section.base is None:
        return Base()
    if section.base == "essential":
        return closed_base(universe, universe.essential(), what="the essential system")
    if isinstance(section.base, str):
        path = folder / section.base.replace("{architecture}", universe.architecture)
        try:
            return read_status(path.read_bytes(), str(path), universe.architecture)
        except OSError as error:
            raise BadSection(f"apt {section.name!r}: cannot read `base`, {path}: {error.strerror}") from error
    return closed_base(universe, section.base, what="`base`")

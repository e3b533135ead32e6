"""`[[apt]]` to catalogue items: upstream is read and believed, each architecture closed, apt asked for its opinion."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mirror.apt import replay
from mirror.apt.architectures import architecture_of, platform_of
from mirror.apt.closure import Closure, close, closed_base
from mirror.apt.deb import read_package
from mirror.apt.items import LOCAL, Items
from mirror.apt.packages import Package, PackagesIndex
from mirror.apt.report import asked, chains, notes
from mirror.apt.section import AptSection
from mirror.apt.sources import Source, apt_settings, machine_sources, trusted_keyrings
from mirror.apt.status import read_status
from mirror.apt.universe import Base, Universe
from mirror.apt.upstream import Suite, read_packages
from mirror.apt.wishes import Line
from mirror.ecosystem import Resolution, ResolveContext
from mirror.errors import BadSection
from mirror.openpgp import Keyring


@dataclass(frozen=True)
class _Read:
    """Everything that a section may choose from: upstream's indexes by architecture, and local packages.

    `files` says where a local package lies, by its sha256.
    """

    suites: tuple[Suite, ...]
    indexes: Mapping[str, list[PackagesIndex]]
    local: tuple[Package, ...]
    files: Mapping[str, str]


async def resolve(section: AptSection, context: ResolveContext) -> Resolution:
    """The closure of the section's packages for every architecture, pinned to upstream's sha256.

    Raises `BadSection`, `BadIndex`, `UntrustedUpstream`, `UpstreamChanged`, `Unsolvable`, `ReplayDiffers`, and what the
    transport raises.
    """
    lines = [Line.parse(text) for text in section.packages]
    targets = section.platforms or context.platforms
    architectures = section.architectures or tuple(architecture_of(platform) for platform in targets)
    platforms = {architecture: platform_of(architecture) for architecture in dict.fromkeys(architectures)}
    with context.progress.task("reading apt indexes", unit="suites") as task:
        read = await _read_all(section, context, tuple(platforms))
        task.advance(len(read.suites))
    with context.progress.task("resolving packages", len(platforms), unit="architectures") as task:
        closures = []
        for architecture in platforms:
            task.detail(architecture)
            closures.append(await asyncio.to_thread(_close, section, context.base, architecture, read, lines))
            task.advance(1)
    if replay.available():
        upgrades = isinstance(section.base, str) and section.base != "essential"
        with context.progress.task("asking apt", len(closures), unit="architectures") as task:
            for closure in closures:
                await asyncio.to_thread(replay.check, closure, recommends=section.recommends, upgrades=upgrades)
                task.advance(1)
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
        notes=notes(closures, replayed=replay.available()),
    )


async def _read_all(section: AptSection, context: ResolveContext, architectures: Sequence[str]) -> _Read:
    sources = _sources(section)
    shared = _keyring(section, context.base)
    reading = []
    for order, source in enumerate(sources):
        keyring = shared or Keyring.load(
            source.keyrings or (() if source.keys else trusted_keyrings(apt_settings())),
            [key.encode() for key in source.keys],
            source.fingerprints,
        )
        reading.append(read_packages(context.transport, source, keyring, architectures, order))
    found = await asyncio.gather(*reading)
    local, files = await _local_debs(section, context)
    indexes = {name: [index for _, indexes in found for index in indexes[name]] for name in architectures}
    return _Read(tuple(suite for suite, _ in found), indexes, tuple(local), files)


def _sources(section: AptSection) -> list[Source]:
    if section.url is not None:
        if not section.suites:
            raise BadSection(f"apt {section.name!r}: a `url` needs `suites`", hint='for example suites = ["bookworm"]')
        components = section.components or ("main",)
        found = [
            Source(section.url.rstrip("/"), suite, () if suite.endswith("/") else components)
            for suite in section.suites
        ]
    else:
        there = machine_sources(apt_settings())
        found = [
            replace(source, components=tuple(c for c in source.components if c in (section.components or [c])))
            for source in there
            if source.suite in (section.suites or [source.suite])
        ]
        found = [source for source in found if source.components or source.flat]
        missing = set(section.suites) - {source.suite for source in found}
        if missing or not found:
            raise BadSection(
                f"apt {section.name!r}: this machine's apt has no suite {' '.join(sorted(missing)) or 'at all'}",
                hint=f"it has {' '.join(dict.fromkeys(source.suite for source in there)) or 'none'}; or give a `url`",
            )
    if section.by_hash is not None:
        found = [replace(source, by_hash=section.by_hash) for source in found]
    if section.check_valid_until is not None:
        found = [replace(source, check_valid_until=section.check_valid_until) for source in found]
    return found


def _keyring(section: AptSection, base: Path) -> Keyring | None:
    return Keyring.load([base / name for name in section.keyrings]) if section.keyrings else None


async def _local_debs(section: AptSection, context: ResolveContext) -> tuple[list[Package], dict[str, str]]:
    """The packages of the section's local files, and where each lies, by sha256."""
    packages, files = [], {}
    for pattern in section.debs:
        paths = sorted(context.base.glob(pattern)) if not Path(pattern).is_absolute() else [Path(pattern)]
        if not paths:
            raise BadSection(f"apt {section.name!r}: no file matches {pattern!r}", hint=f"looked in {context.base}")
        for path in paths:
            try:
                adopted = await context.transport.adopt(path)
            except OSError as error:
                raise BadSection(f"apt {section.name!r}: cannot read {path}: {error.strerror}") from error
            package = await asyncio.to_thread(read_package, path, adopted.sha256, adopted.size, LOCAL)
            packages.append(package)
            files[adopted.sha256] = (
                f"file:{path.relative_to(context.base) if path.is_relative_to(context.base) else path}"
            )
    return packages, files


def _with_local(indexes: list[PackagesIndex], local: Iterable[Package]) -> list[PackagesIndex]:
    text = "\n\n".join(package.text for package in local)
    return [PackagesIndex(text.encode(), LOCAL), *indexes] if text else indexes


def _close(
    section: AptSection,
    folder: Path,
    architecture: str,
    read: _Read,
    lines: Sequence[Line],
) -> Closure:
    indexes = _with_local(read.indexes[architecture], read.local)
    universe = Universe(architecture, indexes, excluded=section.exclude)
    base = _base(section, folder, universe)
    local = (package for package in read.local if package.architecture in {architecture, "all"})
    wanted = [*lines, *(Line.parse(f"{package.name}={package.version}") for package in local)]
    if not base.versions_known:
        # What is asked for is shipped, even where the nodes have some version of it.
        asked_for = {relation.name for line in wanted for relation in line.group}
        base = replace(base, packages={name: p for name, p in base.packages.items() if name not in asked_for})
    universe = Universe(architecture, indexes, base=base, excluded=section.exclude)
    wishes = [wish for line in wanted if (wish := line.wish(universe))]
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

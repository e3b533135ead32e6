"""Everything that one section may choose from: upstream's suites, by architecture, and local files."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mirror import origins
from mirror.apt.deb import read_package
from mirror.apt.items import LOCAL
from mirror.apt.packages import Package, PackagesIndex
from mirror.apt.section import AptSection
from mirror.apt.sources import Source, apt_settings, machine_sources, trusted_keyrings
from mirror.apt.upstream import Suite, read_packages
from mirror.ecosystem import ResolveContext
from mirror.errors import BadIndex, BadSection
from mirror.openpgp import Keyring
from mirror.together import together

_AT_ONCE = 8


@dataclass(frozen=True)
class Read:
    """What was read and believed. `files` says where a local package lies, by its sha256."""

    suites: tuple[Suite, ...]
    upstream: Mapping[str, Sequence[PackagesIndex]]
    local: tuple[Package, ...]
    files: Mapping[str, str]

    def indexes(self, architecture: str) -> list[PackagesIndex]:
        """In the order in which apt would read them, local files first."""
        text = "\n\n".join(package.text for package in self.local)
        ours = [PackagesIndex(text.encode(), LOCAL)] if text else []
        return [*ours, *self.upstream[architecture]]


async def read_all(section: AptSection, context: ResolveContext, architectures: Sequence[str]) -> Read:
    """Raises `BadSection`, `BadIndex`, `UntrustedUpstream`, `UpstreamChanged`, and what the transport raises."""
    sources = find_sources(section)
    shared = Keyring.load([context.base / name for name in section.keyrings]) if section.keyrings else None
    local, files = await _local_debs(section, context)
    with context.progress.task("reading apt indexes", len(sources), unit="suites") as task:

        async def read(order: int, source: Source) -> tuple[Suite, dict[str, list[PackagesIndex]]]:
            keyring = shared or _keyring_of(source)
            found = await read_packages(context.transport, source, keyring, architectures, order)
            task.advance(1)
            return found

        found = await together([read(order, source) for order, source in enumerate(sources)], limit=_AT_ONCE)
    indexes = {name: [index for _, by_name in found for index in by_name[name]] for name in architectures}
    for architecture, there in indexes.items():
        if not there:
            raise BadIndex(f"apt {section.name!r}: no source has packages for {architecture}")
    return Read(tuple(suite for suite, _ in found), indexes, tuple(local), files)


def find_sources(section: AptSection) -> list[Source]:
    """The section's URL and suites, or this machine's own, as far as the section wants them. Raises `BadSection`."""
    found = _from_url(section, section.url) if section.url is not None else _from_machine(section)
    if section.by_hash is not None:
        found = [replace(source, by_hash=section.by_hash) for source in found]
    if section.check_valid_until is not None:
        found = [replace(source, check_valid_until=section.check_valid_until) for source in found]
    return found


def _from_url(section: AptSection, url: str) -> list[Source]:
    components = section.components or ("main",)
    return [Source(url.rstrip("/"), suite, () if suite.endswith("/") else components) for suite in section.suites]


def _from_machine(section: AptSection) -> list[Source]:
    there = machine_sources(apt_settings())
    found = []
    for source in there:
        components = tuple(name for name in source.components if not section.components or name in section.components)
        if (components or source.flat) and (not section.suites or source.suite in section.suites):
            found.append(replace(source, components=components))
    missing = set(section.suites) - {source.suite for source in found}
    if missing or not found:
        raise BadSection(
            f"apt {section.name!r}: this machine's apt has no suite {' '.join(sorted(missing)) or 'at all'}",
            hint=f"it has {' '.join(dict.fromkeys(source.suite for source in there)) or 'none'}; or give a `url`",
        )
    return found


def _keyring_of(source: Source) -> Keyring:
    own = source.keyrings or source.keys
    paths = source.keyrings if own else trusted_keyrings(apt_settings())
    return Keyring.load(paths, [key.encode() for key in source.keys], source.fingerprints)


async def _local_debs(section: AptSection, context: ResolveContext) -> tuple[list[Package], dict[str, str]]:
    packages, files = [], {}
    for path in await asyncio.to_thread(_matching, section, context.base):
        try:
            adopted = await context.transport.adopt(path)
        except OSError as error:
            raise BadSection(f"apt {section.name!r}: cannot read {path}: {error.strerror}") from error
        packages.append(await asyncio.to_thread(read_package, path, adopted.sha256, adopted.size, LOCAL))
        files[adopted.sha256] = origins.local(str(path), context.base)
    return packages, files


def _matching(section: AptSection, base: Path) -> list[Path]:
    found: dict[Path, None] = {}
    for pattern in section.debs:
        paths = [Path(pattern)] if Path(pattern).is_absolute() else sorted(base.glob(pattern))
        if not paths:
            raise BadSection(f"apt {section.name!r}: no file matches {pattern!r}", hint=f"looked in {base}")
        found.update(dict.fromkeys(paths))
    return list(found)

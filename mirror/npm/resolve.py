"""From `[[npm]]` to items: locks walked for every machine, manifests and tarballs fetched, each digest held."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from archive.catalogue import File, Item
from mirror import origins
from mirror.ecosystem import Asked, Resolution, ResolveContext
from mirror.errors import BadSection, Unsolvable
from mirror.npm import client, package_lock, pnpm_lock
from mirror.npm.graph import Graph, Left, Package, Walk, walk
from mirror.npm.machines import Machine
from mirror.npm.names import tarball_path
from mirror.npm.section import NpmSection, split_spec
from mirror.npm.upstream import Release, Upstream
from mirror.together import together

AT_ONCE = 24
"""Requests in flight; the transport keeps its own limit per host."""


async def resolve(section: NpmSection, context: ResolveContext) -> Resolution:
    """Raises `Unsolvable` with every gap, who wants it and where; `BadSection`, `BadIndex`, `ToolFailed`."""
    machines = [Machine(*words) for words in product(section.platforms or context.platforms, section.libc)]
    async with client.workplace(context.base) as folder:
        upstream = Upstream(context.transport, await client.registries(folder, section.registry))
        graphs = [await _read_lock(context.base, name) for name in section.locks]
        graphs += await _lock_names(section, context, folder)
    walks = [(graph, walk(graph, machine)) for graph in graphs for machine in machines]
    await _refuse_gaps([found for _, found in walks], upstream)
    wanted = _wanted(walks)
    releases = await _fetch(wanted, upstream, context)
    return _resolution(walks, releases)


async def _lock_names(section: NpmSection, context: ResolveContext, folder: Path) -> list[Graph]:
    """One lock for all names; a name that is asked for in two ranges takes a second one."""
    rounds: list[dict[str, str]] = []
    for spec in section.packages:
        name, _ = split_spec(spec)
        into = next((each for each in rounds if name not in each), None)
        if into is None:
            into = {}
            rounds.append(into)
        into[name] = spec
    graphs = []
    with context.progress.task("resolving npm packages", len(rounds), unit="locks") as task:
        for each in rounds:
            text = await client.lock(list(each.values()), folder, section.registry)
            await asyncio.to_thread((folder / "package-lock.json").unlink)
            wishes = {spec: name for name, spec in each.items()}
            graphs.append(package_lock.read(text, f"npm's lock for {', '.join(wishes)}", wishes))
            task.advance(1)
    return graphs


async def _read_lock(base: Path, name: str) -> Graph:
    path = base / name
    if not await asyncio.to_thread(path.is_file):
        raise BadSection(f"{path} is named in [[npm]] and does not exist")
    if path.stat().st_size > package_lock.LIMIT:
        raise BadSection(f"{path} is larger than {package_lock.LIMIT >> 20} MiB")
    read = pnpm_lock.read if path.suffix in {".yaml", ".yml"} else package_lock.read
    return await asyncio.to_thread(read, await asyncio.to_thread(path.read_bytes), name)


async def _refuse_gaps(walks: Sequence[Walk], upstream: Upstream) -> None:
    """Raises `Unsolvable` for what a lock lacks; for an optional package only where it would run on the machine."""
    gaps: dict[str, list[str]] = defaultdict(list)
    for found in walks:
        for gap in found.gaps:
            gaps[gap].append(str(found.machine))
    names = sorted({each.edge.name for found in walks for each in found.left})
    answers = await together([upstream.latest(name) for name in names], limit=AT_ONCE)
    latest = dict(zip(names, answers, strict=True))
    for found in walks:
        for each in found.left:
            package = latest[each.edge.name]
            if package is not None and found.machine.runs(package.os, package.cpu, package.libc):
                gaps[_left_out(each)].append(str(found.machine))
    if gaps:
        told = [f"for {', '.join(sorted(set(where)))}: {gap}" for gap, where in sorted(gaps.items())]
        raise Unsolvable(
            "the npm packages cannot be complete " + "\n  and ".join(told),
            hint="write the lock anew without node_modules beside it, or name other `platforms`",
        )


def _left_out(left: Left) -> str:
    return (
        f"{left.edge.name}@{left.edge.wanted}, an optional dependency of {' > '.join(left.chain)} that runs there, "
        "is not in the lock, which was made on another platform"
    )


def _wanted(walks: Iterable[tuple[Graph, Walk]]) -> dict[tuple[str, str], Package]:
    """Every release that some machine installs, once."""
    found: dict[tuple[str, str], Package] = {}
    for graph, walked in walks:
        for key in walked.chains:
            package = graph.packages[key]
            if not package.inside:
                known = found.setdefault((package.name, package.version), package)
                if known.integrity and package.integrity and known.integrity != package.integrity:
                    joined = f"{known.integrity} {package.integrity}"
                    found[package.name, package.version] = replace(known, integrity=joined)
    return found


async def _fetch(
    wanted: Mapping[tuple[str, str], Package], upstream: Upstream, context: ResolveContext
) -> dict[tuple[str, str], Release]:
    versions: dict[str, list[str]] = defaultdict(list)
    for name, version in wanted:
        versions[name].append(version)
    with context.progress.task("fetching npm packages", len(wanted), unit="packages") as task:

        async def one(name: str) -> list[tuple[tuple[str, str], Release]]:
            manifests = await upstream.packument(name, versions[name])
            found = []
            for version in versions[name]:
                task.detail(f"{name} {version}")
                found.append(((name, version), await upstream.release(wanted[name, version], *manifests[version])))
                task.advance(1)
            return found

        done = await together([one(name) for name in sorted(versions)], limit=AT_ONCE)
    return {key: release for some in done for key, release in some}


def _resolution(walks: Sequence[tuple[Graph, Walk]], releases: Mapping[tuple[str, str], Release]) -> Resolution:
    platforms: dict[tuple[str, str], set[str]] = defaultdict(set)
    restricted: set[tuple[str, str]] = set()
    why: dict[str, tuple[str, ...]] = {}
    pulled: dict[str, set[tuple[str, str]]] = defaultdict(set)
    named: dict[str, set[str]] = defaultdict(set)
    for graph, walked in walks:
        for key, chain in walked.chains.items():
            package = graph.packages[key]
            platforms[package.name, package.version].add(str(walked.machine.platform))
            why.setdefault(package.name, chain)
            if package.restricted:
                restricted.add((package.name, package.version))
        for wish, keys in walked.reached.items():
            named[wish] |= {edge.name for edge in graph.wishes[wish]}
            pulled[wish] |= {(graph.packages[key].name, graph.packages[key].version) for key in keys}
    items = []
    for release in sorted(releases):
        alone = release in restricted and len(platforms[release]) == 1
        items.append(_item(*release, next(iter(platforms[release])) if alone else "", releases[release]))
    asked = [
        Asked(
            wish,
            tuple(sorted({name for name, _ in found} - named[wish])),
            sum(releases[key].fetched.size for key in found if key in releases),
        )
        for wish, found in pulled.items()
    ]
    return Resolution(tuple(items), tuple(asked), dict(sorted(why.items())))


def _item(name: str, version: str, platform: str, release: Release) -> Item:
    return Item(
        kind="npm",
        name=name,
        version=version,
        platform=platform,
        origin=origins.public_url(release.url),
        files=(File(release.fetched.sha256, release.fetched.size, path=tarball_path(name, version)),),
        evidence={"integrity": release.sums.integrity},
        publish={
            "packument": release.manifest,
            "integrity": release.sums.integrity,
            "shasum": release.sums.shasum,
            "tags": list(release.tags),
        },
    )

"""From `[[charts]]` to items: one chart chosen, fetched, held against digest and provenance, and proven whole."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from archive.catalogue import File, Item
from archive.errors import Problem
from mirror import origins
from mirror.ecosystem import Asked, Resolution, ResolveContext
from mirror.errors import BadIndex, BadSection, Unsigned, Unsolvable
from mirror.helm import archives, oci, provenance, repository
from mirror.helm.archives import Chart
from mirror.helm.metadata import Dependency, Metadata, file_name
from mirror.helm.repository import Offer
from mirror.helm.section import PACKED, ChartSection
from mirror.openpgp import Keyring
from mirror.transport import Fetched

"""The origin of a chart that we packed from a folder, which is the item's own origin."""

_NESTING = 16
"""How deep local charts may depend on local charts; a circle has no end."""


@dataclass(frozen=True, slots=True)
class Brought:
    """A chart in the cache. `checked` says against what its digest was held; `artifact` where a registry had it."""

    chart: Chart
    fetched: Fetched
    origin: str
    checked: str
    created: str = ""
    made: bool = False
    signature: tuple[bytes, Fetched] | None = None
    artifact: tuple[str, oci.Artifact, Fetched, Fetched] | None = None


async def resolve(section: ChartSection, context: ResolveContext) -> Resolution:
    """Raises `Unsolvable` for a chart that is not there or not whole, `WrongDigest`, `Unsigned`, `WronglySigned`."""
    what = section.path or f"{section.name} {section.version} of {section.repository}".replace("  ", " ")
    with TemporaryDirectory(prefix="buzzcrate-charts-") as scratch:
        work = _Work(context, Path(scratch))
        if section.path:
            found = await work.local(context.base / section.path, (what,))
        else:
            wanted = Dependency(section.name or "", section.version, section.repository)
            found = await work.upstream(wanted, (what,))
    signers = await asyncio.to_thread(_verified, section, context.base, found)
    item = _item(found, signers)
    pulled = sorted(work.pulled, key=lambda each: each.chart.metadata.name)
    items = {each.key: each for each in [item, *(_item(each, ()) for each in pulled)]}
    return Resolution(
        items=tuple(items.values()),
        asked=(
            Asked(
                what,
                tuple(each.chart.metadata.name for each in pulled),
                sum(file.size for each in items.values() for file in each.files),
            ),
        ),
        why={**work.why, found.chart.metadata.name: (what, found.chart.metadata.name)},
    )


class _Work:
    """Brings charts in; `pulled` are those that local folders depend on, `why` the chain to each."""

    def __init__(self, context: ResolveContext, scratch: Path) -> None:
        self._context = context
        self._transport = context.transport
        self._scratch = scratch
        self._indexes: dict[str, bytes] = {}
        self.pulled: list[Brought] = []
        self.why: dict[str, tuple[str, ...]] = {}

    async def upstream(self, wanted: Dependency, chain: tuple[str, ...]) -> Brought:
        """A chart of an HTTP repository or a registry, which must be whole as it is."""
        with self._context.progress.task(f"fetching chart {wanted.name}", 1, unit="charts") as task:
            bring = self._from_registry if wanted.repository.startswith("oci://") else self._from_repository
            found = await bring(wanted)
            task.advance(1)
        if found.chart.metadata.name != wanted.name:
            raise BadIndex(f"{found.origin} is the chart {found.chart.metadata.name}, not {wanted.name}")
        if found.chart.missing:
            raise Unsolvable(
                f"{wanted.name} {found.chart.metadata.version}, wanted by {' > '.join(chain)}, depends on "
                f"{', '.join(found.chart.missing)}, which it does not hold: helm would refuse to install it",
                hint="take a version that was packed whole, or unpack it beside the recipe and name it as `path`",
            )
        return found

    async def local(self, path: Path, chain: tuple[str, ...]) -> Brought:
        """A packed chart as it is, or a folder, packed with what it depends on."""
        origin = origins.local(str(path), self._context.base)
        if await asyncio.to_thread(path.is_dir):
            packed = await self._packed(path, chain)
            fetched = await self._transport.adopt(packed)
            return Brought(_read(fetched, packed.name), fetched, origin, "", made=True)
        if not await asyncio.to_thread(path.is_file):
            raise BadSection(f"the chart {path} does not exist")
        fetched = await self._transport.adopt(path)
        chart = _read(fetched, path.name)
        if chart.missing:
            raise Unsolvable(f"{path} depends on {', '.join(chart.missing)}, which it does not hold")
        beside = path.with_name(f"{path.name}.prov")
        signature = None
        if await asyncio.to_thread(beside.is_file):
            signature = (await asyncio.to_thread(beside.read_bytes), await self._transport.adopt(beside))
        return Brought(chart, fetched, origin, "", signature=signature)

    async def _packed(self, folder: Path, chain: tuple[str, ...]) -> Path:
        """What the folder depends on is brought in first, as `helm dependency update` would, then packed inside."""
        if len(chain) > _NESTING:
            raise Unsolvable(f"local charts depend on each other in a circle: {' > '.join(chain)}")
        metadata = archives.folder_metadata(folder)
        vendored: dict[str, Path] = {}
        for dependency in metadata.dependencies:
            longer = (*chain, metadata.name)
            if not dependency.repository:
                await asyncio.to_thread(_require_inside, folder, metadata, dependency)
                continue
            if dependency.repository.startswith("file://"):
                found = await self.local(folder / dependency.repository.removeprefix("file://"), longer)
            elif dependency.repository.startswith(("http://", "https://", "oci://")):
                found = await self.upstream(dependency, longer)
            else:
                raise BadSection(
                    f"{folder}: {dependency.name} is to come from {dependency.repository[:100]!r}, a name that only "
                    "this machine's helm knows",
                    hint="write the repository's address into Chart.yaml",
                )
            told = found.chart.metadata
            repository.choose(told.name, dependency.constraint, [Offer(told.version, "", "", "")], found.origin)
            vendored[file_name(told.name, told.version)] = found.fetched.path
            self.pulled.append(found)
            self.why.setdefault(told.name, (*longer, told.name))
        into = self._scratch / file_name(metadata.name, metadata.version)
        await asyncio.to_thread(archives.pack, folder, into, vendored)
        return into

    async def _from_repository(self, wanted: Dependency) -> Brought:
        base = wanted.repository.rstrip("/")
        if base not in self._indexes:
            found = await self._transport.read(f"{base}/index.yaml", limit=repository.INDEX_LIMIT)
            self._indexes[base] = found.body
        offered = await asyncio.to_thread(repository.offers, self._indexes[base], wanted.name, base)
        offer = repository.choose(wanted.name, wanted.constraint, offered, base)
        if offer.url.startswith("oci://"):
            place, _, tag = offer.url.rpartition(":")
            return await self._from_registry(Dependency(wanted.name, oci.version_of(tag), place.rpartition("/")[0]))
        if urlsplit(offer.url).scheme not in {"http", "https"}:
            raise BadIndex(f"{base} sends {wanted.name} {offer.version} to {offer.url[:200]!r}")
        fetched = await self._transport.fetch(offer.url, sha256=offer.sha256)
        chart = await asyncio.to_thread(_read, fetched, f"{wanted.name} {offer.version} of {base}")
        if chart.metadata.version != offer.version:
            raise BadIndex(f"{offer.url} is version {chart.metadata.version}, not {offer.version}")
        checked = "index.yaml" if offer.sha256 else ""
        signature = await self._signature(f"{offer.url}.prov")
        return Brought(chart, fetched, origins.public_url(offer.url), checked, offer.created, signature=signature)

    async def _signature(self, url: str) -> tuple[bytes, Fetched] | None:
        """Few charts have one, and a server says so in many ways: what cannot be had is not there."""
        try:
            document = await self._transport.read(url, limit=provenance.LIMIT)
            return document.body, await self._transport.fetch(url)
        except Problem:
            return None

    async def _from_registry(self, wanted: Dependency) -> Brought:
        place = oci.Repository(self._transport, f"{wanted.repository.rstrip('/')}/{wanted.name}")
        tags = await place.tags()
        offered = [Offer(oci.version_of(tag), tag, "", "") for tag in tags]
        offer = repository.choose(wanted.name, wanted.constraint, offered, place.url)
        artifact = await place.artifact(offer.url)
        manifest = self._scratch / "manifest.json"
        await asyncio.to_thread(manifest.write_bytes, artifact.manifest)
        kept = await self._transport.adopt(manifest)
        config = await self._blob(place, artifact.config)
        fetched = await self._blob(place, artifact.content)
        signature = None
        if artifact.provenance is not None:
            signed = await self._blob(place, artifact.provenance)
            signature = (await asyncio.to_thread(signed.path.read_bytes), signed)
        chart = await asyncio.to_thread(_read, fetched, f"{place.url}:{offer.url}")
        told = f"{place.url}:{offer.url}"
        return Brought(chart, fetched, told, "manifest", signature=signature, artifact=(told, artifact, kept, config))

    async def _blob(self, place: oci.Repository, descriptor: oci.Descriptor) -> Fetched:
        return await self._transport.fetch(place.blob(descriptor), sha256=descriptor.sha256, size=descriptor.size)


def _read(fetched: Fetched, what: str) -> Chart:
    return archives.read(fetched.path, what)


def _require_inside(folder: Path, metadata: Metadata, dependency: Dependency) -> None:
    inside = folder / "charts"
    if not (inside / dependency.name).is_dir() and not list(inside.glob(f"{dependency.name}-*.tgz")):
        raise Unsolvable(
            f"{metadata.name} depends on {dependency.name}, which is not in {inside} and names no repository",
            hint="put it there, or write its repository into Chart.yaml",
        )


def _verified(section: ChartSection, base: Path, found: Brought) -> tuple[str, ...]:
    """Who signed the chart, where the recipe has a keyring. Raises `Unsigned`, `WronglySigned`, `WrongDigest`."""
    if not section.keyring:
        return ()
    metadata = found.chart.metadata
    if found.signature is None:
        raise Unsigned(
            f"{metadata.name} {metadata.version} has no provenance file, and the recipe wants its signature checked",
            hint="leave `keyring` out to take the chart unsigned",
        )
    keyring = Keyring.load([base / section.keyring])
    name = file_name(metadata.name, metadata.version)
    return provenance.verify(found.signature[0], keyring, name, found.fetched.sha256)


def _item(found: Brought, signers: tuple[str, ...]) -> Item:
    """Files: the chart, its provenance, and from a registry the manifest and config that its digest stands for."""
    metadata = found.chart.metadata
    name = file_name(metadata.name, metadata.version)
    content = File(
        found.fetched.sha256, found.fetched.size, path=name, media_type=oci.CONTENT, origin=PACKED if found.made else ""
    )
    files = [content]
    publish: dict[str, object] = {"metadata": dict(metadata.document)}
    if found.created:
        publish["created"] = found.created
    if found.signature is not None:
        _, kept = found.signature
        origin = f"{found.origin}.prov" if found.artifact is None else ""
        files.append(File(kept.sha256, kept.size, path=f"{name}.prov", media_type=oci.PROVENANCE, origin=origin))
        publish["provenance"] = kept.sha256
    if found.artifact is not None:
        place, _, manifest, config = found.artifact
        files.append(File(manifest.sha256, manifest.size, media_type=oci.MANIFEST))
        files.append(File(config.sha256, config.size, media_type=oci.CONFIG))
        publish["artifact"] = {"reference": place, "manifest": manifest.sha256, "config": config.sha256}
    evidence = {"digest": found.checked, "signed_by": list(signers)}
    return Item(
        kind="chart",
        name=metadata.name,
        version=metadata.version,
        origin=found.origin,
        files=tuple(files),
        evidence={key: value for key, value in evidence.items() if value},
        publish=publish,
    )

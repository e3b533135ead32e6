"""From a lock to an archive: what it names is fetched or found on this machine, put in order, written and signed."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from archive import catalogue
from archive.catalogue import File, Item
from archive.digests import Digest
from archive.errors import BlobChanged, Problem
from archive.oci_index import oci_index, title
from archive.progress import Progress
from archive.references import Reference
from archive.requests import Export
from archive.signing import Signer
from archive.writer import BlobSource, Draft, Written, write_crate
from bundler import lockfile, locking, oci
from bundler.cache import Cache, default_root
from bundler.connection import Connection, connect
from bundler.difference import LeftOut
from bundler.ecosystems import CHARTS
from bundler.errors import LockMissing, LockStale, SourceChanged
from bundler.fetch import FetchReport, RegistryBlob, RegistryManifest, Source, Url, Wanted, fetch_all
from bundler.local_images import LocalImages
from bundler.lockfile import Lock
from bundler.recipe import Recipe
from bundler.requesting import check_serial
from bundler.resolve import appliance, images, profiles
from bundler.wishes import extended
from mirror import origins
from mirror.helm.section import PACKED, ChartSection

DIFFERENCE = "-difference"
"""In the file name of a crate that leaves out what another crate holds."""
_REGISTRIES = ("docker://", "oci://")


@dataclass(frozen=True)
class Built:
    """A crate that was written, from `lock`; `locked_now` says that the lock is new as well."""

    written: Written
    lock: Lock
    locked_now: bool
    fetched: FetchReport
    left_out: LeftOut


def build(
    recipe: Recipe,
    out: Path,
    signers: Sequence[Signer],
    progress: Progress,
    *,
    part_size: int | None,
    locked: bool,
    have: Export | None = None,
) -> Built:
    """Writes `<name>-<serial>.crate` into the folder `out`. With `locked` nothing is resolved.

    Without what `have` says that a crate holds it is a difference, `<name>-<serial>-difference.crate`.

    Raises `LockMissing`, `LockStale`, `SerialTooLow`, `SourceChanged`, and what resolving, fetching, writing and
    signing raise. Interrupted anywhere, the next call goes on: the lock stays, and the cache keeps what has come.
    """
    lock = usable_lock(recipe, locked=locked)
    out.mkdir(parents=True, exist_ok=True)
    with Cache(default_root()).in_use():
        gathered = asyncio.run(_gather(recipe, lock, have, progress))
        shape = DIFFERENCE if have else ""
        try:
            written = write_crate(
                _draft(replace(gathered.lock, base=gathered.left_out.base), recipe),
                gathered.blobs,
                oci_index(gathered.lock.items),
                signers,
                out / f"{gathered.lock.name}-{gathered.lock.serial}{shape}.crate",
                part_size=part_size,
                progress=progress,
            )
        except BlobChanged as problem:
            raise _explained(problem, gathered, recipe) from problem
    return Built(written, gathered.lock, lock is None, gathered.fetched, gathered.left_out)


def usable_lock(recipe: Recipe, *, locked: bool) -> Lock | None:
    """The lock beside the recipe, or None when there is none and one may be made.

    Raises `LockStale` for the lock of another recipe, `LockMissing` when `locked` asks for one that is not there.
    """
    path = lockfile.path_for(recipe.path)
    lock = Lock.load(path)
    if lock is None and locked:
        raise LockMissing(
            f"{path} is not there, and --locked resolves nothing", hint=f"crate-bundle lock {recipe.path}"
        )
    platforms = recipe.contents.crate.platforms
    if lock is not None and (lock.recipe != recipe.sha256 or lock.platforms != platforms):
        changed = f"{recipe.path} has changed since {path} was written"
        words = [", ".join(map(str, some)) for some in (lock.platforms, platforms)]
        others = f"{path} is for {words[0]}, and {recipe.path} for {words[1]}"
        raise LockStale(
            changed if lock.platforms == platforms else others,
            hint=f"crate-bundle lock {recipe.path} resolves everything anew; with --update NAME it resolves NAME and "
            "what is new, and leaves the rest as it is",
        )
    return lock


def _explained(problem: BlobChanged, gathered: _Gathered, recipe: Recipe) -> Problem:
    """A disk may rot under the cache: what is damaged there goes, so that the next run fetches it again.

    A local file that is not what was locked is named as the recipe names it.
    """
    path = Cache(default_root()).path(problem.digest)
    if any(blob.path == path for blob in gathered.blobs):
        path.unlink(missing_ok=True)
        return SourceChanged(
            f"the cache held a damaged copy of sha256:{problem.digest}, which is removed now",
            hint="run the same command again: it is fetched anew",
        )
    for item in gathered.lock.items:
        local = item.kind != images.KIND and item.origin.startswith(origins.LOCAL)
        if local and any(file.sha256 == problem.digest for file in item.files):
            return _changed(item, origins.local_path(item.origin, recipe.base), _Updates(gathered.lock, recipe))
    return problem


@dataclass(frozen=True)
class _Gathered:
    lock: Lock
    blobs: list[BlobSource]
    fetched: FetchReport
    left_out: LeftOut


async def _gather(recipe: Recipe, lock: Lock | None, have: Export | None, progress: Progress) -> _Gathered:
    """A lock, made and written when there is none, and on this machine all of its blobs that are to be packed."""
    if lock is not None:
        recipe = extended(recipe, lock.wishes)
    async with connect(recipe, progress) as connection:
        if lock is None:
            lock = (await locking.make(recipe, connection, None, now=locking.now())).lock
            locking.write(lock, recipe)
        updates = _Updates(lock, recipe)
        if have is not None:
            check_serial(lock, have)
        left_out = LeftOut.of(lock, have)
        local = _Local(recipe, updates, connection.cache)
        for item in lock.items:
            local.add(item, left_out.unneeded)
        wanted = (it for it in _wanted(lock, recipe, local, updates) if it.sha256 not in left_out.unneeded)
        fetched = await fetch_all(wanted, connection.registry, connection.cache, progress)
        _remake_indexes(lock, local, left_out.digests, connection)
        await _remake_charts(lock, updates, left_out.digests, connection)
        _remake_wheel(lock, updates, connection)
        _remake_profiles(lock, updates, connection)
        return _Gathered(lock, _ordered(lock, local, connection.cache, fetched, left_out), fetched, left_out)


class _Updates:
    """How to lock anew what asks for an item, and nothing else."""

    def __init__(self, lock: Lock, recipe: Recipe) -> None:
        names = {key: request.name for request in reversed(lock.requests) for key in request.items}
        self._names = {id(item): names.get(key, item.name) for key, item in lockfile.keyed(lock.items).items()}
        self._recipe = recipe.path

    def of(self, item: Item) -> str:
        return f"crate-bundle lock --update {shlex.quote(self._names[id(item)])} {self._recipe}"


class _Local:
    """Blobs that lie on this machine already, outside the cache: packed from where they are, not copied first."""

    def __init__(self, recipe: Recipe, updates: _Updates, cache: Cache) -> None:
        self._base = recipe.base
        self._updates = updates
        self._cache = cache
        self._opened: dict[Path, LocalImages] = {}
        self.blobs: dict[str, BlobSource] = {}

    def add(self, item: Item, unneeded: Container[str] = ()) -> None:
        """Finds the blobs of an item that came from this machine. Raises `SourceChanged` when they are not there."""
        for file in item.files:
            origin = file.origin or item.origin
            if not origin.startswith(origins.LOCAL) or file.sha256 in unneeded:
                continue
            path = origins.local_path(origin, self._base)
            if item.kind != images.KIND and path.is_file():
                # not out of the cache, which would hide that it has changed; the writer compares it with the lock
                if path.stat().st_size != file.size:
                    raise _changed(item, path, self._updates)
                self.blobs[file.sha256] = BlobSource(file.sha256, file.size, path)
            elif not self._cache.has(file.sha256, file.size):
                self._find(item, file, path)

    def body(self, sha256: str) -> bytes:
        """A document, from wherever it is."""
        source = self.blobs.get(sha256)
        if source is None or source.path is None:
            return self._cache.path(sha256).read_bytes()
        with source.path.open("rb") as file:
            file.seek(source.offset)
            return file.read(source.size)

    def _find(self, item: Item, file: File, path: Path) -> None:
        if item.kind != images.KIND:
            raise _changed(item, path, self._updates)
        if path not in self._opened:
            self._opened[path] = LocalImages.open(path)
        held = self._opened[path]
        for digest in (Digest.sha256(file.sha256), *map(Digest.parse, file.aliases)):
            if digest in held.made:
                self._cache.put(held.made[digest])
                return
            if digest in held.blobs and held.blobs[digest].size == file.size:
                extent = held.blobs[digest]
                self.blobs[file.sha256] = BlobSource(file.sha256, file.size, extent.path, extent.offset)
                return
        raise _changed(item, path, self._updates)


def _changed(item: Item, path: Path, updates: _Updates) -> SourceChanged:
    return SourceChanged(f"{path} is not what was locked as {title(item)}", hint=updates.of(item))


def _wanted(lock: Lock, recipe: Recipe, local: _Local, updates: _Updates) -> Iterator[Wanted]:
    """Every blob that comes over the network. URLs get their queries back from the recipe; the lock has none."""
    urls = recipe.urls()
    for item in lock.items:
        if_gone = f"it was there when the lock was made; take what is there now: {updates.of(item)}"
        for file in item.files:
            origin = file.origin or item.origin
            if not origin.startswith((origins.LOCAL, origins.MADE)) and file.sha256 not in local.blobs:
                yield Wanted(file.sha256, file.size, _sources(origin, file, urls), title(item), if_gone)


def _sources(origin: str, file: File, urls: dict[str, list[str]]) -> tuple[Source, ...]:
    if not origin.startswith(_REGISTRIES):
        return tuple(Url(url) for url in urls.get(origin, [origin]))
    digest = Digest.parse(file.aliases[0]) if file.aliases else Digest.sha256(file.sha256)
    reference = Reference.parse(origin.partition("://")[2]).at(digest)
    if file.media_type in oci.INDEX_TYPES | oci.MANIFEST_TYPES:
        return (RegistryManifest(reference),)
    return (RegistryBlob(reference),)


def _remake_indexes(lock: Lock, local: _Local, left_out: Container[str], connection: Connection) -> None:
    """Indexes for fewer platforms are not fetched; they are made again from the originals that were."""
    for item in lock.items:
        if any(file.origin == images.MADE and file.sha256 not in left_out for file in item.files):
            bodies = {
                file.sha256: local.body(file.sha256)
                for file in item.files
                if file.media_type in oci.INDEX_TYPES and file.origin != images.MADE
            }
            for made in images.remake(item, bodies):
                connection.cache.put(made)


async def _remake_charts(lock: Lock, updates: _Updates, left_out: Container[str], connection: Connection) -> None:
    """A chart that lies unpacked beside the recipe is packed again, unless the cache still has it."""
    cache = connection.cache
    for item in lock.items:
        packed = [file for file in item.files if file.origin == PACKED and file.sha256 not in left_out]
        if any(not cache.has(file.sha256, file.size) for file in packed):
            section = ChartSection(path=item.origin.removeprefix(origins.LOCAL))
            await CHARTS.resolve(section, connection.context(lock.platforms))
            if not all(cache.has(file.sha256, file.size) for file in packed):
                raise _changed(item, origins.local_path(item.origin, connection.base), updates)


def _remake_profiles(lock: Lock, updates: _Updates, connection: Connection) -> None:
    """Profiles of this program's are made again, unless the cache still has them; after an update they are others."""
    for item in profiles.own_items(lock.items):
        if all(connection.cache.has(file.sha256, file.size) for file in item.files):
            continue
        if not profiles.remake(item, connection.cache):
            raise SourceChanged(
                f"the lock has another profile {item.name} than this program brings", hint=updates.of(item)
            )


def _remake_wheel(lock: Lock, updates: _Updates, connection: Connection) -> None:
    """BuzzCrate's own wheel is made again, unless the cache still has it; after an update it is another one."""
    for item in filter(appliance.is_own, lock.items):
        (file,) = item.files
        if connection.cache.has(file.sha256, file.size) or appliance.own_wheel(connection.cache) == file.sha256:
            continue
        raise SourceChanged(
            f"the lock was made by another {item.name} {item.version}, whose wheel the cache does not have",
            hint=updates.of(item),
        )


def _ordered(lock: Lock, local: _Local, cache: Cache, fetched: FetchReport, left_out: LeftOut) -> list[BlobSource]:
    """Each blob once: the boot files, then by the first kind that uses it and by digest."""
    leading = list(dict.fromkeys(file.sha256 for file in appliance.boot_files(lock.items)))
    kinds: dict[str, str] = {}
    for item in lock.items:  # sorted by kind first
        for file in item.files:
            kinds.setdefault(file.sha256, item.kind)
    sizes = lockfile.sizes(lock.items)
    return [
        BlobSource(sha256, sizes[sha256], None, absent=True)
        if sha256 in left_out.digests
        else local.blobs.get(sha256)
        or BlobSource(sha256, sizes[sha256], cache.path(sha256), proven=sha256 in fetched.fetched_digests)
        for sha256 in (*leading, *sorted(kinds.keys() - set(leading), key=lambda sha256: (kinds[sha256], sha256)))
    ]


def _draft(lock: Lock, recipe: Recipe) -> Draft:
    return Draft(
        name=lock.name,
        channel=lock.channel,
        serial=lock.serial,
        created=lock.created,
        expires=lock.expires,
        writer=lock.writer,
        catalogue=catalogue.write(lock.items),
        recipe=recipe.travelling,
        lock=lock.to_bytes(),
        boot=appliance.boot_files(lock.items),
    )

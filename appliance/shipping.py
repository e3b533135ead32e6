"""What people published here as a crate of its own: signed by whoever ships it, installed where that key is trusted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from appliance import contributions, generations
from appliance.access import check_patterns, covered
from appliance.errors import NothingToShip, StoreFailed
from appliance.pushed_items import pushed_items
from appliance.store import Store
from archive import catalogue, documents
from archive.catalogue import IMAGE, Item
from archive.digests import Digest
from archive.errors import BlobChanged, UnsafeName
from archive.oci_index import oci_index, title
from archive.progress import SILENT, Progress
from archive.release import NAME, time_text
from archive.signing import Signer
from archive.writer import BlobSource, Draft, Written, write_crate
from console.version import VERSION

CHANNEL = "stable"
_RECIPE = b"# No recipe: people published what is in this crate, and crate-appliance export packed it.\n"
_NAMES = {"pypi": "pypi/{}", "npm": "npm/{}", "chart": "charts/{}", "file": "files/{}"}


@dataclass(frozen=True, slots=True)
class Shipped:
    """The crate that was written, and what is in it."""

    written: Written
    items: tuple[Item, ...]


def ship(
    store: Store,
    name: str,
    signers: Sequence[Signer],
    out: Path,
    *,
    only: Collection[str] = (),
    part_size: int | None = None,
    progress: Progress = SILENT,
) -> Shipped:
    """Writes `<name>-<serial>.crate` into the folder `out`: all that people published and pushed, or what `only` means.

    The patterns in `only` are those of rights (`team-a/*`, `pypi/guestbook`, `apt/local/*`). What a crate brings by now
    in the place of something is not taken along. Raises `NothingToShip`, `IncompleteImage`, `BadPattern`,
    `UnsafeName`, `StoreBusy`, and what writing and signing raise; then nothing is left behind.
    """
    if not NAME.fullmatch(name):
        raise UnsafeName(f"{name[:80]!r} is no name for a crate", hint="use lower-case letters, digits and . _ -")
    patterns = check_patterns(only)
    with store.lock("exporting"):  # nothing is collected or moved while it is read
        peoples = [each for each in contributions.every(store.database.reader) if not each.hidden]
        items = tuple(_chosen([*(each.item for each in peoples), *pushed_items(store)], patterns))
        moment = generations.now(store).replace(microsecond=0)
        serial = _next_serial(store, name, moment)
        kept = {item.key for item in items}
        draft = Draft(
            name=name,
            channel=CHANNEL,
            serial=serial,
            created=moment,
            expires=None,
            writer=f"buzzcrate {VERSION}",
            catalogue=catalogue.write(items),
            recipe=_RECIPE,
            lock=_told(each for each in peoples if each.item.key in kept),
        )
        out.mkdir(parents=True, exist_ok=True)
        try:
            written = write_crate(
                draft,
                _blobs(store, items),
                oci_index(items),
                signers,
                out / f"{name}-{serial}.crate",
                part_size=part_size,
                progress=progress,
            )
        except BlobChanged as problem:
            raise _damaged(problem.digest, items) from problem
        with store.database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO shipped VALUES (?, ?)", (name, serial))
    return Shipped(written, items)


def name_of(item: Item) -> str:
    """What rights and patterns call an item."""
    if item.kind == IMAGE:
        return str(item.publish["repository"])
    if item.kind == "apt":
        return f"apt/{item.publish['repository']}/{item.name}"
    return _NAMES[item.kind].format(item.name)


def _chosen(items: Iterable[Item], patterns: Collection[str]) -> Iterator[Item]:
    """Raises `NothingToShip` when there is nothing, or nothing that one of the patterns means."""
    found = list(items)
    if not found:
        raise NothingToShip(
            "nobody published anything here", hint="docs/publishing.md says how; images are pushed to the registry"
        )
    for pattern in patterns:
        if not any(covered(name_of(item), [pattern]) for item in found):
            raise NothingToShip(
                f"--only {pattern} means nothing that was published here",
                hint="write team-a/* for pushed images, pypi/NAME, npm/NAME, charts/NAME, apt/REPOSITORY/NAME, files/*",
            )
    for item in sorted(found, key=lambda item: item.key):
        if not patterns or covered(name_of(item), patterns):
            yield item


def _next_serial(store: Store, name: str, moment: datetime) -> int:
    """The minute, as those of recipes are; later than every export of this name, whatever the clock says."""
    row = store.database.reader.execute("SELECT serial FROM shipped WHERE name = ?", (name,)).fetchone()
    return max(int(moment.strftime("%Y%m%d%H%M")), row[0] + 1 if row else 1)


def _told(peoples: Iterable[contributions.Contribution]) -> bytes:
    """In the lock's place: who published what, and when."""
    named = [
        {"item": title(each.item), "kind": each.item.kind, "platform": each.item.platform, "by": each.holder}
        | {"at": time_text(each.moment)}
        for each in peoples
    ]
    return documents.canonical({"exported": 1, "published": named})


def _blobs(store: Store, items: Iterable[Item]) -> list[BlobSource]:
    """Each blob once, by the first kind that uses it and by digest. Raises `StoreFailed` for one that is gone."""
    users: dict[str, Item] = {}
    for item in items:  # sorted by kind first
        for file in item.files:
            users.setdefault(file.sha256, item)
    sources = []
    for sha256 in sorted(users, key=lambda sha256: (users[sha256].kind, sha256)):
        extent = store.blobs.find(Digest.sha256(sha256))
        if extent is None:
            raise _damaged(sha256, items)
        sources.append(BlobSource(sha256, extent.size, extent.path, extent.offset))
    return sources


def _damaged(sha256: str, items: Iterable[Item]) -> StoreFailed:
    users = [title(item) for item in items if any(file.sha256 == sha256 for file in item.files)]
    return StoreFailed(
        f"the store's copy of sha256:{sha256} is damaged or gone, which {', '.join(users[:3])} needs",
        hint="crate-appliance doctor looks for damage; publish it again, or leave it out: --only names what to export",
    )

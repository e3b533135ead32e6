"""Whether the store holds what its database says, as far as can be seen without reading every byte (that is scrubbing).

Reads only, beside a daemon at work: what comes or goes meanwhile is looked at a second time before anything is said.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from appliance import journal
from appliance.doctor.findings import Seen, fatal, fine, warning
from appliance.scrubbing import damages, state
from appliance.store import Store
from console import units

_SHOWN = 20
_AGAIN = "crate-appliance install CRATE, with the stick it came on; what people pushed has to be pushed again"
_GC = "crate-appliance gc removes them after a day"
_EMPTY = 4096  # bytes of a part that hold nothing yet

_FILES = (
    "SELECT DISTINCT digest FROM published_files JOIN generations ON id = generation"
    " WHERE active = 1 AND digest NOT IN (SELECT digest FROM documents)"
)
# What is published or pushed, and neither held nor known to be damaged.
_LOST = (
    ("blobs of images", "SELECT DISTINCT digest FROM held_blobs"),
    ("files", _FILES),
    ("contributions", "SELECT DISTINCT digest FROM contribution_blobs"),
)


def damaged(store: Store) -> Iterator[Seen]:
    """What a scrub found, and how the last one went."""
    for damage in damages.every(store)[:_SHOWN]:
        yield fatal(f"{damage.told()}: {damage.reason}", damage.remedy())
    progress = state.read(store.root)
    if progress.finished:
        yield fine(f"every byte was read and compared last at {state.spelled(progress.finished)}")
    if progress.begun:
        yield fine(f"reading every byte since {state.spelled(progress.begun)}: {units.size(progress.read)} so far")


def lost(store: Store) -> Iterator[Seen]:
    reader = store.database.reader
    for what, query in _LOST:
        (count,) = reader.execute(
            f"SELECT count(*) FROM ({query}) WHERE digest NOT IN (SELECT digest FROM blobs)"  # noqa: S608 - fixed queries
            " AND digest NOT IN (SELECT digest FROM damaged)"
        ).fetchone()
        if count:
            yield fatal(f"{count} {what} are listed and not in the store", _AGAIN)
    pushed = list(_unheld_manifests(reader))
    if pushed:
        shown = ", ".join(pushed[:3])
        yield fatal(f"{len(pushed)} pushed manifests are listed and not in the store: {shown}", _AGAIN)


def _unheld_manifests(reader: sqlite3.Connection) -> Iterator[str]:
    """A manifest is known by the digest it was pushed with, which may be an alias of the blob's."""
    known = "SELECT 'sha256:' || lower(hex(digest)) FROM blobs UNION ALL SELECT alias FROM aliases"
    marked = "SELECT 'sha256:' || lower(hex(digest)) FROM damaged UNION ALL SELECT alias FROM damaged_aliases"
    for repository, digest in reader.execute(
        f"SELECT repository, digest FROM manifests WHERE digest NOT IN ({known}) AND digest NOT IN ({marked})"  # noqa: S608 - fixed queries
    ):
        yield f"{repository}@{digest}"


def database(store: Store) -> Iterator[Seen]:
    reader = store.database.reader
    told = [row[0] for row in reader.execute("PRAGMA quick_check(5)")]
    wrong = reader.execute("PRAGMA foreign_key_check").fetchall()
    if told != ["ok"]:
        yield fatal(
            f"crate.db is damaged: {'; '.join(told)}",
            "stop the daemon; crate-appliance restore BACKUP on a good disk, then install the sticks again",
        )
    elif wrong:
        yield fatal(f"crate.db contradicts itself in {len(wrong)} rows, of {wrong[0][0]} first", "report it, please")
    else:
        yield fine("crate.db is sound")


def files(store: Store) -> Iterator[Seen]:
    """Every blob's row against the file that it names: there, and long enough."""
    found = [*_short(store)]
    for told in found[:_SHOWN]:
        yield fatal(told, f"crate-appliance doctor --scrub finds all that is damaged; {_AGAIN}")
    if len(found) > _SHOWN:
        yield fatal(f"and {len(found) - _SHOWN} more blobs whose files are not as they were", _AGAIN)
    (count, size) = store.database.reader.execute("SELECT count(*), coalesce(sum(size), 0) FROM blobs").fetchone()
    if not found:
        yield fine(f"{count} blobs ({units.size(size)}) are where they belong")


def _short(store: Store) -> Iterator[str]:
    reader = store.database.reader
    for digest, furthest, count in reader.execute(
        "SELECT packs.digest, max(offset + blobs.size), count(*) FROM blobs JOIN packs ON packs.id = pack GROUP BY pack"
    ).fetchall():
        path = store.pack_path(digest)
        size = _size(path)
        if (size is None or size < furthest) and _still(reader, "SELECT 1 FROM packs WHERE digest = ?", digest):
            how = "is gone" if size is None else f"has {size} bytes where {furthest} are needed"
            yield f"the pack {path.name} {how}; {count} blobs lie in it"
    for raw, wanted in reader.execute("SELECT digest, size FROM blobs WHERE pack IS NULL").fetchall():
        size = _size(store.blobs.loose_path(raw.hex()))
        if size != wanted and _still(reader, "SELECT 1 FROM blobs WHERE digest = ? AND pack IS NULL", raw):
            how = "is gone" if size is None else f"has {size} bytes instead of {wanted}"
            yield f"the file of sha256:{raw.hex()} {how}"


def _still(reader: sqlite3.Connection, query: str, value: object) -> bool:
    return reader.execute(query, (value,)).fetchone() is not None


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def leftovers(store: Store) -> Iterator[Seen]:
    """What interrupted commands left: of no harm but the space it takes."""
    for pending in journal.pending(store.packs):
        stored = journal.stored(store.journal_path(pending.digest)).total()
        yield warning(
            f"the import of {pending.name} {pending.serial} is not finished ({units.size(stored)} of "
            f"{units.size(pending.size)})",
            "install it again to go on, or crate-appliance gc --unfinished drops it",
        )
    known = {row[0] for row in store.database.reader.execute("SELECT digest FROM packs")}
    packs = [
        path
        for path in store.packs.glob("*.crate")
        if path.stem not in known and not store.journal_path(path.stem).exists()
    ]
    if packs:
        yield warning(f"{len(packs)} packs belong to nothing ({_space(packs)})", "crate-appliance gc removes them")
    held = {row[0].hex() for row in store.database.reader.execute("SELECT digest FROM blobs WHERE pack IS NULL")}
    held |= {row[0].hex() for row in store.database.reader.execute("SELECT digest FROM damaged WHERE pack IS NULL")}
    loose = [
        path
        for path in (store.root / "loose/sha256").glob("*/*")
        if path.name not in held and not _arrived(store, path.name)
    ]
    if loose:
        yield warning(f"{len(loose)} loose files belong to nothing ({_space(loose)})", _GC)
    # a daemon wipes the folder when it starts, so what lies in it then is under way
    uploads = [] if store.served() else [path for path in store.uploads.iterdir() if _space_of(path) >= _EMPTY]
    if uploads:
        yield warning(
            f"{len(uploads)} pushes were cut off ({_space(uploads)})", "the daemon removes them when it starts"
        )


def _space(paths: Iterable[Path]) -> str:
    return units.size(sum(map(_space_of, paths)))


def _space_of(path: Path) -> int:
    with suppress(FileNotFoundError):  # it ended while we look
        return path.stat().st_blocks * 512
    return 0


def _arrived(store: Store, name: str) -> bool:
    """Whether a row came meanwhile: a push renames its file inside the transaction that records it."""
    try:
        return store.blobs.holds(name)
    except ValueError:  # not a digest: a file on its way
        return False

"""Import: a crate comes off its medium and into the store, once, every byte compared before the database knows it.

Metadata first: signature, serial, what must be held already, free space. Then one pass over the data, which may be
interrupted anywhere and spread over several runs and sticks. Nothing that is served changes until the last
transaction.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from appliance import disk, generations, journal
from appliance.bases import missing_base
from appliance.errors import StoreFull
from appliance.incomplete import incomplete
from appliance.journal import Pending
from appliance.kept import KeptVolumes
from appliance.keyring import Keyring
from appliance.ranges import Ranges
from appliance.store import Store
from appliance.transfer import Transfer
from appliance.unfinished import UnfinishedPack
from archive.errors import Malformed, MissingPart
from archive.progress import SILENT, Progress
from archive.reader import Crate, read_envelope
from archive.release import Release
from archive.stream import Damage
from archive.trust import Verdict, check_serial
from console import units

_RECORDS = (4 << 20, 512)
"""Bytes of disk that the database and its log take to record an import, and for each of its blobs."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A crate that is in the store. `written` bytes came from the medium in this run, `reused` were held elsewhere.

    `expired` is worth a warning and no more: boards have no clock.
    """

    pack: int
    verdict: Verdict
    written: int
    reused: int
    expired: bool

    @property
    def release(self) -> Release:
        return self.verdict.release


def import_crate(store: Store, paths: Sequence[Path], keyring: Keyring, progress: Progress = SILENT) -> Imported:
    """Brings one crate into the store; `paths` are its file or parts, or folders that hold them.

    The caller holds the store's lock. Raises `Refused`, `Malformed`, `Damaged`, `MissingBase`, `StoreFull`,
    `StoreFailed`; `IncompleteCrate` when damaged or missing places remain, after keeping everything else.
    """
    with ExitStack() as stack:
        volumes, pack = _open_volumes(store, paths, stack)
        stack.enter_context(disk.problems(f"importing {volumes.stem}"))
        envelope = read_envelope(volumes)
        now = generations.now(store)
        judgement = keyring.judge(envelope, now, volumes.stem)
        verdict = judgement.verdict
        crate = Crate(volumes, envelope.signed, verdict.release)
        check_serial(verdict.release, crate.digest, keyring.floor(verdict.release.name, crate.digest))
        known = _held_pack(store, crate.digest)
        if known is None:
            if pack is None and store.journal_path(crate.digest).exists():
                pack = stack.enter_context(UnfinishedPack(store, _pending(crate, volumes)))
            imported = _Import(store, crate, volumes, verdict, progress).run(pack, stack, now)
        else:
            store.journal_path(crate.digest).unlink(missing_ok=True)  # stopped just before removing it
            imported = Imported(known, verdict, 0, 0, _expired(verdict, now))
        keyring.learn(judgement)
    return imported


def group_crates(paths: Sequence[Path]) -> list[list[Path]]:
    """Sorts the files given by the crate they belong to; folders are searched for each of them."""
    folders = [path for path in paths if path.is_dir()]
    by_stem: dict[str, list[Path]] = {}
    for path in paths:
        if path not in folders:
            stem = path.stem if path.suffix[1:].isdecimal() else path.name
            by_stem.setdefault(stem, []).append(path)
    return [[*files, *folders] for files in by_stem.values()] or [folders]


def _open_volumes(store: Store, paths: Sequence[Path], stack: ExitStack) -> tuple[KeptVolumes, UnfinishedPack | None]:
    """The files at hand; without the first of them, an import under way must have kept what was in it."""
    try:
        return stack.enter_context(KeptVolumes.open(paths)), None
    except MissingPart:
        for pending in journal.pending(store.packs):
            with suppress(Malformed):  # not of this size, so not of this crate
                volumes = KeptVolumes.open(paths, pending.part_size or None)
                if volumes.stem == pending.stem:
                    pack = stack.enter_context(UnfinishedPack(store, pending))
                    volumes.keep(pack.descriptor, pack.journal.stored)
                    return stack.enter_context(volumes), pack
        raise


def _pending(crate: Crate, volumes: KeptVolumes) -> Pending:
    release = crate.release
    return Pending(crate.digest, volumes.stem, release.name, release.serial, crate.total_size, volumes.part_size or 0)


def _expired(verdict: Verdict, now: datetime) -> bool:
    return verdict.release.expires is not None and verdict.release.expires < now


def _held_pack(store: Store, digest: str) -> int | None:
    """The pack of this digest, when the store has it and all its blobs."""
    row = store.database.reader.execute(
        "SELECT id FROM packs WHERE packs.digest = ? AND NOT EXISTS (SELECT 1 FROM pack_blobs"
        " WHERE pack = packs.id AND digest NOT IN (SELECT digest FROM blobs))",
        (digest,),
    ).fetchone()
    return None if row is None else int(row[0])


class _Import:
    """One run of one crate's import, after its signature has been judged."""

    def __init__(self, store: Store, crate: Crate, volumes: KeptVolumes, verdict: Verdict, progress: Progress) -> None:
        self._store = store
        self._crate = crate
        self._volumes = volumes
        self._verdict = verdict
        self._progress = progress

    def run(self, resumed: UnfinishedPack | None, stack: ExitStack, now: datetime) -> Imported:
        if resumed:
            # what a run that was stopped had written and not yet proven; what is wrong is forgotten, and read again
            before = Transfer(self._store.blobs, self._crate, self._volumes, resumed)
            before.check_chunks()
            before.distrust_damages()
        needed, reused = self._plan(resumed.journal.verified if resumed else Ranges())
        pack = resumed or stack.enter_context(UnfinishedPack(self._store, _pending(self._crate, self._volumes)))
        transfer = Transfer(self._store.blobs, self._crate, self._volumes, pack)
        with self._progress.task("importing", needed) as task:
            transfer.run(task)
        self._require_complete(pack, transfer.damages)
        pack.place()
        expired = _expired(self._verdict, now)
        return Imported(self._record(pack), self._verdict, transfer.written, reused, expired)

    def _plan(self, verified: Ranges) -> tuple[int, int]:
        """How many bytes are to be written, and how many are held elsewhere; refuses what cannot end well."""
        needed = reused = absent = lacking = 0
        records = _RECORDS[0] + _RECORDS[1] * self._crate.survey.blobs
        for placed in self._crate.entries():
            if self._store.blobs.holds(placed.entry.digest):
                reused += placed.entry.size
            elif placed.entry.absent:
                absent += 1
                lacking += placed.entry.size
            else:
                gaps = verified.gaps(placed.data_offset, placed.data_offset + placed.entry.size)
                needed += sum(end - start for start, end in gaps)
        if absent:
            raise missing_base(self._store, self._crate, absent, lacking)
        free = shutil.disk_usage(self._store.packs).free
        if needed and needed + records > free:
            raise StoreFull(
                f"importing {self._volumes.stem} takes {units.size(needed + records)}, and {units.size(free)} are free"
                f" at {self._store.root}",
                hint="free space, for instance with crate-appliance gc, and run the same command again",
            )
        return needed, reused

    def _require_complete(self, pack: UnfinishedPack, damages: Sequence[Damage]) -> None:
        """Raises `IncompleteCrate` unless everything wanted is in the pack, and nothing was found damaged."""
        lacking = [
            placed
            for placed in self._crate.entries()
            if not pack.journal.verified.covers(placed.data_offset, placed.data_offset + placed.entry.size)
            and not self._store.blobs.holds(placed.entry.digest)
        ]
        if damages or lacking or not pack.journal.verified.covers(0, self._crate.head.end):
            raise incomplete(self._crate, self._volumes, damages, lacking)

    def _record(self, pack: UnfinishedPack) -> int:
        """The one transaction: the pack, what its index names, and which of that it holds."""
        release = self._crate.release
        verified = pack.journal.verified
        with pack.volumes() as volumes, self._store.database.write() as connection:
            crate = Crate(volumes, self._crate.signed, release)
            row = connection.execute(
                "INSERT INTO packs (digest, name, channel, serial, created, size, signed, signatures, imported_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (digest) DO UPDATE SET imported_at = excluded.imported_at RETURNING id",
                (
                    crate.digest,
                    release.name,
                    release.channel,
                    release.serial,
                    int(release.created.timestamp()),
                    crate.total_size,
                    crate.signed,
                    json.dumps([asdict(signature) for signature in self._verdict.signatures]),
                    int(time.time()),
                ),
            ).fetchone()
            for placed in crate.entries():
                entry, raw = placed.entry, bytes.fromhex(placed.entry.digest)
                connection.execute("INSERT OR IGNORE INTO pack_blobs VALUES (?, ?)", (row[0], raw))
                if not entry.absent and verified.covers(placed.data_offset, placed.data_offset + entry.size):
                    connection.execute(
                        "INSERT OR IGNORE INTO blobs VALUES (?, ?, ?, ?, 0)",
                        (raw, entry.size, row[0], placed.data_offset),
                    )
        pack.forget()
        return int(row[0])

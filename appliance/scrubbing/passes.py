"""One pass over the store: each blob read from the disk, hashed, and taken out of what is held when it is another.

A pass goes by digest, so that imports and collections beside it change nothing for it, and can be interrupted
anywhere: the next one goes on behind the last blob that was noted.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from appliance.scrubbing import damages, state
from appliance.scrubbing.damages import Place
from appliance.scrubbing.state import State
from appliance.store import Store
from archive.progress import SILENT, Progress
from console import units

_PIECE = 1 << 20  # bytes
_NOTE = 60.0  # seconds between two notes of how far it is

Pace = Callable[[int], bool]
"""Told how many bytes were read; waits as long as is due, and says whether to go on."""


class Stopped(Exception):  # noqa: N818 - not an error
    """The pace said so."""


def unhurried(_count: int) -> bool:
    return True


def scrub(store: Store, *, pace: Pace = unhurried, progress: Progress = SILENT) -> State:
    """Begins a pass or goes on with the one that was interrupted, to its end or until `pace` stops it.

    May run beside a daemon, a push or an import; what they change meanwhile is no damage. Raises `StoreFailed` when
    damage cannot be noted.
    """
    now = state.read(store.root)
    if not now.begun:
        now = State(begun=int(time.time()), finished=now.finished)
    after = bytes.fromhex(now.after)
    (left,) = store.database.reader.execute(
        "SELECT coalesce(sum(size), 0) FROM blobs WHERE digest > ?", (after,)
    ).fetchone()
    if after and progress is not SILENT:
        progress.say(f"going on: {units.size(now.read)} were compared since {state.spelled(now.begun)}")
    noted = time.monotonic()
    with progress.task("reading every byte", left) as task:

        def paced(count: int) -> bool:
            task.advance(count)
            return pace(count)

        try:
            while (place := _next(store, after)) is not None:
                reason = examine(store, place, paced)
                damaged = bool(reason) and damages.condemn(store, place, reason)
                after = place.raw
                now = replace(now, after=after.hex(), read=now.read + place.size, damaged=now.damaged + damaged)
                if damaged or time.monotonic() - noted > _NOTE:
                    state.write(store.root, now)
                    noted = time.monotonic()
        except (Stopped, KeyboardInterrupt) as stopped:
            state.write(store.root, now)
            if isinstance(stopped, KeyboardInterrupt):
                raise
            return now
    ended = replace(now, begun=0, after="", read=now.read, finished=int(time.time()))
    state.write(store.root, ended)
    return ended


def examine(store: Store, place: Place, pace: Pace = unhurried) -> str:
    """Why the bytes at a place are not the blob's; empty when they are. Raises `Stopped`.

    Looks twice, because memory and cables err, too, and because a collection may have had its hands on it.
    """
    return _look(store, place, pace) and _look(store, place, pace)


def _next(store: Store, after: bytes) -> Place | None:
    row = store.database.reader.execute(
        "SELECT digest, size, pack, offset FROM blobs WHERE digest > ? ORDER BY digest LIMIT 1", (after,)
    ).fetchone()
    return Place(*row) if row else None


def _look(store: Store, place: Place, pace: Pace) -> str:
    hasher = hashlib.sha256()
    try:
        descriptor = os.open(_path(store, place), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        return f"its file cannot be opened: {error.strerror}"
    try:
        for start in range(place.offset, place.offset + place.size, _PIECE):
            length = min(_PIECE, place.offset + place.size - start)
            # what the page cache holds is not what the disk holds
            with suppress(OSError):
                os.posix_fadvise(descriptor, start, length, os.POSIX_FADV_DONTNEED)
            piece = os.pread(descriptor, length, start)
            if len(piece) < length:
                return f"its file ends {length - len(piece)} bytes early"
            hasher.update(piece)
            if not pace(length):
                raise Stopped
    except OSError as error:
        return f"the disk cannot read it: {error.strerror}"
    finally:
        os.close(descriptor)
    return "" if hasher.digest() == place.raw else "its bytes are others than they were"


def _path(store: Store, place: Place) -> Path:
    if place.pack is None:
        return store.blobs.loose_path(place.raw.hex())
    row = store.database.reader.execute("SELECT digest FROM packs WHERE id = ?", (place.pack,)).fetchone()
    return store.pack_path(row[0] if row else "gone")

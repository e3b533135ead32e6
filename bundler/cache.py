"""The cache: every blob that was ever fetched, by its sha256, shared by all crates and safe under several builds.

    ROOT/blobs/sha256/<aa>/<hex>    whole blobs; renamed into place, so one that is there is complete
    ROOT/partial/<key>.partial      transfers, each behind an flock that dies with its process
    ROOT/aliases/sha512/<hex>       the sha256 of a blob that a registry names by its sha512
    ROOT/lock                       shared by builds, exclusive for `prune`

Nothing is fsynced: a cache may lose, not lie. What a power cut truncates has the wrong size and is fetched again, and
packing hashes what it takes from here.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from archive.digests import Digest
from bundler.errors import CacheBusy, CacheFull
from console import units
from mirror.transport import Fetched

BLOCK = 1 << 20
_POLL = (0.02, 0.5)  # seconds between looks at a blob that another build is fetching, first and longest
_ROOM_HINT = "free some space, run `crate-bundle cache prune`, or point XDG_CACHE_HOME at a larger disk"


def default_root() -> Path:
    """`$XDG_CACHE_HOME/buzzcrate`, which is `~/.cache/buzzcrate` where nobody says otherwise."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".cache") / "buzzcrate"


@dataclass(frozen=True, slots=True)
class Pruned:
    """What `prune` removed."""

    blobs: int
    size: int


class Partial:
    """A blob on its way in, held by this process alone until its claim ends."""

    def __init__(self, file: int, path: Path) -> None:
        self._file = file
        self._path = path

    @property
    def size(self) -> int:
        return os.fstat(self._file).st_size

    def blocks(self) -> Iterator[bytes]:
        """What is there already, from the beginning."""
        offset = 0
        while block := os.pread(self._file, BLOCK, offset):
            yield block
            offset += len(block)

    def append(self, data: bytes) -> None:
        """Raises `CacheFull` when the disk is; what was written stays, and the next attempt goes on from there."""
        view = memoryview(data)
        with _full_disk(self._path):
            while view:
                view = view[os.write(self._file, view) :]

    def restart(self) -> None:
        os.ftruncate(self._file, 0)

    def move(self, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        self._path.rename(target)


class Cache:
    """Blobs below `root`, which is made when it is not there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._partials = root / "partial"
        with _full_disk(root):
            self._partials.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        return self.root / "blobs" / "sha256" / sha256[:2] / sha256

    def has(self, sha256: str, size: int) -> bool:
        """Whether the blob is here, whole."""
        try:
            return self.path(sha256).stat().st_size == size
        except FileNotFoundError:
            return False

    def find(self, digest: Digest, size: int | None = None) -> Fetched | None:
        """The blob of a digest of either algorithm, or None; None too for one that has not its `size`."""
        try:
            sha256 = digest.hex if digest.algorithm == "sha256" else self._alias(digest).read_text()
            path = self.path(sha256)
            found = Fetched(sha256, path.stat().st_size, path)
        except FileNotFoundError:
            return None
        return found if size in {None, found.size} else None

    def touch(self, sha256: str) -> None:
        """Notes that the blob is in use, which is what `prune` goes by."""
        os.utime(self.path(sha256))

    def put(self, data: bytes) -> Fetched:
        """Keeps a small document. Raises `CacheFull`."""
        return self._keep(iter([data]))

    def adopt(self, path: Path) -> Fetched:
        """Copies a local file in, hashing on the way. Raises `CacheFull`, and OSError for the file itself."""
        with path.open("rb", buffering=0) as file:
            self.require(os.fstat(file.fileno()).st_size)
            return self._keep(iter(lambda: file.read(BLOCK), b""))

    def size(self) -> int:
        """Bytes of all that is here, transfers under way included."""
        return sum(status.st_size for _, status in self._files())

    def require(self, size: int) -> None:
        """Raises `CacheFull`, saying how much is missing, unless `size` more bytes have room."""
        free = shutil.disk_usage(self.root).free
        if size > free:
            raise CacheFull(
                f"the cache in {self.root} needs {units.size(size)} more and its disk has {units.size(free)} free: "
                f"{units.size(size - free)} missing",
                hint=_ROOM_HINT,
            )

    @asynccontextmanager
    async def claim(
        self, key: str, digest: Digest | None = None, size: int | None = None
    ) -> AsyncIterator[Partial | Fetched]:
        """The transfer `key`, for this task alone; or the blob of that digest and size, when it is here already.

        `key` names what is fetched: the digest, or a hash of the URL where no digest is known.
        """
        path = self._partial(key)
        pause, longest = _POLL
        while True:
            found = self.find(digest, size) if digest is not None else None
            if found is not None:
                yield found
                return
            with _full_disk(path):
                file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            try:
                if _lock(file) and _still_there(file, path):
                    try:
                        yield Partial(file, path)
                    finally:
                        if not os.fstat(file).st_size and _still_there(file, path):
                            path.unlink()  # nothing to go on with
                    return
            finally:
                os.close(file)
            await asyncio.sleep(pause)
            pause = min(pause * 2, longest)

    def begun(self, key: str) -> int:
        """Bytes of the transfer `key` that are here already."""
        try:
            return self._partial(key).stat().st_size
        except FileNotFoundError:
            return 0

    def complete(self, partial: Partial, sha256: str, alias: Digest | None = None) -> Fetched:
        """Takes over what a claim brought in; the caller has checked it."""
        size = partial.size
        partial.move(self.path(sha256))
        if alias is not None and alias.algorithm != "sha256":
            self._write_alias(alias, sha256)
        return Fetched(sha256, size, self.path(sha256))

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Around a build, so that no `prune` takes away between fetching and packing what it needs."""
        with self._lock_file(fcntl.LOCK_SH):
            yield

    def prune(
        self, *, keep: Collection[str] = frozenset(), older_than: float = 0.0, max_size: int | None = None
    ) -> Pruned:
        """Removes blobs, longest unused first, but for those whose sha256 is in `keep`.

        `older_than` spares what was used in the last so many seconds; with `max_size`, it ends as soon as the cache is
        no larger than so many bytes. Raises `CacheBusy` while a build runs.
        """
        try:
            with self._lock_file(fcntl.LOCK_EX | fcntl.LOCK_NB):
                return self._prune(keep, time.time() - older_than, max_size)
        except BlockingIOError as error:
            raise CacheBusy(f"a build is using the cache in {self.root}", hint="prune when it has ended") from error

    def _prune(self, keep: Collection[str], before: float, max_size: int | None) -> Pruned:
        files = sorted(self._files(), key=lambda found: found[1].st_mtime)
        left = sum(status.st_size for _, status in files)
        count = freed = 0
        for path, status in files:
            if max_size is not None and left <= max_size:
                break
            if path.name in keep or status.st_mtime > before:
                continue
            path.unlink(missing_ok=True)
            left -= status.st_size
            freed += status.st_size
            count += 1
        return Pruned(count, freed)

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for folder in ("blobs", "partial", "aliases"):
            for path in (self.root / folder).rglob("*"):
                try:
                    if not path.is_dir():
                        yield path, path.stat()
                except FileNotFoundError:  # a transfer that ended meanwhile
                    continue

    def _keep(self, blocks: Iterator[bytes]) -> Fetched:
        sha256, size = hashlib.sha256(), 0
        file, name = tempfile.mkstemp(dir=self._partials, suffix=".local")
        partial = Partial(file, Path(name))
        try:
            for block in blocks:
                sha256.update(block)
                size += len(block)
                partial.append(block)
            os.fchmod(file, 0o644)
            return self.complete(partial, sha256.hexdigest())
        finally:
            os.close(file)
            Path(name).unlink(missing_ok=True)

    def _partial(self, key: str) -> Path:
        return self._partials / f"{key}.partial"

    def _alias(self, digest: Digest) -> Path:
        return self.root / "aliases" / digest.algorithm / digest.hex

    def _write_alias(self, alias: Digest, sha256: str) -> None:
        path = self._alias(alias)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=self._partials, suffix=".local", delete=False) as file:
            file.write(sha256)
        Path(file.name).rename(path)

    @contextmanager
    def _lock_file(self, how: int) -> Iterator[None]:
        with (self.root / "lock").open("w") as file:
            fcntl.flock(file, how)
            yield


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _still_there(file: int, path: Path) -> bool:
    """Whether the file that was locked is the one of that name: its last holder may have moved it into place."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def _full_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise CacheFull(f"the disk is full: {path} could not be written", hint=_ROOM_HINT) from error

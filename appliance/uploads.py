"""Pushes under way: a file each below `uploads/`, hashed as it grows, gone when finished, given up or forgotten.

Sessions live as long as the daemon; a client whose session is gone starts again (distribution-spec, "Pushing a blob in
chunks"). What lies in the folder when a daemon starts belongs to nobody.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance import disk
from archive.digests import Digest

EXPIRES = 3600.0  # seconds without a request


@dataclass(slots=True)
class Upload:
    """One session; `size` bytes of it are on disk. One request at a time writes to it."""

    id: str
    repository: str
    path: Path
    size: int = 0
    busy: bool = False
    touched: float = field(default_factory=time.monotonic)
    _sha256: Any = field(default_factory=hashlib.sha256)

    def append(self, data: bytes | bytearray) -> None:
        """Blocks on the disk. Raises `StoreFull`; the upload is then as long as it was."""
        with disk.problems("receiving a push"), self.path.open("r+b", buffering=0) as file:
            disk.write_all(file.fileno(), memoryview(data), self.size)
        self._sha256.update(data)
        self.size += len(data)
        self.touched = time.monotonic()

    def digests(self, wanted: Digest) -> tuple[Digest, Digest]:
        """The content's sha256 and its digest by `wanted`'s algorithm. Blocks on the disk.

        From here on the file holds the content and nothing else.
        """
        os.truncate(self.path, self.size)  # a write that failed may have left something behind
        sha256 = Digest.sha256(self._sha256.hexdigest())
        if wanted.algorithm == "sha256":
            return sha256, sha256
        with self.path.open("rb") as file:
            return sha256, Digest(wanted.algorithm, hashlib.file_digest(file, wanted.algorithm).hexdigest())


class Uploads:
    """The sessions of one daemon. Opening one wipes what an earlier daemon left behind."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sessions: dict[str, Upload] = {}
        for leftover in folder.iterdir():
            leftover.unlink()

    def begin(self, repository: str) -> Upload:
        identity = secrets.token_hex(16)
        upload = Upload(identity, repository, self._folder / identity)
        upload.path.touch()
        self._sessions[identity] = upload
        return upload

    def find(self, identity: str, repository: str) -> Upload | None:
        upload = self._sessions.get(identity)
        return upload if upload is not None and upload.repository == repository else None

    @contextmanager
    def scratch(self, data: bytes) -> Iterator[Path]:
        """A file of its own with `data`, for content that comes whole; removed unless it was renamed away."""
        path = self._folder / secrets.token_hex(16)
        try:
            with disk.problems("receiving a push"):
                path.write_bytes(data)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def drop(self, upload: Upload) -> None:
        """Forgets the session and its file, whether or not the file was taken over."""
        self._sessions.pop(upload.id, None)
        upload.path.unlink(missing_ok=True)

    def expire(self) -> None:
        """Drops the sessions that nobody came back to."""
        latest = time.monotonic() - EXPIRES
        for upload in [found for found in self._sessions.values() if not found.busy and found.touched < latest]:
            self.drop(upload)

    def free(self) -> int:
        """Bytes that the disk still takes from this user."""
        state = os.statvfs(self._folder)
        return state.f_bavail * state.f_frsize

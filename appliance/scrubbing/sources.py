"""Where the bytes of damaged blobs can come from: packs of this store, crate files, and other crates.

A source gives bytes and is believed nothing: what it gave counts once its digest is the one that was asked for.
"""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from appliance import generations
from appliance.importing import group_crates
from appliance.kept import KeptVolumes
from appliance.keyring import Keyring
from appliance.store import Store
from archive.errors import Damaged, InvalidValue, Problem
from archive.layout import Placed
from archive.reader import Crate, read_envelope
from archive.volumes import Volumes

_PIECE = 1 << 20  # bytes
_SECONDS = 30.0  # of silence after which another crate counts as gone


class Source(Protocol):
    """`name` is for a person."""

    name: str

    def pieces(self, sha256: str) -> Iterator[bytes]:
        """The blob as far as it is to be had: nothing where it is not, and possibly something else."""
        ...


class Pack:
    """A crate's bytes, in a file of its own or in its parts."""

    def __init__(self, name: str, volumes: Volumes, crate: Crate) -> None:
        self.name = name
        self._volumes = volumes
        self._places: dict[str, Placed] = {}
        self._crate = crate

    def look_for(self, wanted: set[str]) -> None:
        """To be called before `pieces`; goes through the index once."""
        for placed in self._crate.entries():
            if placed.entry.digest in wanted and not placed.entry.absent:
                self._places[placed.entry.digest] = placed

    def pieces(self, sha256: str) -> Iterator[bytes]:
        placed = self._places.get(sha256)
        if placed is None:
            return
        end = placed.data_offset + placed.entry.size
        for start in range(placed.data_offset, end, _PIECE):
            try:
                yield self._volumes.pread(min(_PIECE, end - start), start)
            except (Damaged, Problem):
                return


class OtherCrate:
    """Another crate's registry and mirrors, at `https://HOST:PORT`.

    Its certificate is not looked at: the digest of what it gives is all that counts.
    """

    def __init__(self, url: str, store: Store) -> None:
        parsed = urllib.parse.urlsplit(url)
        if parsed.scheme not in {"http", "https"} or not parsed.hostname:
            raise InvalidValue(f"{url[:100]!r} is no address of a crate", hint="write it like https://10.77.0.2:5000")
        self.name = f"{parsed.scheme}://{parsed.netloc.rpartition('@')[2]}"
        self._reader = store.database.reader
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    def pieces(self, sha256: str) -> Iterator[bytes]:
        for path in self._paths(sha256):
            address = f"{self.name}{urllib.parse.quote(path, safe='/:@')}"
            try:
                with urllib.request.urlopen(address, timeout=_SECONDS, context=self._context) as answer:  # noqa: S310 - the scheme was looked at
                    while piece := answer.read(_PIECE):
                        yield piece
            except urllib.error.HTTPError:
                continue
            except (OSError, http.client.HTTPException):
                pass
            return

    def _paths(self, sha256: str) -> Iterator[str]:
        """Where this store would serve the blob; the other one does it in the same way."""
        raw, digest = bytes.fromhex(sha256), f"sha256:{sha256}"
        for (repository,) in self._reader.execute(
            "SELECT DISTINCT repository FROM held_manifests WHERE digest = ?", (digest,)
        ).fetchall():
            yield f"/v2/{repository}/manifests/{digest}"
        for (repository,) in self._reader.execute(
            "SELECT DISTINCT repository FROM held_blobs WHERE digest = ?", (raw,)
        ).fetchall():
            yield f"/v2/{repository}/blobs/{digest}"
        for (path,) in self._reader.execute(
            "SELECT DISTINCT path FROM published_files WHERE digest = ?", (raw,)
        ).fetchall():
            yield f"/{path}"


def own_packs(store: Store, wanted: set[str], stack: ExitStack) -> Iterator[Pack]:
    """The packs of this store that name any of `wanted`: what was a hole once may still be there."""
    found: dict[str, bytes] = {}
    for sha256 in wanted:
        found |= dict(
            store.database.reader.execute(
                "SELECT packs.digest, signed FROM pack_blobs JOIN packs ON packs.id = pack WHERE pack_blobs.digest = ?",
                (bytes.fromhex(sha256),),
            )
        )
    for digest, signed in found.items():
        try:
            volumes = stack.enter_context(Volumes.open([store.pack_path(digest)]))
            pack = Pack(f"the pack {digest[:12]}", volumes, Crate.open(volumes, signed))
            pack.look_for(wanted)
        except (Problem, OSError):  # its index is damaged as well, or it is gone
            continue
        yield pack


def crate_files(store: Store, paths: Sequence[Path], wanted: set[str], stack: ExitStack) -> Iterator[Pack]:
    """The crates among `paths`, which are files, parts or folders of them.

    Each is judged as an import judges it, but for its serial: an older release may well have what is needed. Raises
    `Refused`, `Malformed`, `Damaged`.
    """
    keyring = Keyring(store)
    files = [file for path in paths for file in _files(path)]
    for group in group_crates(files) if files else ():
        volumes = stack.enter_context(KeptVolumes.open(group))
        envelope = read_envelope(volumes)
        verdict = keyring.judge(envelope, generations.now(store), volumes.stem).verdict
        pack = Pack(volumes.stem, volumes, Crate(volumes, envelope.signed, verdict.release))
        pack.look_for(wanted)
        yield pack


def _files(path: Path) -> list[Path]:
    """A file itself; of a folder every crate and part in it, or the folder, for the refusal, where there is none."""
    if not path.is_dir():
        return [path]
    return sorted([*path.glob("*.crate"), *path.glob("*.crate.[0-9]*")]) or [path]

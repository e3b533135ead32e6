"""Small crates for tests, sound and forged.

`assemble` lays a crate out byte by byte without the writer, so that it can sign what the writer would never write.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from archive import documents, layout, sshsig
from archive.catalogue import File, Item
from archive.catalogue import write as write_catalogue
from archive.errors import Problem
from archive.index import Entry
from archive.limits import KIB, LIMITS
from archive.reader import Crate, read_envelope
from archive.release import time_text
from archive.signers import AllowedSigners, line_for
from archive.signing import KeyFile, Signer
from archive.stream import Damage
from archive.trust import Floor, Policy, check_serial, judge
from archive.volumes import Volumes
from archive.writer import BlobSource, Draft

CHUNK = LIMITS.smallest_chunk
PART = 60 * KIB
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
OCI_INDEX = b'{"manifests":[],"schemaVersion":2}'
RECIPE, LOCK = b"[crate]\n", b'{"lock":1}\n'


def key(number: int) -> KeyFile:
    """The same key for the same number."""
    return KeyFile(Ed25519PrivateKey.from_private_bytes(number.to_bytes(32)))


SIGNER = key(1)
TRUSTED = AllowedSigners.parse(line_for("release", SIGNER.public))


def content(size: int, seed: int = 0) -> bytes:
    return random.Random(f"{size} {seed}").randbytes(size)


CONTENTS = tuple(content(size) for size in (0, 1, 512, 700, CHUNK, 2 * CHUNK + 5))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def entry(data: bytes, *, absent: bool = False) -> Entry:
    chunks = [sha256(data[start : start + CHUNK]) for start in range(0, len(data), CHUNK)]
    return Entry(sha256(data), len(data), tuple(chunks) if len(chunks) > 1 and not absent else (), absent)


def catalogue(*names: str) -> bytes:
    """A file item for each of the names, all of different content."""
    files = [File(sha256(name.encode()), 1, path=name) for name in names]
    return write_catalogue(Item("file", f"item-{n}", files=(file,)) for n, file in enumerate(files))


def member(name: str, data: bytes) -> bytes:
    return layout.header(name, len(data)) + data + bytes(layout.padding(len(data)))


def assemble(
    *,
    contents: Sequence[bytes] = CONTENTS,
    items: bytes | None = None,
    change: Callable[[dict[str, Any]], None] = lambda _: None,
    spell: Callable[[bytes], bytes] = lambda signed: signed,
    lines: Callable[[list[bytes]], list[bytes]] = lambda lines: lines,
    signers: Sequence[Signer] = (SIGNER,),
    slot: bytes | None = None,
) -> bytes:
    """A crate with these blobs. `change` edits crate.json's values, `spell` its bytes, `lines` the index."""
    blobs = [catalogue() if items is None else items, LOCK, RECIPE, *contents]
    index = b"".join(line + b"\n" for line in lines([entry(data).line() for data in blobs]))
    oci_layout = b'{"imageLayoutVersion":"1.0.0"}'

    def pin(data: bytes) -> dict[str, Any]:
        return {"size": len(data), "sha256": sha256(data)}

    document: dict[str, Any] = {
        "v": 1,
        "name": "site",
        "channel": "stable",
        "serial": 3,
        "created": time_text(NOW),
        "expires": None,
        "chunk": CHUNK,
        "index": pin(index),
        "oci-layout": pin(oci_layout),
        "index.json": pin(OCI_INDEX),
        "catalogue": pin(blobs[0]),
        "lock": pin(LOCK),
        "recipe": pin(RECIPE),
        "boot": [],
        "writer": "tests",
    }
    change(document)
    signed = spell(documents.canonical(document))
    if slot is None:
        slot = sshsig.fill_slot(tuple(signer.sign(signed) for signer in signers))
    head = ((layout.SIGNED, signed), (layout.SLOT, slot), (layout.INDEX, index))
    tail = ((layout.OCI_LAYOUT, oci_layout), (layout.OCI_INDEX, OCI_INDEX))
    front = [member(*one) for one in (*head, *tail)]
    folders = [layout.folder_header(name) for name in ("blobs/", "blobs/sha256/")]
    behind = [member(layout.BLOBS + sha256(data), data) for data in blobs]
    return b"".join((*front, *folders, *behind)) + bytes(layout.TRAILER)


def draft(**changes: Any) -> Draft:
    """What `assemble` says, for the writer."""
    fields: dict[str, Any] = {
        "name": "site",
        "channel": "stable",
        "serial": 3,
        "created": NOW,
        "expires": None,
        "writer": "tests",
        "catalogue": catalogue(),
        "recipe": RECIPE,
        "lock": LOCK,
        "chunk": CHUNK,
    }
    return Draft(**fields | changes)


def sources(folder: Path, contents: Sequence[bytes] = CONTENTS, *, proven: bool = False) -> list[BlobSource]:
    """The blobs as files of a cache."""
    found = []
    for data in contents:
        path = folder / sha256(data)
        path.write_bytes(data)
        found.append(BlobSource(sha256(data), len(data), path, proven=proven))
    return found


def split(folder: Path, data: bytes, size: int = PART) -> list[Path]:
    """The parts of a crate."""
    paths = []
    for number, start in enumerate(range(0, len(data), size)):
        path = folder / f"site-3.crate.{number:03}"
        path.write_bytes(data[start : start + size])
        paths.append(path)
    return paths


def check(
    paths: Sequence[Path],
    *,
    trusted: AllowedSigners = TRUSTED,
    policy: Policy | None = None,
    floor: Floor | None = None,
    when: datetime = NOW,
) -> int:
    """Everything that is asked of a crate before it is used, in the order in which the appliance asks it.

    Returns how many blobs are sound; raises the first problem.
    """
    with Volumes.open(paths) as volumes:
        envelope = read_envelope(volumes)
        verdict = judge(envelope.signed, envelope.slot, trusted, lambda _: policy or Policy(), when)
        check_serial(verdict.release, sha256(envelope.signed), floor)
        crate = Crate(volumes, envelope.signed, verdict.release)
        for _ in crate.catalogue():
            pass
        blobs = 0
        for piece in crate.stream():
            if isinstance(piece, Damage):
                raise piece.problem
            blobs += type(piece).__name__ == "BlobDone"
        return blobs


def problem_of(paths: Sequence[Path]) -> Problem | None:
    try:
        check(paths)
    except Problem as problem:
        return problem
    return None

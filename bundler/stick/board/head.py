"""The head of a crate: crate.json, its signatures, and the boot files behind them (docs/format.md)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundler.stick.board.ground import FAILED, MIB, MISUSED, Stop

KEY_TYPES = ("ssh-ed25519", "sk-ssh-ed25519@openssh.com")
BLOCK = 512
SLOT = 16384  # bytes of the signature slot, always
BEGIN, END = "-----BEGIN SSH SIGNATURE-----\n", "-----END SSH SIGNATURE-----\n"


@dataclass(frozen=True)
class Signature:
    """A block of the slot, and the key that it says it is by."""

    armored: str
    type: str
    key: str
    fingerprint: str


@dataclass(frozen=True)
class Head:
    """What leads the crate in `volume`: the signed bytes as they are, and the signatures over them."""

    volume: Path
    signed: bytes
    signatures: list[Signature]

    @property
    def release(self) -> dict[str, Any]:
        """crate.json; to be read when it is trusted."""
        found: dict[str, Any] = json.loads(self.signed)
        return found


def find_crate(here: Path, named: str) -> Path:
    """The crate, or its first part, that `named` means or the folder holds."""
    if named:
        if not Path(named).is_file():
            raise Stop(MISUSED, f"{named} is not there", "name a .crate file, or its part .crate.000")
        return Path(named).absolute()
    found = sorted(path for path in here.iterdir() if re.fullmatch(r".+\.crate(\.000)?", path.name))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found)
        raise Stop(MISUSED, f"{here} holds several crates: {names}", "say which one: --crate FILE")
    parts = sorted(path.name for path in here.iterdir() if re.fullmatch(r".+\.crate\.\d{3}", path.name))
    if parts:
        first = f"{parts[0][:-4]}.000"
        raise Stop(FAILED, f"{first} is missing in {here}", "put in the stick that has it, or copy it here")
    raise Stop(FAILED, f"there is no crate in {here}", "copy its .crate files here, or say where: --crate FILE")


def read_head(volume: Path) -> Head:
    """crate.json and the signature slot. Nothing is believed of them yet but their sizes."""
    with volume.open("rb") as file:
        first = file.read(BLOCK)
        digits = first[124:135]
        if not first.startswith(b"crate.json\0") or digits.strip(b"01234567") or len(digits) != 11:
            raise Stop(FAILED, f"{volume} is not a crate", "copy it again, from where it was built")
        size = int(digits, 8)
        if size > MIB:
            raise Stop(FAILED, f"{volume} is not a crate: crate.json has {size} bytes", "copy it again")
        signed = _exactly(file.read(size), size, volume)
        file.seek(BLOCK + _padded(size) + BLOCK)
        slot = _exactly(file.read(SLOT), SLOT, volume)
    return Head(volume, signed, list(_signatures(slot.decode("ascii", "replace"))))


def extract(head: Head, wanted: list[dict[str, Any]], into: Path) -> None:
    """Writes these boot files, each once it is known to be what crate.json says."""
    places, volume = _places(len(head.signed), head.release), head.volume
    with volume.open("rb") as file:
        for one in wanted:
            if not re.fullmatch(r"[A-Za-z0-9._+-]+\.whl", one["file"]):
                raise Stop(FAILED, f"{one['file']!r} is not the name of a wheel", "build the crate again")
            file.seek(places[one["sha256"]])
            content = file.read(one["size"])
            where = f"{one['file']} in {volume.name}, {one['size']} bytes at {places[one['sha256']]}"
            if len(content) < one["size"]:
                raise Stop(FAILED, f"{volume.name} ends in the middle of {where}", "copy that file again")
            if hashlib.sha256(content).hexdigest() != one["sha256"]:
                raise Stop(FAILED, f"{where}, is not what was signed", "it was damaged or changed; copy it again")
            (into / one["file"]).write_bytes(content)


def _places(signed: int, release: dict[str, Any]) -> dict[str, int]:
    """Where the content of each leading blob begins, by sha256."""
    at = 0
    for size in (signed, SLOT, *(release[key]["size"] for key in ("index", "oci-layout", "index.json"))):
        at += BLOCK + _padded(size)
    at += 2 * BLOCK  # the folders blobs/ and blobs/sha256/
    places: dict[str, int] = {}
    for pin in (release["catalogue"], release["lock"], release["recipe"], *release["boot"]):
        if pin["sha256"] not in places:
            places[pin["sha256"]] = at + BLOCK
            at += BLOCK + _padded(pin["size"])
    return places


def _signatures(slot: str) -> Iterator[Signature]:
    """The blocks that are SSH signatures by a key of ours; anything else vouches for nothing."""
    for block in slot.split(BEGIN)[1:]:
        body, _, _ = block.partition(END)
        with suppress(binascii.Error, struct.error, UnicodeDecodeError):
            blob = base64.b64decode(body)
            if blob[:10] != b"SSHSIG\0\0\0\1":
                continue
            key = _string(blob, 10)
            kind = _string(key, 0).decode("ascii")
            if kind in KEY_TYPES:
                yield Signature(BEGIN + body + END, kind, base64.b64encode(key).decode(), fingerprint_of(key))


def _string(blob: bytes, at: int) -> bytes:
    (length,) = struct.unpack_from(">I", blob, at)
    return blob[at + 4 : at + 4 + length]


def fingerprint_of(key: bytes) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _exactly(data: bytes, size: int, volume: Path) -> bytes:
    if len(data) != size:
        raise Stop(FAILED, f"{volume.name} is cut short", "copy that file again")
    return data

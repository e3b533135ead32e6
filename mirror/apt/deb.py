"""What a .deb says of itself: the control file inside, as a stanza of a Packages index (deb(5))."""

from __future__ import annotations

import io
import lzma
import tarfile
import zlib
from pathlib import Path
from typing import BinaryIO

import zstandard

from mirror.apt import stanza
from mirror.apt.packages import Origin, Package
from mirror.errors import BadIndex

_MAGIC = b"!<arch>\n"
_CONTROL_LIMIT = 32 << 20
_FIELDS_LIMIT = 1 << 20
# A control file has none of these; an index adds them.
_ADDED = ("filename", "size", "sha256", "sha1", "md5sum")


def read_package(path: Path, sha256: str, size: int, origin: Origin) -> Package:
    """The package that `path` holds, whose digest and size are known. Raises `BadIndex` for what is no .deb."""
    where = str(path)
    try:
        with path.open("rb") as file:
            text = _control(file, where)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zstandard.ZstdError, tarfile.TarError) as error:
        raise BadIndex(f"{where} is not a .deb that can be read: {error}") from error
    fields = stanza.parse(text.strip("\n"), where)
    if any(name in fields for name in _ADDED):
        raise BadIndex(f"{where}: its control file has fields that belong to an index")
    return Package.parse(f"{text.strip()}\nFilename: {path.name}\nSize: {size}\nSHA256: {sha256}", origin)


def _control(file: BinaryIO, where: str) -> str:
    if file.read(len(_MAGIC)) != _MAGIC:
        raise BadIndex(f"{where} is not a .deb")
    while header := file.read(60):
        name, length = header[:16].decode("ascii").strip().rstrip("/"), int(header[48:58])
        if name.startswith("control.tar"):
            if length > _CONTROL_LIMIT:
                raise BadIndex(f"{where}: its control archive has {length:,} bytes")
            return stanza.decode(_member(file.read(length), name), where)
        file.seek(length + length % 2, io.SEEK_CUR)
    raise BadIndex(f"{where} has no control archive")


def _member(packed: bytes, name: str) -> bytes:
    if name.endswith(".zst"):
        packed = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive:
            if member.name.removeprefix("./") == "control" and member.isfile() and member.size <= _FIELDS_LIMIT:
                content = archive.extractfile(member)
                return content.read() if content else b""
    raise ValueError("no control file inside")

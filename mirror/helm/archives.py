"""A packed chart: read without unpacking, and written from a folder so that the same files are the same bytes."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from mirror.errors import BadIndex, BadSection
from mirror.helm.metadata import Metadata, parse

UNPACKED_LIMIT = 256 << 20
"""Bytes that a chart may unpack to; Helm's own limit is 100 MiB by default."""

_DOCUMENT_LIMIT = 5 << 20  # Helm's limit for a single file
_MEMBERS = 100_000


@dataclass(frozen=True, slots=True)
class Chart:
    """What a packed chart says of itself, and the names of the charts that lie inside it."""

    metadata: Metadata
    inside: frozenset[str]

    @property
    def missing(self) -> list[str]:
        """The dependencies that Helm would miss when it installs the chart."""
        return sorted({each.name for each in self.metadata.dependencies} - self.inside)


def read(path: Path, what: str) -> Chart:
    """Raises `BadIndex` for an archive that is none, or a bomb, or that reaches out of its folder."""
    try:
        with path.open("rb") as file:
            return _read(_Bounded(file), what)
    except (tarfile.TarError, zlib.error, EOFError, OSError, UnicodeDecodeError) as error:
        raise BadIndex(f"{what} is not a packed chart: {error}") from error


def _read(content: io.RawIOBase, what: str) -> Chart:
    documents: dict[str, bytes] = {}
    inside: set[str] = set()
    with tarfile.open(fileobj=content, mode="r|") as archive:
        for number, member in enumerate(archive):
            parts = PurePosixPath(member.name).parts
            if number > _MEMBERS or ".." in parts or member.name.startswith("/") or "\\" in member.name:
                raise BadIndex(f"{what} holds {member.name[:200]!r}, which no chart does")
            if not member.isfile():
                if not member.isdir():
                    raise BadIndex(f"{what} holds {member.name[:200]!r}, which is neither a file nor a folder")
                continue
            below = "/".join(parts[1:])
            nested = parts[1] == "charts" if len(parts) > 2 else False
            if below in {"Chart.yaml", "requirements.yaml"} or (nested and below.endswith("/Chart.yaml")):
                documents.setdefault(below, _member(archive, member, what))
            elif nested and len(parts) == 3 and below.endswith(".tgz"):
                inside.add(_packed_name(parts[2]))
    if "Chart.yaml" not in documents:
        raise BadIndex(f"{what} holds no Chart.yaml")
    for below, document in documents.items():
        if below.count("/") == 2:
            inside.add(parse(document, f"{below} of {what}").name)
    metadata = parse(documents["Chart.yaml"], f"Chart.yaml of {what}", documents.get("requirements.yaml"))
    return Chart(metadata, frozenset(inside))


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo, what: str) -> bytes:
    if member.size > _DOCUMENT_LIMIT:
        raise BadIndex(f"{member.name} of {what} is larger than {_DOCUMENT_LIMIT >> 20} MiB")
    content = archive.extractfile(member)
    return content.read() if content is not None else b""


def _packed_name(file: str) -> str:
    """`NAME-VERSION.tgz`, where both may hold hyphens: the version begins with the first number after one."""
    words = file.removesuffix(".tgz").split("-")
    version = next((place for place, word in enumerate(words) if place and word.lstrip("v")[:1].isdigit()), len(words))
    return "-".join(words[:version])


class _Bounded(io.RawIOBase):
    """The unpacked bytes of a gzip file, up to `UNPACKED_LIMIT`."""

    def __init__(self, packed: io.BufferedReader) -> None:
        self._packed = gzip.GzipFile(fileobj=packed)
        self._left = UNPACKED_LIMIT

    def read(self, size: int = -1) -> bytes:
        block = self._packed.read(size)
        self._left -= len(block)
        if self._left < 0:
            raise BadIndex(f"a chart unpacks to more than {UNPACKED_LIMIT >> 20} MiB")
        return block


def pack(folder: Path, into: Path, vendored: Mapping[str, Path]) -> Metadata:
    """Writes the chart in `folder` to `into` as `helm package` would, with `vendored` charts below `charts/`.

    Members are sorted and bear no dates or owners, and nothing is compressed: another zlib compresses otherwise, and
    the same folder must be the same digest on every machine. Raises `BadSection`, `BadIndex`.
    """
    metadata = folder_metadata(folder)
    members: dict[str, Path] = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    members |= {f"charts/{name}": path for name, path in vendored.items()}
    if sum(path.stat().st_size for path in members.values()) > UNPACKED_LIMIT:
        raise BadSection(f"the chart in {folder} holds more than {UNPACKED_LIMIT >> 20} MiB")
    unpacked = io.BytesIO()
    with tarfile.open(fileobj=unpacked, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for below, path in sorted(members.items(), key=lambda member: (member[0] != "Chart.yaml", member[0])):
            entry = tarfile.TarInfo(f"{metadata.name}/{below}")
            entry.size, entry.mode = path.stat().st_size, 0o644
            with path.open("rb") as content:
                archive.addfile(entry, content)
    into.write_bytes(_stored(unpacked.getbuffer()))
    return metadata


def _stored(data: memoryview) -> bytes:
    """`data` as a gzip file (RFC 1952) of stored blocks (RFC 1951, section 3.2.4): no choice is left to a library."""
    blocks = [data[start : start + 0xFFFF] for start in range(0, len(data), 0xFFFF)]
    parts: list[bytes | memoryview] = [b"\x1f\x8b\x08" + bytes(6) + b"\xff"]
    for number, block in enumerate(blocks, start=1):
        parts += [struct.pack("<BHH", number == len(blocks), len(block), len(block) ^ 0xFFFF), block]
    return b"".join([*parts, struct.pack("<II", zlib.crc32(data), len(data))])


def folder_metadata(folder: Path) -> Metadata:
    chart, requirements = folder / "Chart.yaml", folder / "requirements.yaml"
    if not chart.is_file():
        raise BadSection(f"{folder} is no chart: it has no Chart.yaml")
    return parse(chart.read_bytes(), str(chart), requirements.read_bytes() if requirements.is_file() else None)


def _files(folder: Path) -> Iterator[Path]:
    """Every file but what .helmignore leaves out. Links are followed only to files inside the folder."""
    rules = [*_rules(folder / ".helmignore"), "templates/.?*"]
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        if path.is_file() and not _ignored(below, rules):
            if not path.resolve().is_relative_to(folder.resolve()):
                raise BadSection(f"{path} leads out of the chart's folder", hint="replace the link by the file")
            yield path


def _rules(path: Path) -> list[str]:
    lines = path.read_text().splitlines() if path.is_file() else []
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def _ignored(below: PurePosixPath | Path, rules: list[str]) -> bool:
    """Helm's rules: the last that matches the file or a folder above it decides; `!` turns one round."""
    ignored = False
    for rule in rules:
        pattern = rule.removeprefix("!")
        for place in [below, *list(below.parents)[:-1]]:
            if pattern.endswith("/") and place == below:
                continue
            subject = place.as_posix() if "/" in pattern.strip("/") or pattern.startswith("/") else place.name
            if fnmatchcase(subject, pattern.strip("/")):
                ignored = not rule.startswith("!")
    return ignored

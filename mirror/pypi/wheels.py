"""What a distribution says about itself: its file name, the METADATA inside a wheel, the build needs of an sdist."""

from __future__ import annotations

import hashlib
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from typing import BinaryIO

from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.tags import Tag
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from archive.errors import InvalidValue
from archive.names import check_file_name
from mirror.errors import BadIndex

METADATA_LIMIT = 8 << 20
"""Bytes of METADATA, PKG-INFO or pyproject.toml: the longest in the wild are READMEs of a few hundred kB."""

# What a build front end takes when an sdist says nothing (PEP 518).
_DEFAULT_BUILD_REQUIRES: tuple[str, ...] = ("setuptools>=40.8.0", "wheel")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A file name taken apart; an sdist has no tags."""

    name: NormalizedName
    version: Version
    tags: frozenset[Tag] = frozenset()

    @property
    def sdist(self) -> bool:
        return not self.tags

    @property
    def any_platform(self) -> bool:
        return all(tag.platform == "any" for tag in self.tags)


@dataclass(frozen=True, slots=True)
class Metadata:
    """The core metadata of a distribution; `sha256` is of the document itself, and empty for an sdist."""

    requires: tuple[Requirement, ...] = ()
    requires_python: str = ""
    sha256: str = ""


def parse_file_name(name: str) -> Parsed:
    """Raises `BadIndex` for a name that the wheel and sdist specifications, or a crate, would not have."""
    try:
        check_file_name(name)
        if "/" in name:
            raise BadIndex(f"the file name {name[:200]!r} holds a path")
        if name.endswith(".whl"):
            project, version, _, tags = parse_wheel_filename(name)
            return Parsed(project, version, tags)
        project, version = parse_sdist_filename(name)
        return Parsed(project, version)
    except InvalidValue as error:
        raise BadIndex(error.what) from error
    except (InvalidWheelFilename, InvalidSdistFilename, InvalidVersion) as error:
        raise BadIndex(f"{name[:200]!r} is the name of neither a wheel nor an sdist: {error}") from error


def metadata_document(wheel: BinaryIO, name: str) -> bytes:
    """METADATA as it stands in the wheel: what PEP 658 serves beside it. `wheel` must be seekable.

    Raises `BadIndex` for a file that is no wheel, holds no METADATA or two, or one beyond `METADATA_LIMIT`.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            places = [
                path for path in archive.namelist() if path.endswith(".dist-info/METADATA") and path.count("/") == 1
            ]
            if len(places) != 1:
                raise BadIndex(f"{name} holds {len(places)} METADATA files where a wheel has one")
            with archive.open(places[0]) as member:
                document = member.read(METADATA_LIMIT + 1)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError) as error:
        raise BadIndex(f"{name} is not a wheel: {error}") from error
    if len(document) > METADATA_LIMIT:
        raise BadIndex(f"the METADATA of {name} is larger than {METADATA_LIMIT >> 20} MiB")
    return document


def read_wheel(wheel: BinaryIO, name: str) -> Metadata:
    """Raises `BadIndex`, also for a wheel whose METADATA is of another project than its file name."""
    document = metadata_document(wheel, name)
    return _core_metadata(document, name, hashlib.sha256(document).hexdigest())


def read_sdist(sdist: BinaryIO, name: str) -> tuple[Metadata, tuple[str, ...]]:
    """PKG-INFO, as far as the sdist has one, and what its build needs (PEP 518). Raises `BadIndex`."""
    metadata, build = Metadata(), _DEFAULT_BUILD_REQUIRES
    for path, document in _top_files(sdist, name, {"PKG-INFO", "pyproject.toml"}):
        if path == "PKG-INFO":
            metadata = _core_metadata(document, name, "")
            continue
        try:
            declared = tomllib.loads(document.decode()).get("build-system", {}).get("requires", build)
            build = tuple(str(Requirement(text)) for text in declared)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise BadIndex(f"the pyproject.toml of {name} cannot be read: {error}") from error
    return metadata, build


def _top_files(sdist: BinaryIO, name: str, wanted: set[str]) -> list[tuple[str, bytes]]:
    found = []
    try:
        if name.endswith(".zip"):
            with zipfile.ZipFile(sdist) as archive:
                for path in archive.namelist():
                    if path.count("/") == 1 and path.partition("/")[2] in wanted:
                        with archive.open(path) as member:
                            found.append((path.partition("/")[2], member.read(METADATA_LIMIT)))
        else:
            with tarfile.open(fileobj=sdist, mode="r:gz") as tar:
                for entry in tar:
                    if entry.isfile() and entry.name.count("/") == 1 and entry.name.partition("/")[2] in wanted:
                        content = tar.extractfile(entry)
                        if content is not None:
                            found.append((entry.name.partition("/")[2], content.read(METADATA_LIMIT)))
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise BadIndex(f"{name} is not a source distribution: {error}") from error
    return found


def _core_metadata(document: bytes, name: str, sha256: str) -> Metadata:
    raw, _ = parse_email(document)
    expected = parse_file_name(name)
    if canonicalize_name(raw.get("name", "")) != expected.name:
        raise BadIndex(f"{name} says that it is {raw.get('name', '')[:100]!r}")
    try:
        requires = tuple(Requirement(text) for text in raw.get("requires_dist", ()))
    except InvalidRequirement as error:
        raise BadIndex(f"the metadata of {name} cannot be read: {str(error).splitlines()[0]}") from error
    return Metadata(requires, raw.get("requires_python", ""), sha256)

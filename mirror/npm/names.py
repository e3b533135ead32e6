"""Package names and versions as the npm registry has them, which end in paths and addresses."""

from __future__ import annotations

import re

from semver import Version

from archive.errors import InvalidValue
from archive.names import check_file_name
from mirror.errors import BadIndex

_WORD = r"[A-Za-z0-9~_][A-Za-z0-9._~-]*"
_NAME = re.compile(rf"(?:@(?:{_WORD})/)?(?:{_WORD})")
_LONGEST = 214  # characters, which the registry enforces since 2014


def check_name(name: str) -> str:
    """Raises `BadIndex` for a name that the registry would not have, old upper-case ones aside."""
    if len(name) > _LONGEST or not _NAME.fullmatch(name) or name.endswith("."):
        raise BadIndex(f"{name[:220]!r} is not the name of an npm package")
    return name


def check_version(version: str, name: str) -> str:
    if len(version) > 256 or not Version.is_valid(version):
        raise BadIndex(f"{version[:100]!r}, of the npm package {name}, is not a version")
    return version


def tarball_path(name: str, version: str) -> str:
    """Where a registry keeps it, and so where `npm ci` asks for it: `@scope/name/-/name-1.0.0.tgz`."""
    path = f"{check_name(name)}/-/{name.rpartition('/')[2]}-{check_version(version, name)}.tgz"
    try:
        return check_file_name(path)
    except InvalidValue as error:
        raise BadIndex(error.what, hint=error.hint) from error

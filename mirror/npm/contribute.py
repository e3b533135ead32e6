"""What a packed Node.js package says of itself, as the item that publishes it."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path
from typing import Any

from archive import documents
from archive.catalogue import File, Item
from archive.errors import InvalidValue
from mirror.errors import BadIndex
from mirror.npm.integrity import sums
from mirror.npm.names import check_name, check_version, tarball_path

_LIMIT = 5 << 20  # bytes of a package.json


def contribute(path: Path, file: str, sha256: str, size: int) -> tuple[Item, ...]:
    """`file` is what `npm pack` makes, and lies at `path`. Raises `BadIndex` for what is no package."""
    manifest = _manifest(path, file)
    name, version = check_name(str(manifest.get("name", ""))), str(manifest.get("version", ""))
    check_version(version, name)
    if isinstance(manifest.get("bin"), str):  # the short form, which clients know in package.json alone
        manifest["bin"] = {name.rpartition("/")[2]: manifest["bin"]}
    told = sums(path)
    item = Item(
        kind="npm",
        name=name,
        version=version,
        files=(File(sha256, size, path=tarball_path(name, version)),),
        publish={"packument": manifest, "integrity": told.integrity, "shasum": told.shasum, "tags": ["latest"]},
    )
    return (item,)


def _manifest(path: Path, file: str) -> dict[str, Any]:
    try:
        with tarfile.open(path, mode="r|gz") as archive:
            for member in archive:
                if member.isfile() and member.name.partition("/")[2] == "package.json" and member.size <= _LIMIT:
                    content = archive.extractfile(member)
                    document = documents.parse(content.read() if content else b"", "package.json")
                    if isinstance(document, dict):
                        return document
                    break
    except (tarfile.TarError, zlib.error, EOFError, OSError, InvalidValue) as error:
        raise BadIndex(f"{file} is not a package of npm's: {error}") from error
    raise BadIndex(f"{file} is not a package of npm's: it holds no package.json")

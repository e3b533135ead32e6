"""The processes that `bench.apt` measures.

python -m bench.aptwork resolve FOLDER   resolves the storage packages; indexes stay in FOLDER
python -m bench.aptwork publish CATALOGUE TREE   writes everything a crate generates for CATALOGUE below TREE
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from archive import catalogue
from archive.platforms import Platform
from archive.progress import SILENT
from mirror.apt.publish import publish
from mirror.ecosystem import RepositorySigner, ResolveContext
from mirror.openpgp import RepositoryKey
from mirror.transport import Transport

PACKAGES = ("nfs-common", "open-iscsi", "chrony", "wireguard-tools")


class Crate:
    """A fake of the crate's side of publishing: apt reads no blob."""

    newest = datetime(2026, 1, 1, tzinfo=UTC)

    def __init__(self) -> None:
        self.signer: RepositorySigner = RepositoryKey.generate("bench").signer()

    def open(self, sha256: str) -> BinaryIO:
        raise FileNotFoundError(sha256)


@asynccontextmanager
async def transport(folder: Path) -> AsyncIterator[Transport]:
    """The bundler's own, with its cache in `folder`."""
    # Only here, so that publishing is measured with what a crate loads.
    from bundler.cache import Cache  # noqa: PLC0415
    from bundler.credentials import Credentials  # noqa: PLC0415
    from bundler.http import Http  # noqa: PLC0415
    from bundler.registry import RegistryClient  # noqa: PLC0415
    from bundler.transport import CachedTransport  # noqa: PLC0415
    from bundler.upstreams import Upstreams  # noqa: PLC0415

    async with Http(Upstreams.load(None, folder), progress=SILENT) as http:
        yield CachedTransport(RegistryClient(http, Credentials.load()), Cache(folder / "cache"))


async def _resolve(folder: Path) -> None:
    from mirror.apt import replay  # noqa: PLC0415
    from mirror.apt.resolve import resolve  # noqa: PLC0415
    from mirror.apt.section import AptSection  # noqa: PLC0415

    replay.available = lambda: False  # asking apt is not what is compared with asking apt
    async with transport(folder) as there:
        context = ResolveContext(there, (Platform("linux", "amd64"),), folder, SILENT)
        await resolve(AptSection(name="debian", packages=PACKAGES), context)


def _publish(file: Path, tree: Path) -> None:
    with file.open("rb") as lines:
        for each in publish(catalogue.read(lines), Crate()):
            if each.body:
                path = tree / each.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(each.body)


def main(words: Sequence[str]) -> None:
    if words[0] == "resolve":
        asyncio.run(_resolve(Path(words[1])))
    else:
        _publish(Path(words[1]), Path(words[2]))


if __name__ == "__main__":
    main(sys.argv[1:])

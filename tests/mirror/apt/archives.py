"""Upstream archives that tests make up: signed suites over tiny worlds, and .debs that dpkg builds."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import unquote

import zstandard

from mirror.apt.resolve import resolve
from mirror.apt.section import AptSection
from mirror.ecosystem import Resolution
from mirror.openpgp import RepositoryKey
from tests.mirror.apt.worlds import stanza
from tests.mirror.loopback import NOT_FOUND, Answer, serving
from tests.mirror.transport import context
from tests.support.tools import tool

PACK: Mapping[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}
KEY = RepositoryKey.generate("The upstream of tests")


@dataclass
class Upstream:
    """A server over `files` (path to body), which a test may change at any time. `asked` are the paths in order."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    before: Callable[[str], None] = lambda _: None
    url: str = ""

    def answer(self, target: str, _: Mapping[str, str]) -> Answer:
        path = unquote(target).lstrip("/")
        self.before(path)
        self.asked.append(path)
        return Answer(self.files[path]) if path in self.files else NOT_FOUND


@contextmanager
def upstream(files: Mapping[str, bytes]) -> Iterator[Upstream]:
    there = Upstream(dict(files))
    with serving(there.answer) as url:
        there.url = url
        yield there


def suite(
    lines: str,
    *,
    name: str = "stable",
    architectures: tuple[str, ...] = ("amd64",),
    packings: tuple[str, ...] = ("", ".gz", ".xz"),
    by_hash: bool = True,
    fields: str = "",
    key: RepositoryKey = KEY,
    packages: bytes | None = None,
) -> dict[str, bytes]:
    """The files of a suite whose main holds `lines`, as `worlds.stanza` reads them, or `packages` as it stands."""
    files: dict[str, bytes] = {}
    root = f"dists/{name}"
    pins = []
    for architecture in architectures:
        mine = [stanza(line) for line in lines.splitlines() if line.strip()]
        text = "\n".join(one.replace("Architecture: amd64", f"Architecture: {architecture}") + "\n" for one in mine)
        plain = text.encode() if packages is None else packages
        for end in packings:
            body, path = PACK[end](plain), f"main/binary-{architecture}/Packages{end}"
            digest = hashlib.sha256(body).hexdigest()
            pins.append(f" {digest} {len(body)} {path}")
            if by_hash:
                files[f"{root}/main/binary-{architecture}/by-hash/SHA256/{digest}"] = body
            else:
                files[f"{root}/{path}"] = body
    release = "\n".join(
        [
            "Origin: Tests",
            f"Suite: {name}",
            f"Codename: {name}",
            f"Date: {format_datetime(datetime.now(UTC) - timedelta(hours=1))}",
            *([fields] if fields else []),
            f"Acquire-By-Hash: {'yes' if by_hash else 'no'}",
            f"Architectures: {' '.join(architectures)}",
            "Components: main",
            "SHA256:",
            *pins,
        ]
    )
    files[f"{root}/InRelease"] = key.signer().clearsign(release.encode() + b"\n")
    return files


def build_deb(folder: Path, control: str, *, packing: str = "xz") -> Path:
    """A real .deb, built by dpkg-deb. `control` is what `worlds.stanza` takes, without a file's fields."""
    fields = [line for line in stanza(control).splitlines() if line.split(":")[0] not in {"Filename", "Size", "SHA256"}]
    name, version, architecture = (
        next(line.partition(": ")[2] for line in fields if line.startswith(f"{field}: "))
        for field in ("Package", "Version", "Architecture")
    )
    tree = folder / f"{name}-tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text("\n".join(fields) + "\n")
    (tree / "usr/share/buzzcrate-tests").mkdir(parents=True)
    (tree / f"usr/share/buzzcrate-tests/{name}").write_text(version)
    path = folder / f"{name}_{version.replace(':', '%3a')}_{architecture}.deb"
    subprocess.run(
        [tool("dpkg-deb"), "--root-owner-group", f"-Z{packing}", "--build", tree, path], check=True, capture_output=True
    )
    return path


async def resolved(folder: Path, section: Mapping[str, object]) -> Resolution:
    """The section's resolution for amd64, believed by `KEY` unless the section says otherwise."""
    (folder / "key.asc").write_bytes(KEY.public_key())
    whole = {"name": "tests", "keyrings": ["key.asc"], "architectures": ["amd64"], **section}
    async with context(folder / "blobs", folder) as there:
        return await resolve(AptSection.model_validate(whole), there)

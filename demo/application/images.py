"""The two images: layers whose bytes follow from the packages, `app.py` and `postgres.sh` alone.

What both need is one layer, which a node then pulls and keeps once.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archive.platforms import Platform
from demo.application.roots import Debian, Entry, Root, files_of, skeleton
from tests.mirror.transport import context
from tests.support.images import Descriptor, Layer, Layout

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "application"
WEB = "ghcr.io/buzzcrate/demo-web:1.0"
POSTGRES = "ghcr.io/buzzcrate/demo-postgres:1.0"
FOLDERS = {WEB: "web", POSTGRES: "postgres"}
USERS = {"demo": 10001, "postgres": 999}

_PACKAGES = {
    WEB: ("python3-flask", "python3-psycopg2", "python3-waitress"),
    # initdb wants a shell; busybox is a small one, and the only other program that the start needs.
    POSTGRES: ("postgresql", "postgresql-client", "busybox-static"),
}
# What only installs, configures or compiles: Perl and what is written in it, LLVM for queries of minutes, debconf.
_WITHOUT = (
    "perl*",
    "libperl*",
    "libllvm*",
    "postgresql-common*",
    "postgresql-client-common",
    "ssl-cert",
    "debconf*",
    "adduser",
    "locales*",
    "netbase",
    "sensible-utils",
    "lsb-base",
    "sysvinit-utils",
    "init-system-helpers",
    "libjs-*",
    "dpkg",
    "ca-certificates",
    "openssl",
    "libsystemd-shared",
    "python3-distutils",
    "python3-lib2to3",
    "libldap-common",
    "krb5-locales",
)
_APPLETS = ("sh", "cat", "mv", "rm")


@dataclass(frozen=True)
class Made:
    """An image: its reference, the layout that holds it, and what its layers weigh for one platform, in bytes."""

    reference: str
    folder: Path
    size: int


async def build(folder: Path, architectures: Sequence[str] = ("amd64", "arm64")) -> list[Made]:
    """Both layouts, below `folder`. What was fetched and unpacked is kept in `.cache/` of the checkout."""
    platforms = [Platform("linux", architecture) for architecture in architectures]
    blobs = CACHE / "debs"
    await asyncio.to_thread(blobs.mkdir, parents=True, exist_ok=True)
    async with context(blobs, HERE, *platforms) as way:
        debian = await Debian.open(way, architectures)
        roots = {name: await _roots(debian, name) for name in architectures}
    for reference, name in FOLDERS.items():
        layout = Layout(folder / name)
        manifests: list[Descriptor] = []
        for architecture in architectures:
            layers = [await asyncio.to_thread(_layer, root) for root in roots[architecture][reference]]
            manifests.append(layout.image(f"linux/{architecture}", layers, config=_CONFIGS[reference]))
        layout.tag(layout.index(manifests), reference)
    return [_made(reference, folder / name) for reference, name in FOLDERS.items()]


async def cached(architectures: Sequence[str] = ("amd64", "arm64")) -> list[Made]:
    """As `build`, into `.cache/` of the checkout, and only when what makes them has changed since."""
    parts = [path.read_bytes() for path in sorted(HERE.iterdir()) if path.suffix in {".py", ".sh"}]
    key = hashlib.sha256(b"".join([*parts, " ".join(architectures).encode()])).hexdigest()[:16]
    folder = CACHE / f"images-{key}"
    if not folder.exists():
        beside = folder.with_name(f"{folder.name}.{os.getpid()}")
        await build(beside, architectures)
        with suppress(OSError):  # another process was faster
            beside.rename(folder)
    return [_made(reference, folder / name) for reference, name in FOLDERS.items()]


def _made(reference: str, folder: Path) -> Made:
    layout = Layout(folder)
    [root] = layout.roots()
    manifest = json.loads(layout.path(root["digest"]).read_bytes())["manifests"][0]
    layers = json.loads(layout.path(manifest["digest"]).read_bytes())["layers"]
    return Made(reference, folder, sum(layer["size"] for layer in layers))


async def _roots(debian: Debian, architecture: str) -> dict[str, list[Root]]:
    """For each image the roots that its layers are made of: what both share, its packages, its own files."""
    closures = {image: debian.closure(architecture, wanted, _WITHOUT) for image, wanted in _PACKAGES.items()}
    shared = set.intersection(*({package.sha256 for package in found.values()} for found in closures.values()))
    found: dict[str, list[Root]] = {}
    for image, packages in closures.items():
        both = [package for package in packages.values() if package.sha256 in shared]
        own = [package for package in packages.values() if package.sha256 not in shared]
        into = CACHE / "unpacked"
        base = {**skeleton(USERS), **files_of(await debian.unpack(sorted(both, key=_name), into))}
        rest = files_of(await debian.unpack(sorted(own, key=_name), into))
        found[image] = [base, rest, _own(image, rest)]
    return found


def _own(image: str, packages: Root) -> Root:
    if image == WEB:
        return {"srv/app.py": Entry(0o644, (HERE / "app.py").read_bytes())}
    programs = [name for name in packages if name.startswith("usr/lib/postgresql/") and "/bin/" in name]
    return {
        "postgres.sh": Entry(0o755, (HERE / "postgres.sh").read_bytes()),
        **{f"usr/bin/{name}": Entry(0o777, target="busybox") for name in _APPLETS},
        **{f"usr/bin/{Path(name).name}": Entry(0o777, target=f"/{name}") for name in programs},
        # Open, because a volume mounted there may take its mode from it; the data inside is Postgres' own.
        "var/lib/postgresql": Entry(0o1777, owner=USERS["postgres"]),
    }


def _name(package: Any) -> str:
    return str(package.name)


def _layer(root: Root) -> Layer:
    """A layer of `root`: sorted, without dates, every folder before what lies in it."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, entry in sorted({**_folders(root), **root}.items()):
            member = tarfile.TarInfo(name)
            member.mode, member.uid, member.gid = entry.mode, entry.owner, entry.owner
            if entry.target:
                member.type, member.linkname = tarfile.SYMTYPE, entry.target
                tar.addfile(member)
            elif entry.content is None:
                member.type = tarfile.DIRTYPE
                tar.addfile(member)
            else:
                content = entry.content if isinstance(entry.content, bytes) else entry.content.read_bytes()
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    content = raw.getvalue()
    return Layer(gzip.compress(content, 6, mtime=0), f"sha256:{hashlib.sha256(content).hexdigest()}")


def _folders(root: Iterable[str]) -> Root:
    parents = {str(parent) for name in root for parent in Path(name).parents} - {"."}
    return {name: Entry(0o755) for name in parents}


_CONFIGS: Mapping[str, Mapping[str, Any]] = {
    WEB: {
        "User": f"{USERS['demo']}:{USERS['demo']}",
        "Entrypoint": ["/usr/bin/python3", "/srv/app.py"],
        "Env": ["PATH=/usr/bin", "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1"],
        "ExposedPorts": {"8000/tcp": {}},
        "WorkingDir": "/srv",
    },
    POSTGRES: {
        "User": f"{USERS['postgres']}:{USERS['postgres']}",
        "Entrypoint": ["/postgres.sh"],
        "Env": ["PATH=/usr/bin", "PGDATA=/var/lib/postgresql/data", "PASSWORD_FILE=/etc/demo/password"],
        "ExposedPorts": {"5432/tcp": {}},
        "StopSignal": "SIGINT",
    },
}

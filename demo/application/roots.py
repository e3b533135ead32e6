"""Root file systems out of Debian packages, without Docker and without root: what a program needs, and nothing else.

Packages come from this machine's own apt sources, believed and pinned as the bundler does it. Nothing of them is run:
what they would set up when installed is not what these programs need.
"""

from __future__ import annotations

import asyncio
import subprocess
import tarfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile

from mirror.apt.packages import Package
from mirror.apt.reading import Read, read_all
from mirror.apt.section import AptSection
from mirror.apt.sources import apt_settings, machine_sources
from mirror.apt.universe import Universe
from mirror.ecosystem import ResolveContext
from mirror.together import together
from tests.support.tools import tool

# Documentation, translations, what only building or installing needs, Python's own tests.
_LEFT_OUT = (
    "usr/share/doc/",
    "usr/share/man/",
    "usr/share/info/",
    "usr/share/lintian/",
    "usr/share/locale/",
    "usr/share/bug/",
    "usr/share/postgresql-common/",
    "usr/include/",
    "etc/init.d/",
    "etc/cron",
    "etc/logrotate.d/",
)
_ANYWHERE = ("/bitcode/", "/__pycache__/", "/test/", "/tests/", "llvmjit", "/pgxs/", "/locale/")
_MERGED = ("bin", "sbin", "lib", "lib64")  # in /usr, with a link where they were


@dataclass(frozen=True)
class Entry:
    """One path of a root: a file's `content`, a link's `target`, or a folder. Owners are numbers."""

    mode: int
    content: Path | bytes | None = None
    target: str = ""
    owner: int = 0


Root = dict[str, Entry]


@dataclass(frozen=True)
class Debian:
    """The Debian that this machine's apt knows, for one architecture at a time."""

    read: Read
    context: ResolveContext

    @classmethod
    async def open(cls, context: ResolveContext, architectures: Sequence[str]) -> Debian:
        codename = _codename()
        suites = tuple(
            dict.fromkeys(
                source.suite for source in machine_sources(apt_settings()) if source.suite.startswith(codename)
            )
        )
        section = AptSection(name="demo", suites=suites, components=("main",), packages=("libc6",))
        return cls(await read_all(section, context, architectures), context)

    def closure(self, architecture: str, wanted: Iterable[str], without: Collection[str]) -> dict[str, Package]:
        """`wanted` and all that they depend on, but what is called in `without` and what only that would need.

        A name that ends in `*` leaves out all that begin so. What Debian marks Essential is not added.
        """
        universe = Universe(architecture, self.read.indexes(architecture))
        chosen: dict[str, Package] = {}
        waiting = [package for name in wanted if (package := universe.candidate(name))]
        while waiting:
            package = waiting.pop(0)
            if package.name in chosen:
                continue
            chosen[package.name] = package
            for group in package.depends:
                options = universe.options(group)
                if not any(option.name in chosen or _is_among(option.name, without) for option in options):
                    waiting += options[:1]
        return chosen

    async def unpack(self, packages: Iterable[Package], into: Path) -> list[Path]:
        """A folder for each of `packages`, below `into`, with its files; made once."""
        suites = {suite.url: suite.source.url for suite in self.read.suites}

        async def one(package: Package) -> Path:
            folder = into / f"{package.name}-{package.architecture}-{package.sha256[:16]}"
            if not folder.exists():
                url = f"{suites[package.origin.evidence]}/{package.filename}"
                fetched = await self.context.transport.fetch(url, sha256=package.sha256, size=package.size)
                await asyncio.to_thread(_unpack, fetched.path, folder)
            return folder

        return await together([one(package) for package in packages], limit=8)


def files_of(folders: Iterable[Path]) -> Root:
    """What the unpacked packages hold, moved into /usr where Debian has merged it, without what nobody will read."""
    found: Root = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            name = _merged(path.relative_to(folder).as_posix())
            if name.startswith(_LEFT_OUT) or any(part in f"/{name}/" for part in _ANYWHERE):
                continue
            if path.is_symlink():
                found[name] = Entry(0o777, target=str(path.readlink()))
            elif path.is_file():
                found[name] = Entry(0o755 if path.stat().st_mode & 0o100 else 0o644, path)
    return found


def skeleton(users: Mapping[str, int]) -> Root:
    """What every root has beside its packages: links to /usr, folders to write in, and who there is."""
    passwd = "".join(f"{name}:x:{number}:{number}::/:/bin/sh\n" for name, number in {"root": 0, **users}.items())
    group = "".join(f"{name}:x:{number}:\n" for name, number in {"root": 0, **users}.items())
    return {
        **{name: Entry(0o777, target=f"usr/{name}") for name in _MERGED},
        "tmp": Entry(0o1777),
        "etc/passwd": Entry(0o644, passwd.encode()),
        "etc/group": Entry(0o644, group.encode()),
        "etc/nsswitch.conf": Entry(0o644, b"passwd: files\ngroup: files\nhosts: files dns\n"),
    }


def _unpack(archive: Path, folder: Path) -> None:
    beside = folder.with_name(f"{folder.name}.part")
    with TemporaryFile() as payload:
        subprocess.run([tool("dpkg-deb"), "--fsys-tarfile", archive], check=True, stdout=payload)
        payload.seek(0)
        with tarfile.open(fileobj=payload) as tar:
            tar.extractall(beside, filter=_plain)  # noqa: S202 - filtered, and signed by Debian
    beside.replace(folder)


def _plain(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """Files, links and folders, as whoever unpacks may write them. Links may lead out: nothing follows them here."""
    if member.issym():
        return member
    found = tarfile.data_filter(member, folder)
    return found.replace(mode=(member.mode | 0o600) & 0o755) if found.isfile() else found


def _merged(name: str) -> str:
    return f"usr/{name}" if PurePosixPath(name).parts[0] in _MERGED else name


def _is_among(name: str, names: Collection[str]) -> bool:
    return any(name.startswith(word[:-1]) if word.endswith("*") else name == word for word in names)


def _codename() -> str:
    lines = Path("/etc/os-release").read_text().splitlines()
    told = dict(line.partition("=")[::2] for line in lines if "=" in line)
    return told.get("VERSION_CODENAME", "").strip('"')

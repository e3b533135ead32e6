"""Packages on the crate: installing and publishing many; clients that take them, beside nginx with the same files."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from archive.catalogue import Item
from archive.platforms import Platform
from archive.progress import SILENT
from bench import apt, workload
from bench.measure import Row, less_is_better, medians, run
from bench.serving import serving_crate
from bench.workload import CRATE_APPLIANCE, Scale
from bundler.connection import connect
from bundler.recipe import Recipe
from mirror.apt import replay
from mirror.apt.closure import Closure
from mirror.apt.packages import PackagesIndex
from mirror.apt.solution import Solution
from mirror.apt.universe import Universe
from mirror.ecosystem import ORIGIN
from mirror.pypi.resolve import resolve
from tests.support.crates import CrateMaker, Key, make_key
from tests.support.ports import LOOPBACK, free_port, listening
from tests.support.processes import running
from tests.support.tools import tool

PYTHON = ("aiohttp", "pyinfra")
_HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
_PIP = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-cache-dir", "--quiet"]
_OWN = ("pip_", "ssl_", "requests_ca_", "curl_ca_")  # this machine's settings, which would lead pip elsewhere
_AS_FAST = 0.95  # of nginx's time: no difference that a bench on a shared machine could see


def rows(folder: Path, scale: Scale) -> Iterator[Row]:
    index = asyncio.run(apt.main_index(folder))
    key = make_key(folder / "keys")
    yield from _many(folder / "many", scale, index, key)
    yield from _debian(folder / "debian", scale, index, key)
    yield from _python(folder / "python", scale, key)


@dataclass(frozen=True)
class Site:
    """A crate of packages; `root` is the store it goes into, again and again."""

    folder: Path
    crate: Path
    key: Key

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @classmethod
    def make(cls, folder: Path, maker: CrateMaker, key: Key) -> Site:
        maker.chunk = 4 << 20
        return cls(folder, maker.write(folder / "bench.crate", [key])[0], key)

    def install(self) -> list[float]:
        """Into a new store; seconds and MiB."""
        workload.remove(self.root)
        workload.trusting_root(self.root, self.key.private)
        cost = run([CRATE_APPLIANCE, "--root", self.root, "install", self.crate])
        return [cost.wall, cost.memory]


def _many(folder: Path, scale: Scale, index: PackagesIndex, key: Key) -> Iterator[Row]:
    """Real stanzas, and for each a blob of some bytes: what publishing costs does not depend on their size."""
    maker = CrateMaker(folder / "blobs")
    for name in index.names()[: scale.packages]:
        package = index.named(name)[0]
        item = apt.item(package)
        content = package.sha256.encode()
        file = replace(item.files[0], sha256=maker.blob(content), size=len(content))
        maker.items.append(replace(item, files=(file,)))
    site = Site.make(folder, maker, key)
    ((wall, memory),) = medians(scale.runs, site.install)
    name = f"mirrors: install and publish {scale.packages:,} packages"
    yield less_is_better(name, wall, 30, peer_name="goal", unit="s")
    yield less_is_better(f"{name}: memory", memory, 300, peer_name="goal", unit="MiB")
    with _beside(site) as (ours, nginx):
        clients = [_Apt(folder / name, where) for name, where in (("ours", ours), ("nginx", nginx))]
        (wall,), (peer,) = medians(scale.runs, *(client.update for client in clients))
    name = f"mirrors: apt-get update, {scale.packages:,} packages"
    yield less_is_better(name, wall, peer, peer_name="nginx", unit="s", goal=_AS_FAST)


def _debian(folder: Path, scale: Scale, index: PackagesIndex, key: Key) -> Iterator[Row]:
    packages = apt.spread(index, scale.debs)
    folder.mkdir()
    debs = asyncio.run(apt.fetch(folder, packages))
    maker = CrateMaker(folder / "blobs", items=[apt.item(package) for package in packages])
    maker.blobs.update({package.sha256: path for package, path in zip(packages, debs, strict=True)})
    site = Site.make(folder, maker, key)

    def reprepro() -> list[float]:
        return [apt.reprepro(folder / "reprepro", debs)]

    (wall, _), (peer,) = medians(scale.runs, site.install, reprepro)
    name = f"mirrors: install and publish {scale.debs} packages"
    yield less_is_better(name, wall, peer, peer_name="reprepro includedeb", unit="s")
    names = [package.name for package in packages]
    with _beside(site) as (ours, nginx):
        clients = [_Apt(folder / name, where, names) for name, where in (("ours", ours), ("nginx", nginx))]
        (wall,), (peer,) = medians(scale.runs, *(client.update_and_download for client in clients))
    name = f"mirrors: apt-get update and download, {scale.debs} packages"
    yield less_is_better(name, wall, peer, peer_name="nginx", unit="s", goal=_AS_FAST)


def _python(folder: Path, scale: Scale, key: Key) -> Iterator[Row]:
    recipe = folder / "bundle.toml"
    folder.mkdir()
    listed = ", ".join(f'"{name}"' for name in PYTHON)
    recipe.write_text(
        f'[crate]\nname = "bench"\nplatforms = ["linux/amd64"]\n[[pypi]]\nrequirements = [{listed}]\n'
        f'python = ["{_HERE}"]\n'
    )
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    items = asyncio.run(_resolved(recipe))
    maker = CrateMaker(folder / "blobs", items=[*items])
    cache = folder / "cache/buzzcrate/blobs/sha256"
    maker.blobs.update({path.name: path for path in cache.rglob("*") if path.is_file()})
    site = Site.make(folder, maker, key)
    site.install()

    def installs(url: str) -> Callable[[], list[float]]:
        words: list[str | Path] = [
            "--index-url",
            f"{url}/pypi/simple/",
            "--cert",
            site.root / "tls/ca.pem",
            "--target",
            folder / "t",
        ]

        def once() -> list[float]:
            workload.remove(folder / "t")
            return [run([*_PIP, "install", "--no-compile", *words, *PYTHON]).wall]

        return once

    settings = {name: value for name, value in os.environ.items() if name.lower().startswith(_OWN)}
    for name in settings:
        del os.environ[name]
    try:
        with _beside(site, tls=True) as (ours, nginx):
            (wall,), (peer,) = medians(scale.runs, installs(ours), installs(nginx))
    finally:
        os.environ |= settings
    name = f"mirrors: pip install, {len(items)} wheels over TLS"
    yield less_is_better(name, wall, peer, peer_name="nginx", unit="s", goal=_AS_FAST)


async def _resolved(path: Path) -> tuple[Item, ...]:
    recipe = Recipe.load(path)
    async with connect(recipe, SILENT) as way:
        return (await resolve(recipe.contents.pypi[0], way.context([Platform("linux", "amd64")]))).items


class _Apt:
    """An apt of its own, for the repository that is served at `url`."""

    def __init__(self, folder: Path, url: str, packages: list[str] | None = None) -> None:
        self._folder = folder
        self._packages = packages or []
        replay.lay_out(folder, Closure(Universe("amd64", []), (), Solution({}, {}, ())), recommends=False)
        (folder / "etc/sources.list").unlink()
        workload.quietly([tool("curl"), "-fsS", f"{url}/apt/debian.sources", "-o", folder / "etc/parts/debian.sources"])
        (folder / "debs").mkdir()

    def update(self) -> list[float]:
        workload.remove(self._folder / "lists")
        (self._folder / "lists/partial").mkdir(parents=True)
        for cache in (self._folder / "cache").glob("*.bin"):
            cache.unlink()
        return [self._run("-o", "APT::Update::Error-Mode=any", "update")]

    def update_and_download(self) -> list[float]:
        for deb in (self._folder / "debs").iterdir():
            deb.unlink()
        return [self.update()[0] + self._run("download", *self._packages)]

    def _run(self, *words: str) -> float:
        command = [tool("apt-get"), "-q", *words]
        return run(command, environment={"APT_CONFIG": str(self._folder / "apt.conf")}, cwd=self._folder / "debs").wall


@contextmanager
def _beside(site: Site, *, tls: bool = False) -> Iterator[tuple[str, str]]:
    """The base URLs of our daemon over the site's store, and of an nginx that has the same as files."""
    tree = site.folder / "tree"
    nginx = f"{'https' if tls else 'http'}://{LOOPBACK}:{free_port()}"
    _write_tree(site.root, tree, nginx.encode())
    with serving_crate(site.root) as (secure, plain), _nginx(site, tree, nginx):
        yield (secure if tls else plain).url, nginx


def _write_tree(root: Path, tree: Path, origin: bytes) -> None:
    """Everything that the store serves by default, as files."""
    with sqlite3.connect(root / "crate.db") as database:
        rows = database.execute(
            "SELECT path, body, blobs.size, offset, packs.digest FROM published_files"
            " LEFT JOIN documents USING (digest) LEFT JOIN blobs USING (digest) LEFT JOIN packs ON packs.id = pack"
            " WHERE accepts = ''"
        )
        for path, document, size, offset, pack in rows:
            file = tree / (f"{path}index.html" if path.endswith("/") else path)
            file.parent.mkdir(parents=True, exist_ok=True)
            if document is None:
                with (root / f"packs/{pack}.crate").open("rb") as archive:
                    archive.seek(offset)
                    file.write_bytes(archive.read(size))
            else:
                file.write_bytes(document.replace(ORIGIN, origin) if path.endswith(".sources") else document)


@contextmanager
def _nginx(site: Site, tree: Path, url: str) -> Iterator[None]:
    scheme, _, address = url.partition("://")
    port = int(address.rpartition(":")[2])
    certificates = site.root / "tls"
    secure = f"ssl_certificate {certificates}/server.pem; ssl_certificate_key {certificates}/server.key;"
    config = site.folder / "nginx.conf"
    config.write_text(
        f"""daemon off; worker_processes 1; pid {site.folder}/nginx.pid; error_log stderr error; user root;
events {{}}
http {{
  access_log off; sendfile on; default_type application/octet-stream; types {{ text/html html; }}
  client_body_temp_path {site.folder}; proxy_temp_path {site.folder}; fastcgi_temp_path {site.folder};
  uwsgi_temp_path {site.folder}; scgi_temp_path {site.folder};
  server {{ listen {address}{" ssl" if scheme == "https" else ""}; root {tree}; {secure} }}
}}
"""
    )
    words: list[str | Path] = [tool("nginx"), "-c", config]
    with running(words, ready=lambda: listening(port), log=site.folder / "nginx.log"):
        yield

"""Both command lines as a user runs them: processes, exit codes, files."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.images import MadeImage
from tests.support.ports import LOOPBACK, free_port, listening
from tests.support.processes import running
from tests.support.registries import Registry
from tests.support.tools import tool

Words = list[str | Path]
_PROGRAMS = Path(sys.executable).parent
BUNDLE = str(_PROGRAMS / "crate-bundle")
APPLIANCE = str(_PROGRAMS / "crate-appliance")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, and what it said on either stream."""

    code: int
    out: str
    err: str


def command(words: Sequence[str | Path], environment: Mapping[str, str] | None = None, *, expect: int = 0) -> Ended:
    """Runs a command to its end; another exit code than `expect`, or a traceback, fails the test with all it said."""
    done = subprocess.run(
        [str(word) for word in words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
        timeout=240,
        check=False,
    )
    said = f"{' '.join(map(str, words))}\nexit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == expect, said
    assert "Traceback" not in done.stderr, said
    return Ended(done.returncode, done.stdout, done.stderr)


def from_registry(reference: str, **options: str) -> str:
    """An `[[images]]` entry of a recipe."""
    return "\n".join(["[[images]]", f'ref = "{reference}"', *(f"{key} = {value}" for key, value in options.items())])


def from_layout(image: MadeImage) -> str:
    """An `[[images]]` entry for a local layout."""
    return f'[[images]]\nlayout = "{image.folder}"\nname = "{image.reference}"'


def upstreams(registry: Registry, hosts: Sequence[str] = ("docker.io", "ghcr.io")) -> str:
    """The `[upstreams]` table that has `registry` answer for `hosts`."""
    return "\n".join(["[upstreams]", *(f'"{host}" = "{registry.url}"' for host in hosts)])


@dataclass(frozen=True)
class Desk:
    """The connected side: a folder with a recipe, a key, a cache and what was built."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def set_up(cls, folder: Path) -> Desk:
        folder.mkdir(parents=True, exist_ok=True)
        environment = {"XDG_CACHE_HOME": str(folder / "cache"), "XDG_CONFIG_HOME": str(folder / "config")}
        desk = cls(folder, {**environment, "DOCKER_CONFIG": str(folder / "config/docker")})
        command([tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "release", "-f", desk.key])
        return desk

    @property
    def key(self) -> Path:
        return self.folder / "release.key"

    @property
    def public_key(self) -> Path:
        return self.folder / "release.key.pub"

    @property
    def recipe(self) -> Path:
        return self.folder / "bundle.toml"

    @property
    def lock(self) -> Path:
        return self.folder / "bundle.lock"

    def write_recipe(self, *entries: str, serial: int = 1, name: str = "site", crate: str = "") -> None:
        """A recipe of `entries`; a lock that belonged to another one goes."""
        platforms = 'platforms = ["linux/amd64", "linux/arm64"]'
        head = f'[crate]\nname = "{name}"\nserial = {serial}\n{platforms}\n{crate}'
        self.recipe.write_text("\n\n".join([head, *entries]) + "\n")
        self.lock.unlink(missing_ok=True)

    def build_words(self, out: Path, *options: str) -> Words:
        return [BUNDLE, "build", self.recipe, "--out", out, "--key", self.key, *options]

    def build(self, out: Path, *options: str) -> list[Path]:
        """Builds, and returns the parts in order."""
        command(self.build_words(out, *options), self.environment)
        return sorted(out.iterdir())

    def bundle(self, *words: str | Path, expect: int = 0) -> Ended:
        return command([BUNDLE, *words], self.environment, expect=expect)


@dataclass(frozen=True)
class Served:
    """A daemon that runs: its TLS address, its plain one, and the authority it was given at first start."""

    address: str
    plain: str
    ca: Path
    pid: int

    @property
    def url(self) -> str:
        return f"https://{self.address}"

    def trusting(self, option: str) -> Words:
        """How skopeo and podman are told whom to trust, where `option` is --cert-dir, --src-cert-dir …"""
        return [option, self.ca.parent]


@dataclass(frozen=True)
class Crate:
    """The crate's side: a store in `root`."""

    root: Path

    def words(self, *words: str | Path) -> Words:
        return [APPLIANCE, "--root", self.root, *words]

    def run(self, *words: str | Path, expect: int = 0) -> Ended:
        return command(self.words(*words), expect=expect)

    def trust(self, desk: Desk, name: str = "release") -> None:
        self.run("trust", "add", desk.public_key, "--as", name)

    @contextmanager
    def serving(self, *options: str) -> Iterator[Served]:
        port, plain = free_port(), free_port()
        words = self.words("serve", "--listen", f"{LOOPBACK}:{port}", "--plain", f"{LOOPBACK}:{plain}", *options)

        def ready() -> bool:
            return listening(port) and listening(plain)

        with running(words, ready=ready, log=self.root.with_suffix(".serve.log")) as process:
            certificates = self.root.with_suffix(".certs")
            certificates.mkdir(exist_ok=True)
            ca = certificates / "ca.crt"
            command([tool("curl"), "-fsS", f"http://{LOOPBACK}:{plain}/ca.pem", "-o", ca])
            yield Served(f"{LOOPBACK}:{port}", f"{LOOPBACK}:{plain}", ca, process.pid)

    def contents(self) -> dict[str, tuple[int, int]]:
        """Every file of the store but SQLite's working files: size and blocks on disk, to compare before and after."""
        return {
            str(path.relative_to(self.root)): (path.stat().st_size, path.stat().st_blocks)
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and not path.name.startswith(("crate.db", "lock"))
        }


def skopeo_pull(served: Served, reference: str, architecture: str, folder: Path) -> None:
    """Pulls one platform of an image into a `dir:` folder."""
    folder.mkdir(parents=True)
    copy = [tool("skopeo"), "copy", "--quiet", "--override-arch", architecture, *served.trusting("--src-cert-dir")]
    command([*copy, f"docker://{served.address}/{reference}", f"dir:{folder}"])


def skopeo_digest(served: Served, reference: str) -> str:
    """The digest of what a reference names on the crate, indexes as they are."""
    inspect = [tool("skopeo"), "inspect", "--raw", *served.trusting("--cert-dir")]
    raw = command([*inspect, f"docker://{served.address}/{reference}"]).out
    return f"sha256:{hashlib.sha256(raw.encode()).hexdigest()}"


@contextmanager
def podman() -> Iterator[Words]:
    """Podman with everything it writes in a folder of its own, whose name it wants short."""
    with tempfile.TemporaryDirectory(prefix="podman-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield [tool("podman"), "--root", f"{folder}/root", "--runroot", f"{folder}/run", "--storage-driver", "vfs"]

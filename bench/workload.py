"""What the bench works on: a workshop under /var/tmp that is removed afterwards, images of random bytes, releases."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measure import MIB
from tests.support.images import BOTH, MadeImage, make_layout
from tests.support.tools import tool

_PROGRAMS = Path(sys.executable).parent
CRATE_BUNDLE = str(_PROGRAMS / "crate-bundle")
CRATE_APPLIANCE = str(_PROGRAMS / "crate-appliance")


@dataclass(frozen=True)
class Scale:
    """How much to do. `quick` proves that a bench runs; its figures mean nothing."""

    runs: int
    build_layer: int  # bytes; 6 images x 2 platforms x 3 layers
    import_layer: int  # bytes; 20 layers
    served_blob: int  # bytes
    seconds: float  # of load on a server
    pulls: int  # at once
    soak: float  # seconds of mixed load
    store_blobs: int
    store_size: int  # bytes
    debs: int  # published, beside reprepro and aptly
    packages: int  # published, for memory


FULL = Scale(
    runs=5,
    build_layer=28 * MIB,
    import_layer=102 * MIB,
    served_blob=60 * MIB,
    seconds=3,
    pulls=200,
    soak=600,
    store_blobs=20_000,
    store_size=40 * 2**30,
    debs=204,
    packages=20_000,
)
QUICK = Scale(
    runs=1,
    build_layer=64 * 1024,
    import_layer=256 * 1024,
    served_blob=MIB,
    seconds=0.5,
    pulls=20,
    soak=3,
    store_blobs=200,
    store_size=2**30,
    debs=8,
    packages=200,
)


@contextmanager
def workshop() -> Iterator[Path]:
    """A folder on a real disk (/tmp may be memory), gone afterwards, also when the bench is told to end."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="buzzcrate-bench-", dir="/var/tmp") as folder:
        yield Path(folder)


def images(folder: Path, count: int, layer_size: int, *, layers: int = 3) -> list[MadeImage]:
    """Images of both platforms that share nothing, each in a layout of its own."""
    return [
        make_layout(
            folder / f"image-{number}", f"bench.example/image-{number}:1", BOTH, layers=layers, layer_size=layer_size
        )
        for number in range(count)
    ]


def write_recipe(folder: Path, entries: Sequence[str], *, name: str = "bench", upstreams: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    recipe = folder / "bundle.toml"
    crate = f'[crate]\nname = "{name}"\nserial = 1\nplatforms = ["linux/amd64", "linux/arm64"]\n'
    recipe.write_text("\n".join([crate, *entries, upstreams]))
    return recipe


def make_key(folder: Path) -> Path:
    """A signing key, and beside it KEY.pub."""
    key = folder / "key"
    command = [tool("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", str(key)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return key


def quietly(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> str:
    """Runs a step that is not measured; returns what it printed. Raises `CalledProcessError`."""
    done = subprocess.run(
        [str(word) for word in command],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    return done.stdout


def cache_in(folder: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(folder)}


def remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def make_crate(folder: Path, layouts: Sequence[MadeImage]) -> Path:
    """A crate of local images; returns the folder that holds it."""
    entries = [f'[[images]]\nlayout = "{made.folder}"\nname = "{made.reference}"\n' for made in layouts]
    recipe = write_recipe(folder, entries)
    key = make_key(folder)
    quietly([CRATE_BUNDLE, "build", recipe, "--out", folder / "out", "--key", key], cache_in(folder / "cache"))
    remove(folder / "cache")
    return folder / "out"


def trusting_root(root: Path, key: Path) -> Path:
    """A store that trusts `key`."""
    quietly([CRATE_APPLIANCE, "--root", root, "trust", "add", key.with_suffix(".pub"), "--as", "bench"])
    return root

"""Python packages beside pip: sixty wheels of an index where every request takes 40 ms longer.

Ours resolves with uv, proves the closure and fetches; pip download does the first and the last. The second row leaves
choosing out: both are given every version with its digest, as a lock has it. There ours is timed from the open
connection on, while pip's figure is a whole process, start-up included (about half a second of either program).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from archive.catalogue import Item
from archive.platforms import Platform
from archive.progress import SILENT
from bench import workload
from bench.measure import Row, less_is_better, medians, run, timed
from bench.workload import Scale
from bundler.connection import connect
from bundler.recipe import Recipe
from mirror.ecosystem import Resolution
from mirror.pypi.fetching import AT_ONCE
from mirror.pypi.resolve import resolve
from mirror.together import together
from tests.mirror.pypi.index import index, wheel

LATENCY = 0.04  # seconds
WHEELS = 60
_HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
_PIP = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-cache-dir", "--quiet"]


def rows(folder: Path, scale: Scale) -> Iterator[Row]:
    needed = [wheel(f"library-{number}", "1.0") for number in range(WHEELS - 1)]
    app = wheel("app", "1.0", [each.project for each in needed])
    with index(app, *needed, latency=LATENCY) as world:
        recipe = folder / "bundle.toml"
        recipe.write_text(
            f'[crate]\nname = "wheels"\nplatforms = ["linux/amd64"]\n'
            f'[[pypi]]\nrequirements = ["app"]\npython = ["{_HERE}"]\nindexes = ["{world.url}"]\n'
        )
        os.environ |= {"XDG_CACHE_HOME": str(folder / "cache"), "UV_CACHE_DIR": str(folder / "uv")}
        items = asyncio.run(_resolved(recipe)).items
        pins = folder / "pins.txt"
        pins.write_text(
            "".join(f"{item.name}=={item.version} --hash=sha256:{item.files[0].sha256}\n" for item in items)
        )
        pip: list[str | Path] = [*_PIP, "download", "--index-url", world.url, "--dest", folder / "pip"]

        def resolving() -> list[float]:
            _forget(folder)
            return [timed(lambda: asyncio.run(_resolved(recipe)))]

        def fetching() -> list[float]:
            _forget(folder)
            return [asyncio.run(_fetching(recipe, items))]

        def downloading(*wanted: str | Path) -> list[float]:
            workload.remove(folder / "pip")
            return [run([*pip, *wanted]).wall]

        sides = resolving, lambda: downloading("app"), fetching, lambda: downloading("--no-deps", "-r", pins)
        (whole,), (pip_whole,), (fetch,), (pip_fetch,) = medians(scale.runs, *sides)
    waiting = f"{1000 * LATENCY:.0f} ms a request"
    yield less_is_better(
        f"pypi: resolve and fetch {WHEELS} wheels, {waiting}", whole, pip_whole, peer_name="pip download", unit="s"
    )
    yield less_is_better(
        f"pypi: fetch {WHEELS} locked wheels, {waiting}", fetch, pip_fetch, peer_name="pip download", unit="s", goal=8
    )


def _forget(folder: Path) -> None:
    for cache in ("cache", "uv"):
        shutil.rmtree(folder / cache, ignore_errors=True)


async def _resolved(path: Path) -> Resolution:
    recipe = Recipe.load(path)
    async with connect(recipe, SILENT) as way:
        return await resolve(recipe.contents.pypi[0], way.context([Platform("linux", "amd64")]))


async def _fetching(path: Path, items: tuple[Item, ...]) -> float:
    """Seconds that a build spends on fetching, with a lock and an empty cache."""
    async with connect(Recipe.load(path), SILENT) as way:
        wanted = [(item.origin, file) for item in items for file in item.files]
        jobs = [way.transport.fetch(url, sha256=file.sha256, size=file.size) for url, file in wanted]
        began = time.perf_counter()
        await together(jobs, limit=AT_ONCE)
        return time.perf_counter() - began

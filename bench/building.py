"""Building from a registry, beside `skopeo copy --all` of the same images into one layout."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from bench import workload
from bench.measure import MIB, Row, less_is_better, medians, run, timed
from bench.workload import CRATE_BUNDLE, Scale
from tests.support.registries import Registry, docker_registry
from tests.support.tools import tool

_COUNT = 6


def rows(folder: Path, scale: Scale) -> Iterator[Row]:
    made = workload.images(folder / "images", _COUNT, scale.build_layer)
    with docker_registry(folder / "registry") as registry:
        for number, image in enumerate(made):
            registry.push(image.layout, image.digest, f"image-{number}", "1")
        workload.remove(folder / "images")
        yield from _cold(folder, scale, registry)
        yield from _warm(folder, scale, registry)


def _build(folder: Path, registry: Registry) -> list[str | Path]:
    entries = [f'[[images]]\nref = "bench.example/image-{number}:1"\n' for number in range(_COUNT)]
    upstreams = f'[upstreams]\n"bench.example" = "{registry.url}"\n'
    recipe = workload.write_recipe(folder / "recipe", entries, upstreams=upstreams)
    key = folder / "key"
    if not key.exists():
        workload.make_key(folder)
    return [CRATE_BUNDLE, "build", recipe, "--out", folder / "out", "--key", key]


def _cold(folder: Path, scale: Scale, registry: Registry) -> Iterator[Row]:
    command, cache, layout = _build(folder, registry), folder / "cache", folder / "layout"

    def ours() -> list[float]:
        workload.remove(cache, folder / "out")
        (folder / "recipe/bundle.lock").unlink(missing_ok=True)
        cost = run(command, environment=workload.cache_in(cache))
        return [cost.wall, cost.cpu, cost.memory]

    def skopeo() -> list[float]:
        workload.remove(layout)
        copy = [tool("skopeo"), "copy", "--quiet", "--all", "--src-tls-verify=false"]
        costs = [
            run([*copy, f"docker://{registry}/image-{number}:1", f"oci:{layout}:image-{number}"])
            for number in range(_COUNT)
        ]
        return [sum(cost.wall for cost in costs), sum(cost.cpu for cost in costs)]

    (wall, cpu, memory), (peer_wall, peer_cpu) = medians(scale.runs, ours, skopeo)
    peer = "skopeo copy --all"
    yield less_is_better("build, cold cache: wall", wall, peer_wall, peer_name=peer, unit="s")
    yield less_is_better("build, cold cache: CPU", cpu, peer_cpu, peer_name=peer, unit="s")
    yield less_is_better("build, cold cache: peak memory", memory, 120, peer_name="goal", unit="MiB")


def _warm(folder: Path, scale: Scale, registry: Registry) -> Iterator[Row]:
    command, cache = _build(folder, registry), folder / "cache"

    def ours() -> list[float]:
        workload.remove(folder / "out")
        return [run(command, environment=workload.cache_in(cache)).wall]

    def copy() -> list[float]:
        blobs = sorted(path for path in (cache / "buzzcrate/blobs").rglob("*") if path.is_file())
        return [timed(lambda: copy_and_sync(blobs, folder / "copy"))]

    ours()
    (wall,), (peer,) = medians(scale.runs, ours, copy)
    yield less_is_better(
        "build, warm cache: wall", wall, peer, peer_name="copying the same blobs, fsync", unit="s", goal=0.8
    )


def copy_and_sync(sources: list[Path], target: Path) -> None:
    """The least that writing an archive can cost: read every blob, write it to one file, fsync."""
    with target.open("wb") as written:
        for source in sources:
            with source.open("rb") as blob:
                while data := blob.read(MIB):
                    written.write(data)
        written.flush()
        os.fsync(written.fileno())
    target.unlink()

"""The images that charts run: found by helm's own rendering, where helm is on this machine.

No list of a chart's images exists; what its templates come to, with the values that it will be installed with, is the
only place that names them. So helm renders it, and every container's image must be in the crate.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from archive.catalogue import Item
from archive.errors import InvalidValue
from archive.oci_index import title
from archive.references import Reference
from bundler.errors import ChartUnrendered, ImagesMissing
from bundler.recipe import served_name
from bundler.resolve import images
from manifests.documents import images as named

_TIMEOUT = 120  # seconds


def available() -> bool:
    """Whether helm is on this machine."""
    return shutil.which("helm") is not None


async def find(chart: Path, values: Sequence[Path], what: str, *, version: str) -> list[Reference]:
    """Every image that the packed `chart` runs when it is installed with `values`, each once.

    `version` is that of the Kubernetes to render for, empty for helm's default. Raises `ChartUnrendered`.
    """
    return await asyncio.to_thread(_find, chart, values, what, version)


def _find(chart: Path, values: Sequence[Path], what: str, version: str) -> list[Reference]:
    files = [word for path in values for word in ("--values", str(path))]
    kube = ["--kube-version", version.partition("+")[0]] if version else []
    with TemporaryDirectory(prefix="buzzcrate-helm-") as home:
        # helm wants a file that ends in .tgz, and keeps its state where these say
        packed = Path(home, "chart.tgz")
        packed.symlink_to(chart.absolute())
        homes = {f"HELM_{kind}_HOME": f"{home}/{kind.lower()}" for kind in ("CACHE", "CONFIG", "DATA")}
        done = subprocess.run(
            ["helm", "template", "crate", packed, "--include-crds", *files, *kube],
            env={**os.environ, **homes},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    if done.returncode:
        lines = [line.removeprefix("Error: ") for line in done.stderr.splitlines() if line.startswith("Error: ")]
        raise ChartUnrendered(
            f"{what}: helm cannot render it, so its images are unknown: {' '.join(lines)[:400] or done.returncode}",
            hint='give it the values that it needs, values = ["values.yaml"], or write images = "ignore"',
        )
    try:
        found = [Reference.parse(image) for image in named(list(yaml.safe_load_all(done.stdout)))]
    except (yaml.YAMLError, InvalidValue) as error:
        raise ChartUnrendered(f"{what}: what helm renders of it cannot be read: {error}") from error
    return list(dict.fromkeys(found))


def check(needed: Iterable[Reference], items: Iterable[Item], listed: Iterable[Reference], what: str) -> None:
    """Raises `ImagesMissing` for images that are neither among `items` nor `listed` (in k3s' tarballs)."""
    held = {title(item) for item in items if item.kind == images.KIND}
    held |= {str(served_name(reference)) for reference in listed}
    missing = [str(reference) for reference in needed if str(served_name(reference)) not in held]
    if missing:
        raise ImagesMissing(
            f"{what} runs images that the recipe lacks: {', '.join(missing)}",
            hint='name them as [[images]], or write images = "add" (or "ignore") below the chart',
        )

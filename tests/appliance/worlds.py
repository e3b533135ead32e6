"""A crate of tiny packages of every ecosystem, resolved from upstreams that tests make up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from archive.catalogue import Item
from mirror.ecosystem import Resolution
from mirror.helm.resolve import resolve as resolve_charts
from mirror.helm.section import ChartSection
from tests.mirror.apt import archives
from tests.mirror.helm.charts import chart, pushed, registry, repository
from tests.mirror.npm import worlds as npm
from tests.mirror.npm.registry import flat, package
from tests.mirror.pypi import worlds as pypi
from tests.mirror.pypi.index import wheel
from tests.mirror.serve import Blobs
from tests.mirror.transport import context
from tests.support.crates import CrateMaker

KINDS = ("apt", "pypi", "npm", "chart")


def resolved(folder: Path, kind: str, version: str = "1.0.0") -> tuple[Item, ...]:
    """One ecosystem's items, their blobs in `folder`/blobs: a `yours` in `version`, and a `mine` 1.0.0."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "blobs").mkdir(exist_ok=True)
    return {"apt": _apt, "pypi": _pypi, "npm": _npm, "chart": _charts}[kind](folder, version).items


def maker(folder: Path, kinds: Iterable[str] = KINDS, version: str = "1.0.0", name: str = "site") -> CrateMaker:
    """A crate that carries them."""
    made = CrateMaker(folder / "made", name=name)
    for kind in kinds:
        made.resolved(resolved(folder / kind, kind, version), folder / kind / "blobs")
    return made


def _apt(folder: Path, version: str) -> Resolution:
    (folder / "debs").mkdir()
    for control in ("mine 1.0.0; Depends: yours", f"yours {version} [all]"):
        archives.build_deb(folder / "debs", control)
    section = {"suites": ["stable"], "debs": ["debs/*.deb"]}
    with archives.upstream(archives.suite("other 1")) as there:
        return asyncio.run(archives.resolved(folder, {"url": there.url, **section}))


def _pypi(folder: Path, version: str) -> Resolution:
    made = [wheel("mine", "1.0.0", ["yours"]), wheel("yours", version)]
    return pypi.resolved(folder, made, requirements=["mine"])


def _npm(folder: Path, version: str) -> Resolution:
    yours = package("@team/yours", version)
    mine = package("mine", "1.0.0", dependencies={"@team/yours": "*"})
    return npm.resolved(folder, [mine, yours], flat({"dependencies": {"mine": "^1.0.0"}}, [mine, yours]))


def _charts(folder: Path, version: str) -> Resolution:
    mine, yours = chart("mine", "1.0.0"), chart("yours", version)
    there = pushed("team", yours, folder / "blobs")
    with repository(mine) as url, registry(there, Blobs(folder / "blobs")) as host:
        sections = [
            ChartSection(name="mine", repository=url),
            ChartSection(name="yours", repository=f"oci://{host}/team", version="*"),
        ]

        async def run() -> tuple[Item, ...]:
            async with context(folder / "blobs", folder) as given:
                return tuple([item for each in sections for item in (await resolve_charts(each, given)).items])

        return Resolution(asyncio.run(run()))

"""From a lock to files: which wheel (or, when allowed, sdist) of each package one target gets. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit
from urllib.request import url2pathname

from packaging.markers import Environment
from packaging.pylock import (
    Package,
    PackageArchive,
    PackageDirectory,
    PackageSdist,
    PackageVcs,
    PackageWheel,
    Pylock,
    PylockSelectError,
)
from packaging.utils import NormalizedName

from mirror.errors import Unsolvable
from mirror.pypi.targets import Target
from mirror.pypi.wheels import Parsed, parse_file_name

WITHDRAWN = "withdrawn by its author"
"""Stands for the reason where PEP 592 lets upstream give none."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One file for one target: at `url`, or at `path` on this machine. `hashes` are what the lock says of it."""

    file: str
    parsed: Parsed
    url: str = ""
    path: Path | None = None
    size: int | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)
    uploaded: str = ""
    yanked: str = ""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A choice for every package of a lock that counts on the target; `reasons` for those that have none."""

    choices: Mapping[NormalizedName, Choice]
    reasons: Mapping[NormalizedName, str]


def choose(
    lock: Pylock,
    target: Target,
    *,
    sdists: bool,
    base: Path,
    local: Mapping[str, Path],
    yanked: Mapping[tuple[str, str], str],
) -> Chosen:
    """Takes the best wheel of each package, and with it every other one becomes redundant: pip would not pick it.

    `base` is the lock's folder, `local` the wheels of this machine, which go before an index's file of the same name.
    Raises `Unsolvable` where the lock is not for this target at all, or names a package twice for it.
    """
    choices: dict[NormalizedName, Choice] = {}
    reasons: dict[NormalizedName, str] = {}
    for package in lock.packages:
        for source in _select(lock, package, target, reasons):
            if package.name in choices or isinstance(source, PackageVcs | PackageDirectory):
                kind = "twice in the lock" if package.name in choices else "a folder or repository, not a file"
                reasons[package.name] = f"it is {kind}; build a wheel of it and name that in `wheels`"
                continue
            choice = _choice(source, base, local, yanked)
            if choice.parsed.sdist and not sdists:
                reasons[package.name] = f"{package.name} {package.version} has a source distribution only (`sdists`)"
            else:
                choices[package.name] = choice
    return Chosen(choices, reasons)


_Source = PackageVcs | PackageDirectory | PackageArchive | PackageWheel | PackageSdist


def _select(lock: Pylock, package: Package, target: Target, reasons: dict[NormalizedName, str]) -> list[_Source]:
    """What PEP 751's own selection takes for this package. Alone, so that every gap is found and not only the first."""
    alone = Pylock(
        lock_version=lock.lock_version, created_by=lock.created_by, packages=[package], environments=lock.environments
    )
    extras, groups = lock.extras or (), lock.dependency_groups or ()
    if lock.requires_python and not lock.requires_python.contains(f"{target.python}.0"):
        raise Unsolvable(f"the lock is for Python {lock.requires_python}")
    try:
        environment = cast("Environment", target.environment)
        found = alone.select(environment=environment, tags=target.tags, extras=extras, dependency_groups=groups)
        return [source for _, source in found]
    except PylockSelectError as error:
        if package.wheels and not package.sdist:
            reasons[package.name] = f"{package.name} {package.version} has no wheel for it"
            return []
        raise Unsolvable(f"the lock does not serve it: {error}") from error


def _choice(
    source: PackageArchive | PackageWheel | PackageSdist,
    base: Path,
    local: Mapping[str, Path],
    yanked: Mapping[tuple[str, str], str],
) -> Choice:
    file = (
        Path(urlsplit(source.url or "").path or source.path or "").name
        if isinstance(source, PackageArchive)
        else source.filename
    )
    parsed = parse_file_name(file)
    if file in local:
        return Choice(file, parsed, path=local[file])
    path = None
    if source.path is not None:
        path = base / source.path
    elif source.url is not None and source.url.startswith("file:"):
        path = Path(url2pathname(urlsplit(source.url).path))
    withdrawn = yanked.get((parsed.name, str(parsed.version)))
    return Choice(
        file,
        parsed,
        url=source.url or "",
        path=path,
        size=source.size,
        hashes=source.hashes,
        uploaded=source.upload_time.strftime("%Y-%m-%dT%H:%M:%SZ") if source.upload_time else "",
        yanked="" if withdrawn is None else withdrawn or WITHDRAWN,
    )

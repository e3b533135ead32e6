"""What `resolve` hands back: one item a release and platform, the cost of each wish, who wanted what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from packaging.utils import NormalizedName

from archive.catalogue import File, Item
from mirror.ecosystem import Asked, Resolution
from mirror.pypi.choosing import Choice
from mirror.pypi.closure import Walk
from mirror.pypi.fetching import Files, checked
from mirror.pypi.targets import Target


@dataclass(frozen=True, slots=True)
class Selected:
    """A set of files that one target installs from, and the walk that proved it whole."""

    target: Target
    choices: Mapping[NormalizedName, Choice]
    walk: Walk


def resolution(selected: Sequence[Selected], files: Files, notes: Iterable[str]) -> Resolution:
    """The union over all targets, each file once."""
    platforms: dict[str, set[str]] = defaultdict(set)
    choices: dict[str, Choice] = {}
    why: dict[str, tuple[str, ...]] = {}
    for each in selected:
        for choice in each.choices.values():
            choices[choice.file] = choice
            platforms[choice.file].add(str(each.target.platform))
        for name, chain in each.walk.chains.items():
            why.setdefault(name, chain)
    releases: dict[tuple[str, str, str], list[Choice]] = defaultdict(list)
    for file, choice in sorted(choices.items()):
        several = choice.parsed.any_platform or len(platforms[file]) > 1
        platform = "" if several else next(iter(platforms[file]))
        releases[choice.parsed.name, str(choice.parsed.version), platform].append(choice)
    return Resolution(
        items=tuple(_item(*key, release, files) for key, release in sorted(releases.items())),
        asked=_asked(selected, files),
        why=dict(sorted(why.items())),
        notes=(*notes, *_divergences(selected)),
    )


def _item(name: str, version: str, platform: str, choices: Sequence[Choice], files: Files) -> Item:
    about: dict[str, Any] = {}
    for choice in choices:
        metadata = files.metadata(choice)
        told = {
            "requires_python": metadata.requires_python,
            "metadata_sha256": metadata.sha256,
            "uploaded": choice.uploaded,
            "yanked": choice.yanked,
        }
        about[choice.file] = {key: value for key, value in told.items() if value}
    return Item(
        kind="pypi",
        name=name,
        version=version,
        platform=platform,
        origin=files.origin(choices[0]),
        files=tuple(
            File(
                files.fetched(choice).sha256,
                files.fetched(choice).size,
                path=choice.file,
                origin="" if choice is choices[0] else files.origin(choice),
            )
            for choice in choices
        ),
        evidence={"checked": {choice.file: checked(choice) for choice in choices if checked(choice)}},
        publish={"files": about},
    )


def _asked(selected: Iterable[Selected], files: Files) -> tuple[Asked, ...]:
    """Costs are of distinct files: a wheel that serves four targets weighs once."""
    pulled: dict[str, set[str]] = defaultdict(set)
    sizes: dict[str, dict[str, int]] = defaultdict(dict)
    for each in selected:
        for what, names in each.walk.reached.items():
            for name in names:
                choice = each.choices[name]
                sizes[what][choice.file] = files.fetched(choice).size
                if each.walk.chains[name] != (what,):
                    pulled[what].add(name)
    return tuple(Asked(what, tuple(sorted(pulled[what])), sum(sizes[what].values())) for what in sizes)


def _divergences(selected: Iterable[Selected]) -> list[str]:
    """A package that is not of one version everywhere surprises people: say where."""
    versions: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for each in selected:
        for choice in each.choices.values():
            versions[choice.parsed.name][str(choice.parsed.version)].add(str(each.target))
    return [
        f"{name} is "
        + "; ".join(f"{version} for {', '.join(sorted(where))}" for version, where in sorted(found.items()))
        for name, found in sorted(versions.items())
        if len(found) > 1
    ]

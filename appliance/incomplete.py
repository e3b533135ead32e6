"""What to tell the user when a crate did not arrive whole: which file, which byte, which blob, and who needs it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from appliance.errors import IncompleteCrate
from appliance.kept import KeptVolumes
from archive.errors import MissingPart, Problem
from archive.layout import Placed
from archive.reader import Crate
from archive.stream import Damage
from console import units

_SHOWN = 20
"""How many damaged places a message lists."""
_NAMED = 3
"""How many items a line names."""


def incomplete(
    crate: Crate, volumes: KeptVolumes, damages: Sequence[Damage], lacking: Sequence[Placed], *, kept: bool = True
) -> IncompleteCrate:
    """The problem to raise. `lacking` are the blobs that are not whole, damaged ones included.

    `kept`: the store has everything else. Missing parts are told of once, not with each place in them.
    """
    damages = [damage for damage in damages if not isinstance(damage.problem, MissingPart)]
    items = _items(crate, {placed.entry.digest for placed in lacking} | _digests(damages))
    lines = [f"{damage.reason}{_needed(items, _digests([damage]))}" for damage in damages[:_SHOWN]]
    if len(damages) > _SHOWN:
        lines.append(f"and {len(damages) - _SHOWN} more damaged places")
    by_part: dict[str, set[str]] = defaultdict(set)
    for placed in lacking:
        for part in volumes.lacking(placed.data_offset, placed.data_offset + placed.entry.size):
            by_part[part].add(placed.entry.digest)
    lines += [f"{part} is missing{_needed(items, digests)}" for part, digests in sorted(by_part.items())]
    remedy = _remedy(volumes, damages, sorted(by_part))
    size = sum(placed.entry.size for placed in lacking)
    release = crate.release
    what = f"{release.name} {release.serial} is not complete; blobs not whole: {len(lacking)} ({units.size(size)})"
    return IncompleteCrate(
        "\n  ".join([what, *lines]),
        hint=f"{'all else is kept; install again' if kept else 'try again'} with {remedy}",
    )


def _digests(damages: Sequence[Damage]) -> set[str]:
    return {damage.placed.entry.digest for damage in damages if damage.placed}


def _items(crate: Crate, digests: set[str]) -> dict[str, list[str]]:
    """Which items need each blob; nobody knows when the catalogue itself did not arrive."""
    needed: dict[str, list[str]] = defaultdict(list)
    try:
        for item in crate.catalogue():
            name = f"{item.kind} {item.name}{':' if item.kind == 'image' else ' '}{item.version}".rstrip(": ")
            for digest in digests.intersection(file.sha256 for file in item.files):
                needed[digest].append(name)
    except Problem:
        return {}
    return needed


def _needed(items: dict[str, list[str]], digests: set[str]) -> str:
    names = sorted({name for digest in digests for name in items.get(digest, ())})
    if not names:
        return ""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f" (needed by {', '.join(names[:_NAMED])}{more})"


def _remedy(volumes: KeptVolumes, damages: Sequence[Damage], missing: Sequence[str]) -> str:
    damaged = sorted(
        {file for damage in damages for file in volumes.files_of(damage.offset, damage.offset + damage.length)}
    )
    words = [f"another copy of {', '.join(damaged)}"] if damaged else []
    words += [f"the missing {', '.join(missing)}"] if missing else []
    return " and ".join(words)

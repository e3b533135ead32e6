"""`crate-appliance status`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.status import Status
from appliance.status import status as read_status
from appliance.store import Store
from console import units
from console.command import JSON_OPTION, emit

if TYPE_CHECKING:
    from appliance.cluster.summary import Summary

_KINDS = {
    "file": "file",
    "apt": "Debian package",
    "pypi": "Python release",
    "npm": "npm package",
    "chart": "Helm chart",
}


@click.command()
@JSON_OPTION
@click.pass_obj
def status(root: Path, as_json: bool) -> None:
    """Show what is active, what can be rolled back to, and what is unfinished."""
    with Store.open(root, create=False) as store:
        found = read_status(store)
    cluster = _cluster(root)
    told = {**asdict(found), "cluster": asdict(cluster) if cluster else None}
    emit(told, as_json, lambda: _text(found) + (f"\n{cluster.text()}" if cluster else ""))


def _cluster(root: Path) -> Summary | None:
    if not (root / "site" / "site.toml").exists():
        return None
    from appliance.cluster.summary import summary  # noqa: PLC0415 - not every appliance has a cluster to wait for
    from appliance.site.folder import SiteFolder  # noqa: PLC0415

    return summary(SiteFolder(root))


def _text(found: Status) -> str:
    lines = [f"store {found.root}: {units.size(found.used)} used, {units.size(found.free)} free"]
    if found.generation is None:
        lines.append("nothing is active; crate-appliance install CRATE comes next")
    else:
        lines.append(f"generation {found.generation}: {', '.join(_contents(found)) or 'nothing'}")
    lines += [
        f"  {crate.name} {crate.serial} ({crate.channel}), {units.size(crate.size)}, made {crate.created},"
        f" signed by {', '.join(crate.signed_by)}" + (", past its expiry date" if crate.expired else "")
        for crate in found.crates
    ]
    if found.pushed_tags:
        lines.append(f"pushed here: {found.pushed_tags} tags")
    lines += [
        f"generation {generation.id} can be rolled back to: {', '.join(generation.crates)}"
        for generation in found.generations
        if not generation.active
    ]
    lines += [
        f"unfinished: {pending.crate} ({pending.file}), {units.size(pending.stored)} of {units.size(pending.size)};"
        " install it again to go on, or crate-appliance gc --unfinished drops it"
        for pending in found.pending
    ]
    return "\n".join(lines)


def _contents(found: Status) -> Iterator[str]:
    if found.images:
        yield _counted(found.images, "image tag")
    for kind, name in _KINDS.items():
        if count := found.items.get(kind):
            yield _counted(count, name)


def _counted(count: int, name: str) -> str:
    return f"{count} {name}{'s' if count > 1 else ''}"

"""`crate-bundle inspect`: what is in a crate."""

from __future__ import annotations

from pathlib import Path

import click

from archive.release import time_text
from bundler import inspection
from bundler.cli.arguments import CRATES
from bundler.inspection import Inspection
from console import units
from console.columns import columns
from console.command import JSON_OPTION, emit


@click.command(name="inspect", short_help="Show what is in a crate.")
@CRATES
@JSON_OPTION
def inspect(crates: tuple[Path, ...], as_json: bool) -> None:
    """Show what CRATE… holds, by kind, platform and size, without importing it.

    CRATE is the archive, its parts in any order, or the folders they are in. Nothing is trusted by looking at it:
    `crate-bundle verify` checks signature and content.
    """
    found = inspection.inspect(crates)
    emit(found.to_json(), as_json, lambda: _text(found))


def _text(found: Inspection) -> str:
    release, crate = found.crate.release, found.crate
    head = [
        f"{release.name} {release.serial}, channel {release.channel}",
        f"  written {time_text(release.created)} by {release.writer}",
        f"  {units.size(crate.total_size)} in {crate.survey.blobs} blobs and {len(found.parts)} file(s)",
        *(f"  signed by {fingerprint} (not judged here)" for fingerprint in found.signers),
        *([] if found.signers else ["  not signed"]),
    ]
    if found.left_out.blobs:
        there = ", ".join(found.left_out.base)
        head.append(
            f"  a difference: leaves out {units.size(found.left_out.size)} in {found.left_out.blobs} blobs"
            + (f", which {there} brought" if there else "")
        )
    if release.expires:
        head.append(f"  expires {time_text(release.expires)}")
    if found.missing:
        head.append(f"  not at hand: {', '.join(found.missing)}")
    sections = ["\n".join(head)]
    if found.kinds:
        rows = [(kind, "", units.size(size)) for kind, size in found.kinds.items()]
        rows += [(kind, platform, units.size(size)) for (kind, platform), size in found.platforms.items()]
        sections.append("by kind and platform:\n" + columns(sorted(rows), right=frozenset({2})))
        sections.append(
            f"shared: {units.size(found.shared)} are used by more than one item, which saves {units.size(found.saved)}"
        )
        sections.append(
            "biggest:\n"
            + columns(
                [
                    (units.size(it.size), it.kind, it.title, ", ".join(it.platforms), f"{units.size(it.own)} its own")
                    for it in found.biggest
                ],
                right=frozenset({0}),
            )
        )
        rest = len(found.holdings) - len(found.biggest)
        if rest:
            sections.append(f"and {rest} more; --json lists all of them")
    return "\n\n".join(sections)

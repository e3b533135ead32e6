"""`crate-appliance verify`."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.installing import Verified
from appliance.installing import verify as verify_crates
from appliance.store import Store
from console import units
from console.command import JSON_OPTION, emit
from console.progress import progress


@click.command()
@click.argument("crates", nargs=-1, required=True, metavar="CRATE...", type=click.Path(path_type=Path, exists=True))
@JSON_OPTION
@click.pass_obj
def verify(root: Path, crates: tuple[Path, ...], as_json: bool) -> None:
    """Check crates against this crate's trust, and every byte of them, without importing.

    Each damaged place is named by file, byte, blob and the items that need it.
    """
    with Store.open(root) as store:
        verified = verify_crates(store, crates, progress())
        emit([_json(one) for one in verified], as_json, lambda: "\n".join(map(_text, verified)))


def _json(one: Verified) -> dict[str, object]:
    return {
        "name": one.verdict.release.name,
        "serial": one.verdict.release.serial,
        "signed_by": [signature.principal for signature in one.verdict.signatures],
        "blobs": one.report.blobs,
        "bytes": one.report.bytes,
    }


def _text(one: Verified) -> str:
    release = one.verdict.release
    who = ", ".join(signature.principal for signature in one.verdict.signatures)
    return (
        f"{release.name} {release.serial} is sound: {one.report.blobs} blobs, {units.size(one.report.bytes)},"
        f" signed by {who}"
    )

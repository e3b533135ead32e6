"""`crate-appliance export`."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.shipping import Shipped, ship
from appliance.store import Store
from archive.oci_index import title
from archive.signing import Signer
from console import units
from console.columns import columns
from console.command import JSON_OPTION, emit
from console.progress import progress
from console.signing import KEYS, signers
from console.sizes import PartSize


@click.command()
@click.option("--name", required=True, help="What the crate is called; of one name, later ones replace earlier ones.")
@KEYS
@click.option(
    "--only",
    multiple=True,
    metavar="PATTERN",
    help="Take only this along, as often as wanted: a repository (team-a/app, team-a/*), pypi/NAME, npm/NAME, "
    "charts/NAME, apt/REPOSITORY/NAME, files/PATH.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="The folder to write it to.  [default: this one]",
)
@click.option(
    "--split",
    type=PartSize(),
    metavar="fat32|SIZE",
    help="Write parts of at most this size: fat32 for sticks as they are sold, or a size like 700M.",
)
@JSON_OPTION
@click.pass_obj
def export(
    root: Path,
    *,
    name: str,
    keys: tuple[Path, ...],
    only: tuple[str, ...],
    out: Path,
    split: int | None,
    as_json: bool,
) -> None:
    """Pack what people published and pushed here into a signed crate, for another crate to install.

    What came with crates is left out. The other side trusts the key once, which travels another way than the crate:
    crate-appliance trust add KEY.pub --as US, then crate-appliance install.
    """
    with Store.open(root, create=False) as store:
        signing = signers(keys)
        shipped = ship(store, name, signing, out, only=only, part_size=split, progress=progress())
    emit(_json(shipped, signing), as_json, lambda: _text(shipped, signing, keys))


def _json(shipped: Shipped, signing: list[Signer]) -> dict[str, object]:
    release = shipped.written.release
    return {
        "name": release.name,
        "serial": release.serial,
        "paths": [str(path) for path in shipped.written.paths],
        "size": shipped.written.size,
        "signed_by": [signer.public.fingerprint for signer in signing],
        "items": [
            {"kind": item.kind, "name": item.name, "version": item.version, "platform": item.platform}
            for item in shipped.items
        ],
    }


def _text(shipped: Shipped, signing: list[Signer], keys: tuple[Path, ...]) -> str:
    paths, release = shipped.written.paths, shipped.written.release
    public = keys[0] if keys[0].suffix == ".pub" else f"{keys[0]}.pub"
    rows = [(item.kind, title(item), item.platform) for item in shipped.items]
    return "\n".join(
        [
            *(f"{path}  {units.size(path.stat().st_size)}" for path in paths),
            f"{release.name} {release.serial}, with",
            columns(rows),
            *(f"signed by {signer.public.fingerprint}" for signer in signing),
            "next, on the other crate:",
            f"  crate-appliance trust add {public} --as {release.name}     (once; bring that file another way)",
            f"  crate-appliance install {paths[0].name.removesuffix('.000')}" + "*" * (len(paths) > 1),
        ]
    )

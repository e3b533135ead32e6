"""`crate-appliance backup`."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import click

from appliance.backup.saving import Saved, save
from appliance.cli.passphrase import passphrase, passphrase_option
from appliance.errors import NoDatastore
from appliance.site.folder import SiteFolder
from appliance.store import Store
from console import units
from console.command import JSON_OPTION, emit
from console.progress import progress


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@passphrase_option
@click.option("--no-passphrase", is_flag=True, help="Do not encrypt it; FILE then gives away every key of this crate.")
@click.option("--no-datastore", is_flag=True, help="Do not ask the cluster's server for its datastore.")
@JSON_OPTION
@click.pass_obj
def backup(
    root: Path, file: Path, passphrase_file: Path | None, *, no_passphrase: bool, no_datastore: bool, as_json: bool
) -> None:
    """Write into FILE what a dead card would take with it, encrypted with a passphrase.

    That is the crate's authority and keys, trust, users and tokens, what people pushed and published, the site with its
    keys, and the cluster's datastore. Not what came on sticks: keep those. `age -d FILE` opens it, too.

    Ends with 1 when the datastore could not be had; all else is in FILE then.
    """
    words = "" if no_passphrase else passphrase(passphrase_file, new=True)
    lacking: NoDatastore | None = None
    with Store.open(root, create=False) as store, ExitStack() as stack:
        datastore = None
        if not no_datastore and SiteFolder(root).site.exists():
            folder = Path(tempfile.mkdtemp(prefix=".datastore-", dir=root))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            lacking = _fetch(root, folder)
            datastore = None if lacking else folder
        saved = save(store, file, words, datastore=datastore, progress=progress())
    told = {**asdict(saved), "file": str(file), "datastore": datastore is not None}
    told["problem"] = lacking.what if lacking else ""
    emit(told, as_json, lambda: _text(file, saved, with_datastore=datastore is not None))
    if lacking:
        raise lacking


def _fetch(root: Path, folder: Path) -> NoDatastore | None:
    from appliance.backup.datastore import fetch_datastore  # noqa: PLC0415 - paramiko, for those with a cluster

    try:
        fetch_datastore(SiteFolder(root), folder)
    except NoDatastore as problem:
        return problem
    return None


def _text(file: Path, saved: Saved, *, with_datastore: bool) -> str:
    lines = [
        f"{file}: {units.size(saved.size)}, with {saved.files} files, {saved.blobs} blobs that people brought"
        + (", and the cluster's datastore" if with_datastore else "")
    ]
    if saved.lost:
        lines.append(f"lost before, so not in it: {saved.lost} blobs; crate-appliance doctor names them")
    if saved.crates:
        lines.append(f"keep the sticks of {', '.join(saved.crates)}: what came on them is not in it")
    return "\n".join(lines)

"""`crate-appliance restore`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from appliance.backup.restoring import Restored, encrypted
from appliance.backup.restoring import restore as restore_backup
from appliance.cli.passphrase import passphrase, passphrase_option
from console.command import JSON_OPTION, emit
from console.progress import progress


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@passphrase_option
@click.option("--force", is_flag=True, help="Even if there is a store already: it is moved aside, not removed.")
@JSON_OPTION
@click.pass_obj
def restore(root: Path, file: Path, passphrase_file: Path | None, *, force: bool, as_json: bool) -> None:
    """Make the store anew from a backup, on a fresh board or disk; then install the same sticks again.

    FILE is compared whole before anything is put in place. Clients and nodes go on as before: they see the same
    authority, users and tokens. Refuses where a store is in use already; stop the daemon first.
    """
    words = passphrase(passphrase_file, new=False) if encrypted(file) else ""
    restored = restore_backup(root, file, words, force=force, progress=progress())
    told = {**asdict(restored), "replaced": str(restored.replaced or "")}
    emit(told, as_json, lambda: _text(root, restored))


def _text(root: Path, restored: Restored) -> str:
    made = datetime.fromtimestamp(restored.made, UTC).strftime("%Y-%m-%d %H:%M UTC")
    lines = [f"the store at {root} is as it was at {made}: {restored.files} files, {restored.blobs} blobs"]
    if restored.crates:
        lines.append(f"next: crate-appliance install, with the sticks of {', '.join(restored.crates)}")
    if restored.datastore:
        lines.append(f"the cluster's datastore lies in {root}/site/datastore; docs/health.md says how it is put back")
    if restored.replaced:
        lines.append(f"what was here before lies in {restored.replaced}; remove it when all is well")
    return "\n".join([*lines, *(f"warning: {warning}" for warning in restored.warnings)])

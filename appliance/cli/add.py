"""`crate-appliance add`."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

import click

from appliance import contributing
from appliance.publishing import FOLDERS
from appliance.store import Store
from archive.catalogue import Item
from console.command import JSON_OPTION, emit
from console.progress import progress

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=_FILE)
@click.option("--as", "at", metavar="PATH", help="Publish one FILE as it is, at /files/PATH.")
@click.option("--kind", type=click.Choice(tuple(FOLDERS)), help="What the files are, where their names do not tell.")
@click.option("--repository", metavar="NAME", help="For .debs: the apt repository.  [default: local]")
@click.option("--suite", help="For .debs: its suite.  [default: stable]")
@click.option("--anew", is_flag=True, help="Replace what people published under the same name and version.")
@JSON_OPTION
@click.pass_obj
def add(
    root: Path,
    files: tuple[Path, ...],
    *,
    at: str | None,
    kind: str | None,
    repository: str | None,
    suite: str | None,
    anew: bool,
    as_json: bool,
) -> None:
    """Publish files of this machine beside what came with crates: .debs, wheels, charts, npm packages, any file.

    They are served at once, by the repositories that clients use already (.debs by one called local), and stay when
    crates come and go. What a crate brings cannot be replaced. contributions lists them, export packs them for others.
    """
    if at and len(files) > 1:
        raise click.UsageError("--as names one file")
    options = {key: value for key, value in (("repository", repository), ("suite", suite)) if value}
    added: list[Item] = []
    holder = os.environ.get("SUDO_USER") or getpass.getuser()
    shown = progress()
    with Store.open(root) as store:
        for file in files:
            received = contributing.receive(store, file, shown)
            try:
                found = contributing.items(received, at or file.name, "file" if at else kind or "", **options)
                contributing.publish(store, [received], found, holder, anew=anew)
            finally:
                received.path.unlink(missing_ok=True)
            added += found
    emit(
        [{"kind": item.kind, "name": item.name, "version": item.version, "platform": item.platform} for item in added],
        as_json,
        lambda: "\n".join(f"{item.kind} {item.name} {item.version} {item.platform}".rstrip() for item in added),
    )

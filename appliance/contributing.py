"""Publishing by people: from a file that somebody has to an item that is served, in one transaction."""

from __future__ import annotations

import hashlib
import secrets
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from appliance import contributions, disk, republishing
from appliance.errors import BadContribution, HeldByOthers
from appliance.publishing import FOLDERS
from appliance.store import Store
from archive.catalogue import Item
from archive.digests import Digest
from archive.progress import SILENT, Progress

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Received:
    """A file in the store's own file system, of which it is known what it holds; publishing it takes it away."""

    path: Path
    sha256: str
    size: int


def receive(store: Store, source: Path, progress: Progress = SILENT) -> Received:
    """A copy of a file of this machine, hashed on the way. Raises `StoreFull`."""
    target, digest, size = store.uploads / secrets.token_hex(16), hashlib.sha256(), 0
    what = f"taking in {source.name}"
    try:
        with (
            disk.problems(what),
            source.open("rb") as content,
            target.open("wb") as kept,
            progress.task(what, source.stat().st_size) as task,
        ):
            while block := content.read(_BLOCK):
                kept.write(block)
                digest.update(block)
                size += len(block)
                task.advance(len(block))
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return Received(target, digest.hexdigest(), size)


def items(received: Received, name: str, kind: str = "", **options: str) -> tuple[Item, ...]:
    """What a file called `name` is to be published as; `kind` is found out where it is not given.

    `options` are the ecosystem's own: `repository` and `suite` of a .deb. Raises `BadContribution`, and `BadIndex` for
    a file that is not what its name says.
    """
    chosen = kind or kind_of(received.path, name)
    read: Callable[..., tuple[Item, ...]] = import_module(f"mirror.{FOLDERS[chosen]}.contribute").contribute
    return read(received.path, name, received.sha256, received.size, **options)


def kind_of(path: Path, name: str) -> str:
    """By the name's ending, and for a .tgz by what is in it. Raises `BadContribution` where nothing tells."""
    if name.endswith(".deb"):
        return "apt"
    if name.endswith(".whl"):
        return "pypi"
    if name.endswith((".tgz", ".tar.gz")):
        found = _members(path)
        for member, kind in (("package.json", "npm"), ("Chart.yaml", "chart"), ("PKG-INFO", "pypi")):
            if member in found:
                return kind
    raise BadContribution(
        f"{name} is no .deb, wheel, sdist, chart or package of npm's",
        hint="--as PATH publishes it as a plain file, at /files/PATH",
    )


def _members(path: Path) -> set[str]:
    """The names that lie one folder deep in a tarball; none where it is no tarball."""
    try:
        with tarfile.open(path, mode="r|gz") as archive:
            return {member.name.partition("/")[2] for member in archive}
    except (tarfile.TarError, OSError, EOFError):
        return set()


def publish(
    store: Store, received: Sequence[Received], added: Sequence[Item], holder: str, *, anew: bool = False
) -> None:
    """Serves `added`, whose blobs are `received`, from now on, in the name of `holder`. Blocks on the disk.

    A file of the same name and version that people published is replaced only if that is the same one, or with
    `anew`. Raises `HeldByCrate`, `HeldByOthers`, `CrateConflict`, `BadPublication`; then nothing is changed.
    """
    try:
        for each in received:
            store.blobs.add_loose(each.path, Digest.sha256(each.sha256))
        with store.database.write() as connection:
            for item in added:
                known = contributions.held(connection, item.key)
                contributions.add(connection, item if known is None else _joined(known, item, anew=anew), holder)
            republishing.republish(store, connection, added)
    finally:
        for each in received:
            each.path.unlink(missing_ok=True)


def remove(store: Store, kind: str, name: str, version: str) -> int:
    """Serves it no more; returns how many items went. Raises `UnknownContribution`."""
    with store.database.write() as connection:
        removed = contributions.remove(connection, kind, name, version)
        republishing.republish(store, connection, removed)
    return len(removed)


def _joined(known: Item, item: Item, *, anew: bool) -> Item:
    """Python's releases grow file by file; everything else is one file a version. Raises `HeldByOthers`."""
    others = {file.path: file for file in known.files}
    for file in item.files:
        if not anew and file.path in others and others[file.path].sha256 != file.sha256:
            raise HeldByOthers(
                f"{item.kind} {item.name} {item.version}: another {file.path} was published here",
                hint="publish a new version; or remove that one first: crate-appliance contributions remove",
            )
    if item.kind != "pypi":
        return item
    told = {**known.publish["files"], **item.publish["files"]}
    kept = [file for file in known.files if file.path not in {new.path for new in item.files}]
    return replace(item, files=tuple(sorted([*kept, *item.files], key=lambda file: file.path)), publish={"files": told})

"""What `install` and `verify` do, from paths on a stick to an active generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance import generations
from appliance.errors import MissingBase
from appliance.generations import Activation
from appliance.importing import Imported, group_crates, import_crate
from appliance.incomplete import incomplete
from appliance.kept import KeptVolumes
from appliance.keyring import Keyring
from appliance.store import Store
from archive.progress import SILENT, Progress
from archive.reader import Crate, read_envelope
from archive.trust import Verdict
from archive.verification import Report, verify_archive


@dataclass(frozen=True, slots=True)
class Installed:
    """The crates of one `install`, and what their activation came to."""

    imports: tuple[Imported, ...]
    activation: Activation


@dataclass(frozen=True, slots=True)
class Verified:
    """A crate that is trusted and sound throughout."""

    verdict: Verdict
    report: Report


def install(store: Store, paths: Sequence[Path], progress: Progress = SILENT) -> Installed:
    """Imports the crates among `paths` and makes them the active ones of their names, all in one generation.

    Of several releases of one name the latest becomes active, in whatever order they were given.
    A daemon that serves this store sees the new generation at its next request. Raises `StoreBusy`, what
    `import_crate` and `activate` raise; what was served before is served then.
    """
    with store.lock(f"installing {', '.join(path.name for path in paths)}"):
        keyring = Keyring(store)
        imports = tuple(_imports(store, paths, keyring, progress))
        latest: dict[str, Imported] = {}
        for imported in imports:
            named = latest.setdefault(imported.release.name, imported)
            if imported.release.serial > named.release.serial:
                latest[imported.release.name] = imported
        activation = generations.activate(store, [imported.pack for imported in latest.values()])
    return Installed(imports, activation)


def _imports(store: Store, paths: Sequence[Path], keyring: Keyring, progress: Progress) -> Iterator[Imported]:
    """In the order given, but for differences that must wait for what others of them bring."""
    waiting = group_crates(paths)
    refusal: MissingBase | None = None
    while waiting:
        later = []
        for group in waiting:
            try:
                yield import_crate(store, group, keyring, progress)
            except MissingBase as problem:
                refusal = problem
                later.append(group)
        if refusal and len(later) == len(waiting):
            raise refusal
        waiting = later


def verify(store: Store, paths: Sequence[Path], progress: Progress = SILENT) -> list[Verified]:
    """Checks crates against this store's trust and every digest in them, and keeps nothing.

    Raises `Refused`, `Malformed`, `Damaged`; `IncompleteCrate` naming each damaged place.
    """
    keyring = Keyring(store)
    return [_verify(store, group, keyring, progress) for group in group_crates(paths)]


def _verify(store: Store, paths: Sequence[Path], keyring: Keyring, progress: Progress) -> Verified:
    with KeptVolumes.open(paths) as volumes:
        envelope = read_envelope(volumes)
        verdict = keyring.judge(envelope, generations.now(store), volumes.stem).verdict
        crate = Crate(volumes, envelope.signed, verdict.release)
        report = verify_archive(crate, progress)
        if report.damages:
            damaged = {damage.placed.entry.digest: damage.placed for damage in report.damages if damage.placed}
            raise incomplete(crate, volumes, report.damages, list(damaged.values()), kept=False)
    return Verified(verdict, report)

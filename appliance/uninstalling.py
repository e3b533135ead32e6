"""Taking the appliance off this machine: what install.sh, `service install` and `deploy` put here, and nothing else."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from appliance import locks, service
from appliance.cluster.journal import lock_path
from appliance.errors import NotRemovable
from appliance.names.setting_up import teardown
from appliance.site.folder import SiteFolder

PROGRAM = Path("/opt/buzzcrate")
"""Where install.sh puts releases of this program (bundler/stick/board)."""
COMMAND = Path("/usr/local/bin/crate-appliance")


@dataclass(frozen=True, slots=True)
class Uninstalled:
    """What was done, a line each, and the store if it is still there."""

    done: tuple[str, ...]
    store: Path | None


def uninstall(root: Path, *, purge: bool) -> Uninstalled:
    """Stops and removes the service, what answers names and time, and the program; with `purge` the store as well.

    Interrupted, the next call goes on: the program goes last. Raises `NotRemovable`, `ServiceFailed`.
    """
    done = list(_stopped())
    if locks.held(root / "daemon.lock"):
        raise NotRemovable(f"a daemon still serves {root}", hint="end that crate-appliance serve, and run this again")
    if locks.held(root / "lock") or locks.held(lock_path(SiteFolder(root))):
        raise NotRemovable(f"another command is at work in {root}", hint="wait until it is done, and run this again")
    try:
        done += teardown(root)
        if purge and root.exists():
            shutil.rmtree(root)
            done.append(f"removed {root}")
        if COMMAND.is_symlink() and COMMAND.readlink().is_relative_to(PROGRAM):
            COMMAND.unlink()
            done.append(f"removed {COMMAND}")
        if PROGRAM.exists():
            shutil.rmtree(PROGRAM)
            done.append(f"removed {PROGRAM}")
    except PermissionError as error:
        raise NotRemovable(f"{error.filename}: {error.strerror}", hint="run it as root") from error
    return Uninstalled(tuple(done), root if root.exists() else None)


def nodes_left(root: Path) -> tuple[str, ...]:
    """The nodes of the site in force, which keep what `deploy` did to them unless `reset` comes first."""
    folder = SiteFolder(root)
    return tuple(node.name for node in folder.in_force(draft=True).nodes) if folder.site.exists() else ()


def _stopped() -> list[str]:
    return [f"stopped and removed {service.UNIT}"] if service.remove() else []

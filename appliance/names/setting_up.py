"""Names and time on the appliance: set up as the site file has it, again and again if need be, and taken down whole.

What is written lies in files of our own. Nothing here stops an installation: what cannot be had is reported, and the
nodes go by /etc/hosts and by the clock that they are given once.
"""

from __future__ import annotations

import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from appliance import disk
from appliance.errors import ServiceFailed
from appliance.names.clock import restore, save, spelled
from appliance.names.errors import NoPackage, NotAnswered
from appliance.names.packages import install, program
from appliance.names.probing import answers_names, eventually, stratum
from appliance.names.queries import RUNTIME_LOG, log_path
from appliance.names.resolver import configuration
from appliance.names.units import (
    CLOCK,
    NAMES,
    SAVE,
    STRATUM,
    TIME,
    TIMER,
    clock_service,
    names_service,
    save_service,
    time_service,
    timer,
)
from appliance.published import apt_sources
from appliance.service import may_install
from appliance.site.folder import SiteFolder
from appliance.site.model import Site
from appliance.store import Store
from archive.errors import Problem

CONFIGURATION = Path("/etc/buzzcrate/names.conf")
UNITS = Path("/etc/systemd/system")
_ALL = (NAMES, TIME, TIMER, SAVE, CLOCK)
_DNSMASQ = "dnsmasq-base"  # the program alone: the package dnsmasq has a service of its own, for port 53
_CHRONY = "chrony"
_CHRONY_UNITS = ("chrony.service",)  # asks servers on the internet for the time
_CHRONY_USERS = ("_chrony", "chrony")


@dataclass
class Report:
    """`lines` say what is so now, `changed` what was done for it; `warnings` what could not be had, with a remedy."""

    lines: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def setup(site: Site, store: Store, *, plain: int = 8080) -> Report:
    """Answers names, serves time and keeps the clock, each as far as `site` wants it. Idempotent.

    Missing programs are installed from the crate, which the daemon serves on the port `plain`.
    """
    report = Report()
    wanted = site.table.names or site.table.time
    if not may_install():
        if wanted:
            report.warnings.append(
                "names and time are not set up: that needs root, and a systemd on the same network; "
                "with names = false and time = false in [site] nothing is tried"
            )
        return report
    if not wanted:
        report.changed += _take_down(_ALL)
        return report
    sources = apt_sources(store.database, f"http://{site.address}:{plain}")
    if site.table.time:
        _attempt(report, lambda: _keep_clock(store, report))
        _attempt(report, lambda: _serve_time(site, sources, report))
    else:
        report.changed += _take_down((TIME, TIMER, SAVE, CLOCK))
    if site.table.names:
        _attempt(report, lambda: _serve_names(site, store, sources, report))
    else:
        report.changed += _take_down((NAMES,))
    return report


def teardown(root: Path) -> list[str]:
    """Takes down everything that `setup` ever made, packages aside; says what."""
    done = _take_down(_ALL)
    if CONFIGURATION.exists():
        CONFIGURATION.unlink()
        done.append(f"{CONFIGURATION} is gone")
        with suppress(OSError):  # other files of ours may be there
            CONFIGURATION.parent.rmdir()
    log_path(root).unlink(missing_ok=True)
    shutil.rmtree(RUNTIME_LOG.parent, ignore_errors=True)
    return done


def _attempt(report: Report, step: Callable[[], None]) -> None:
    try:
        step()
    except Problem as problem:
        report.warnings.append(f"{problem.what} ({problem.hint})" if problem.hint else problem.what)


def _keep_clock(store: Store, report: Report) -> None:
    appliance = shutil.which("crate-appliance") or str(Path(sys.argv[0]).absolute())
    decision = restore(store)
    if decision.step:
        report.changed.append(f"the clock is set forward to {spelled(decision.time)}, from {decision.because}")
    save(store)
    root = store.root.absolute()
    wanted = {
        CLOCK: clock_service(appliance, root),
        SAVE: save_service(appliance, root),
        TIMER: timer(),
    }
    _install(wanted, start=(CLOCK, TIMER), report=report)
    report.lines.append("the clock is noted every quarter of an hour, and does not go back after a power cut")


def _serve_time(site: Site, sources: dict[str, str], report: Report) -> None:
    chronyd = _program("chronyd", _CHRONY, sources, report, silence=_CHRONY_UNITS)
    user = next((name for name in _CHRONY_USERS if _is_account(name)), "")
    _install({TIME: time_service(chronyd, site, user)}, start=(TIME,), report=report)
    if not eventually(lambda: stratum(site.address) == STRATUM):
        raise NotAnswered(f"no time is served at {site.address}", hint=_port_hint(123, TIME))
    report.lines.append(f"time is served at {site.address}, stratum {STRATUM}")


def _serve_names(site: Site, store: Store, sources: dict[str, str], report: Report) -> None:
    dnsmasq = _program("dnsmasq", _DNSMASQ, sources, report)
    folder = SiteFolder(store.root)
    folder.ensure()
    link = log_path(store.root)
    if not link.is_symlink():
        link.unlink(missing_ok=True)
        link.symlink_to(RUNTIME_LOG)
    fresh = _write(CONFIGURATION, configuration(site))
    wanted = {NAMES: names_service(dnsmasq, CONFIGURATION)}
    _install(wanted, start=(NAMES,), report=report, restart=fresh)
    if not eventually(lambda: answers_names(site.address)):
        raise NotAnswered(f"names are not answered at {site.address}", hint=_port_hint(53, NAMES))
    report.lines.append(f"names are answered at {site.address}: {len(site.nodes)} nodes, *.apps.{site.domain}")


def _port_hint(port: int, unit: str) -> str:
    return f"has another program the port? ss --udp --listening --processes 'sport = :{port}'; journalctl -u {unit}"


def _program(name: str, package: str, sources: dict[str, str], report: Report, silence: Sequence[str] = ()) -> str:
    """Where a program is, installed from the crate if need be. Raises `NoPackage`."""
    if not program(name):
        install(package, sources, silence=silence)
        report.changed.append(f"{package} is installed from the crate")
    found = program(name)
    if not found:
        raise NoPackage(f"{package} brought no {name}", hint="look at what apt says: apt-get install " + package)
    return found


def _is_account(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _install(wanted: dict[str, str], *, start: Sequence[str], report: Report, restart: bool = False) -> None:
    """Writes units that differ, enables and (re)starts those of `start`."""
    written = [name for name, text in wanted.items() if _write(UNITS / name, text)]
    if written:
        _systemctl("daemon-reload")
    for name in start:
        if written or restart or not _is_active(name):
            _systemctl("enable", name)
            # the clock's unit notes the time when it stops, which is as good a moment as any
            _systemctl("restart", name)
            report.changed.append(f"{name} is started")


def _take_down(names: Sequence[str]) -> list[str]:
    there = [name for name in names if (UNITS / name).exists()]
    for name in there:
        with suppress(ServiceFailed, FileNotFoundError):  # a machine without systemd running still has the files
            _systemctl("disable", "--now", name)
        (UNITS / name).unlink()
    if there:
        with suppress(ServiceFailed, FileNotFoundError):
            _systemctl("daemon-reload")
    return [f"{name} is gone" for name in there]


def _write(path: Path, text: str) -> bool:
    """Whether the file had to be written."""
    with suppress(FileNotFoundError):
        if path.read_text() == text:
            return False
    path.parent.mkdir(parents=True, exist_ok=True)
    disk.write_whole(path, text.encode(), mode=0o644)
    return True


def _is_active(name: str) -> bool:
    return subprocess.run(["systemctl", "--quiet", "is-active", name], check=False).returncode == 0


def _systemctl(*words: str) -> None:
    done = subprocess.run(["systemctl", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip() or "it failed"
        raise ServiceFailed(f"systemctl {' '.join(words)}: {said}", hint=f"journalctl -u {words[-1]}")

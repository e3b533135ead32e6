"""The list of checks, and one examination: each of them asked, none of them able to end it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from appliance.doctor import certificates, clock, daemon, disks, machine, nodes, pulling, requests, store
from appliance.doctor.findings import Finding, Level, Report, Seen
from appliance.store import Store
from archive.errors import Problem
from archive.progress import SILENT, Progress

Look = Callable[[Store], Iterable[Seen]]


@dataclass(frozen=True, slots=True)
class Check:
    """A name and what to look at. `slow` ones walk through the store, ask nodes or pull over the network."""

    name: str
    look: Look
    slow: bool = False


CHECKS = (
    Check("service", daemon.running),
    Check("unit", daemon.unit, slow=True),
    Check("certificates", certificates.look),
    Check("clock", clock.look),
    Check("disk space", disks.space),
    Check("disk health", disks.health),
    Check("power", machine.power),
    Check("damage", store.damaged),
    Check("lost content", store.lost, slow=True),
    Check("database", store.database, slow=True),
    Check("packs and blobs", store.files, slow=True),
    Check("leftovers", store.leftovers),
    Check("pulling", pulling.look, slow=True),
    Check("nodes", nodes.answer),
    Check("nodes by ssh", nodes.ssh, slow=True),
    Check("names and time", nodes.names_and_time, slow=True),
    Check("firewall", machine.firewall, slow=True),
    Check("requests", requests.look),
)


def examine(store: Store, *, whole: bool = True, progress: Progress = SILENT) -> Report:
    """Runs every check, or those that are not slow; a check that fails becomes a finding. Changes nothing."""
    asked = [check for check in CHECKS if whole or not check.slow]
    with progress.task("examining", len(asked), unit="checks") as task:

        def ask(check: Check) -> list[Finding]:
            task.detail(check.name)
            findings = list(_ask(check, store))
            task.advance(1)
            return findings

        findings = tuple(chain.from_iterable(map(ask, asked)))
    return Report(int(time.time()), whole, findings)


def _ask(check: Check, store: Store) -> Iterator[Finding]:
    try:
        for seen in check.look(store):
            yield Finding(check.name, seen.level, seen.what, seen.remedy)
    except Problem as problem:
        yield Finding(check.name, Level.FATAL, problem.what, problem.hint)
    except (OSError, sqlite3.Error) as error:
        remedy = "look at dmesg; if the disk or card is failing: crate-appliance backup FILE, then replace it"
        yield Finding(check.name, Level.FATAL, f"this could not be looked at: {error}", remedy)

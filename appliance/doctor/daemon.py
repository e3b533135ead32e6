"""Whether the daemon serves, and whether systemd will see to it that it goes on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping

from appliance import listening
from appliance.doctor.findings import Seen, fatal, fine, warning
from appliance.service import UNIT, UNIT_PATH
from appliance.store import Store

_OFTEN = 5  # restarts since boot that are no accident any more


def running(store: Store) -> Iterator[Seen]:
    served = listening.find(store)
    if served is None:
        start = f"systemctl start {UNIT}; journalctl -u {UNIT}"
        remedy = start if UNIT_PATH.exists() else "crate-appliance service install"
        yield fatal(f"nobody serves the store at {store.root}", remedy)
    else:
        plain = f" and {served.plain}" if served.plain else ""
        yield fine(f"it is served at {served.main}{plain}")


def unit(store: Store) -> Iterator[Seen]:
    if not UNIT_PATH.exists() or f" {store.root.absolute()} " not in UNIT_PATH.read_text():
        yield warning("no service starts the daemon at boot", "crate-appliance service install")
        return
    try:
        asked = subprocess.run(
            ["systemctl", "show", UNIT, "--property", "ActiveState,UnitFileState,NRestarts"],
            capture_output=True,
            check=False,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        yield warning("systemd does not answer", "systemctl status")
        return
    yield from judge_unit(dict(line.partition("=")[::2] for line in asked.stdout.splitlines()))


def judge_unit(properties: Mapping[str, str]) -> Iterator[Seen]:
    """Properties as `systemctl show` prints them."""
    state, enabled = properties.get("ActiveState", ""), properties.get("UnitFileState", "")
    restarts = int(properties.get("NRestarts") or 0)
    if state not in {"active", "reloading"}:
        yield fatal(f"the service {UNIT} is {state or 'not there'}", f"systemctl start {UNIT}; journalctl -u {UNIT}")
    if enabled != "enabled":
        yield warning(f"the service {UNIT} does not start at boot", f"systemctl enable {UNIT}")
    if restarts >= _OFTEN:
        yield warning(f"the service {UNIT} was started again {restarts} times", f"journalctl -u {UNIT} says why")
    if state == "active" and enabled == "enabled" and restarts < _OFTEN:
        yield fine(f"the service {UNIT} is active, and starts at boot")

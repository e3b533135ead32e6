"""Starting k3s on a node, and waiting until the node is Ready; in words when it does not become so.

systemd is told to start and not waited for: k3s says that it is up when it is, be that after seconds or after it has
imported gigabytes from a card. Meanwhile the node is asked every second, and a k3s that fails again and again for a
reason that is known is not waited for until the end.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from deploys import operations
from deploys.errors import OperationFailed
from deploys.k3s import failures, layout
from deploys.k3s.here import Here
from deploys.k3s.placement import Placement
from deploys.order import Role
from deploys.running import Run

_EVERY = 1.0  # seconds between looks
_SPEAK = 10.0  # seconds between words about it
_HOPELESS = 4  # starts in vain, after which a known reason is believed
_HOPELESS_ANYWAY = 15  # and after which any is
_LINES = 400  # of the journal
_LIVES = frozenset({"active", "activating", "reloading"})


class NotReady(OperationFailed):
    """k3s does not come up, or the node does not become Ready; `what` and `hint` say why."""


@dataclass(frozen=True, slots=True)
class Life:
    """How k3s does on a node: times in seconds since 1970 by the node's clock, 0 where there is none."""

    active: str
    restarts: int
    started: int
    ready: bool
    beat: int
    complaint: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """From the lines of `_LOOK`."""
        lines, _, node = text.partition("\nnode:")
        found = dict(line.partition("=")[::2] for line in lines.splitlines() if "=" in line)
        condition = _condition(node)
        return cls(
            active=found.get("active", ""),
            restarts=_number(found, "restarts"),
            started=_number(found, "started"),
            ready=condition.get("status") == "True",
            beat=_seconds(condition.get("lastHeartbeatTime", "")),
            complaint=condition.get("message", "").strip(),
        )

    @property
    def well(self) -> bool:
        """Up, and Ready by word of the kubelet of this start: the API remembers an older one's for long."""
        return self.active == "active" and self.ready and self.beat >= self.started > 0


# One look. The kubelet's own kubeconfig is on every node and may read its node.
_LOOK = """\
unit={unit}
echo "active=$(systemctl show -p ActiveState --value $unit)"
echo "restarts=$(systemctl show -p NRestarts --value $unit)"
at=$(TZ=UTC systemctl show -p ExecMainStartTimestamp --value $unit)
if [ -n "$at" ]; then echo "started=$(date -d "$at" +%s)"; fi
echo node:
if [ "$(systemctl show -p ActiveState --value $unit)" = active ] && [ -s {kubeconfig} ]; then
  HOME=/run KUBECONFIG={kubeconfig} {k3s} kubectl get node {node} -o json --request-timeout=10s 2>/dev/null
fi
true
"""


_JOURNAL = """\
read="journalctl -q -u {unit} -o cat --no-pager -n {lines}"
since=$(systemctl show -p InactiveExitTimestamp --value {unit})
if [ -n "$since" ]; then $read --since "$since" 2>/dev/null || $read; else $read; fi || :
"""


def due(here: Here, place: Placement) -> bool:
    """Whether k3s has to be started: it is not running, or it runs from something else than what is to be there."""
    failing = here.active == "activating" and here.restarts > 0
    return failing or here.active not in _LIVES or here.text(layout.STARTED) != place.started


def due_now(run: Run, place: Placement) -> bool:
    """The same, asked anew."""
    text = run.ask(f"systemctl is-active {layout.unit(place.role)} || :; cat {layout.STARTED} 2>/dev/null || :")
    active, _, started = text.partition("\n")
    return active not in _LIVES or started.strip() != place.started.strip()


def start(run: Run, role: Role) -> None:
    """Starts k3s now, anew if it runs, and at every boot from now on; does not wait for it."""
    unit = layout.unit(role)
    # a failed unit waits with its next attempt, and counts those so far
    command = f"systemctl enable --quiet {unit}\nsystemctl reset-failed {unit} 2>/dev/null || :\n"
    command += f"systemctl restart --no-block {unit}\n"
    run.add(operations.run, name="Start k3s", command=command, shown=f"systemctl restart {unit}")


def wait(run: Run, role: Role, seconds: int) -> None:
    """Until the node is Ready. Raises `NotReady` after `seconds`, or earlier when there is no hope."""
    script = _LOOK.format(
        unit=layout.unit(role), kubeconfig=layout.AGENT_KUBECONFIG, k3s=layout.BINARY, node=run.node.name
    )
    began = spoken = time.monotonic()
    while True:
        life = Life.parse(run.ask(script, timeout=60))
        if life.well:
            return
        now = time.monotonic()
        if life.restarts >= _HOPELESS:
            said = _journal(run, role)
            if life.restarts >= _HOPELESS_ANYWAY or failures.known(said):
                raise _not_ready(run, f"k3s does not start on {run.node.name}", said, life)
        if now - began > seconds:
            raise _not_ready(run, f"{run.node.name} is not Ready after {seconds} seconds", _journal(run, role), life)
        if now - spoken > _SPEAK:
            spoken = now
            run.progress(f"waiting for k3s: {life.complaint or life.active}")
        time.sleep(_EVERY)


def _not_ready(run: Run, what: str, journal: str, life: Life) -> NotReady:
    reason = failures.reason(journal)
    if life.complaint and not life.ready and not failures.known(journal):
        return NotReady(f"{what}: {life.complaint}", hint=f"look at the journal of k3s on {run.node.name}")
    return NotReady(f"{what}: {reason.what}", hint=reason.hint or f"look at the journal of k3s on {run.node.name}")


def _journal(run: Run, role: Role) -> str:
    """What k3s wrote since it was last started by hand."""
    unit = layout.unit(role)
    return run.ask(_JOURNAL.format(unit=unit, lines=_LINES), timeout=60)


def _condition(node: str) -> Mapping[str, str]:
    """The condition Ready of a Node object, empty when there is none."""
    try:
        conditions = json.loads(node)["status"]["conditions"]
    except (ValueError, KeyError, TypeError):
        return {}
    return next((each for each in conditions if each.get("type") == "Ready"), {})


def _seconds(time: str) -> int:
    try:
        return int(datetime.fromisoformat(time).timestamp())
    except ValueError:
        return 0


def _number(found: Mapping[str, str], name: str) -> int:
    text = found.get(name, "")
    return int(text) if text.isdigit() else 0

"""The clock of a machine that may have no battery: after a power cut it must not go back, or TLS, apt and logs break.

No time source is in reach, so the best that can be said is a lower bound. The time is at least what the machine says,
what was noted here when it ran last (every quarter of an hour, and when it is shut down), when the newest crate was
made, and what a person has confirmed; the latest of them is taken. A board that was off for a week is a week behind
until somebody says what time it is, and behind is what certificates and signatures can bear.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from appliance.names.errors import BadTime, ClockRefused
from appliance.site.folder import SiteFolder
from appliance.store import Store

Setter = Callable[[float], None]
_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M")
_STEP = 1.0  # seconds: less is not worth a jump


@dataclass(frozen=True)
class Known:
    """What is known of the time, in seconds since 1970; 0 for what is not known."""

    now: float
    saved: float = 0.0
    crate: float = 0.0
    confirmed: float = 0.0


@dataclass(frozen=True)
class Decision:
    """The `time` to go by, and why: `now`, `saved`, `crate` or `confirmed`. `step` is how far the clock is behind."""

    time: float
    because: str
    step: float


def decide(known: Known) -> Decision:
    """The latest time there is evidence for; the clock as it is, when nothing is later than it by a second."""
    evidence = {"saved": known.saved, "crate": known.crate, "confirmed": known.confirmed}
    because = max(evidence, key=lambda one: evidence[one])
    step = evidence[because] - known.now
    if step < _STEP:
        return Decision(known.now, "now", 0.0)
    return Decision(evidence[because], because, step)


def known(store: Store, confirmed: float = 0.0) -> Known:
    """What this machine and the store at hand know."""
    newest = store.database.reader.execute("SELECT max(created) FROM packs").fetchone()[0] or 0
    return Known(time.time(), _saved(SiteFolder(store.root)), float(newest), confirmed)


def restore(store: Store, *, confirmed: float = 0.0, setter: Setter | None = None) -> Decision:
    """Sets the clock forward when it is behind what is known. Raises `ClockRefused`."""
    decision = decide(known(store, confirmed))
    if decision.step:
        (setter or set_clock)(decision.time)
    return decision


def confirm(store: Store, confirmed: float, *, setter: Setter | None = None) -> None:
    """Sets the clock to what a person says, back too, but not to before what is known. Raises `BadTime`."""
    evidence = known(store)
    floor = max(evidence.saved, evidence.crate)
    if confirmed < floor:
        raise BadTime(
            f"{spelled(confirmed)} has passed: it was {spelled(floor)} already",
            hint="compare with another clock; if that one is right, the newest crate was made by a clock ahead",
        )
    (setter or set_clock)(confirmed)


def save(store: Store) -> float:
    """Notes that it is this late already, and returns what was noted; never earlier than what was noted before."""
    folder = SiteFolder(store.root)
    latest = max(time.time(), _saved(folder))
    folder.write(folder.clock, f"{int(latest)}\n".encode())
    return latest


def set_clock(seconds: float) -> None:
    """Sets the machine's clock. Raises `ClockRefused`."""
    try:
        time.clock_settime(time.CLOCK_REALTIME, seconds)
    except OSError as error:
        raise ClockRefused(
            f"the clock cannot be set to {spelled(seconds)}: {error.strerror}",
            hint="run it as root; in a container the clock is the host's, and is set there",
        ) from error


def parse(text: str) -> float:
    """`2026-11-23 12:40`, in UTC. Raises `BadTime`."""
    for form in _FORMATS:
        try:
            return datetime.strptime(text.strip().removesuffix("Z"), form).replace(tzinfo=UTC).timestamp()
        except ValueError:
            continue
    raise BadTime(f"{text[:40]!r} is not a time", hint="write it like 2026-11-23 12:40, in UTC")


def spelled(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _saved(folder: SiteFolder) -> float:
    try:
        return float(folder.clock.read_text())
    except (FileNotFoundError, ValueError):
        return 0.0

"""Time on a node: set once when it is far off, since TLS and apt come next, and then followed from the appliance."""

from __future__ import annotations

import re

from deploys.base.names import Setting
from deploys.order import Order
from deploys.preflight.facts import Facts

CHRONY_FILES = ("/etc/chrony/chrony.conf", "/etc/chrony.conf")
NTP_FILES = ("/etc/ntpsec/ntp.conf", "/etc/ntp.conf")
TIMESYNCD = ("systemd-timesyncd", "/etc/systemd/timesyncd.conf.d/buzzcrate.conf")
_OURS = "# buzzcrate"
_SOURCE = re.compile(r"^(?=\s*(?:pool|server|peer|sourcedir)\s)(.*)$", re.MULTILINE)


def setting_command(now: float) -> str:
    """Sets the clock to `now` (seconds since 1970), and a battery's too where there is one."""
    return f"date -u -s @{now:.0f} && {{ [ ! -e /dev/rtc0 ] || hwclock -w || :; }}"


def follow(facts: Facts) -> tuple[str, str]:
    """Who keeps time on the node, as (service, its file); empty when nobody does."""
    for service, files in (
        ("chrony", CHRONY_FILES),
        ("chronyd", CHRONY_FILES),
        ("ntpsec", NTP_FILES),
        ("ntp", NTP_FILES),
    ):
        found = next((path for path in files if path in facts.paths), "")
        if found and service in facts.active:
            return service, found
    if found := next((path for path in CHRONY_FILES if path in facts.paths and "chronyd" in facts.programs), ""):
        return ("chrony" if found == CHRONY_FILES[0] else "chronyd"), found
    if "systemd-timesyncd" in facts.programs:
        return TIMESYNCD
    return "", ""


def timesyncd(order: Order) -> str:
    return f"[Time]\nNTP={order.crate.address}\nFallbackNTP=\n"


def with_server(text: str, order: Order) -> str:
    """A chrony.conf or ntp.conf that asks the appliance and nobody else."""
    line = f"server {order.crate.address} iburst {_OURS}"
    if line in text.splitlines():
        return text
    others = _SOURCE.sub(rf"{_OURS}: \1", text)
    return f"{others.rstrip()}\n{line}\n".lstrip("\n")


def setting(order: Order, service: str, path: str, text: str) -> Setting:
    """The file that makes `service` follow the appliance, given what it says now."""
    content = timesyncd(order) if service == "systemd-timesyncd" else with_server(text, order)
    return Setting(f"Time from the appliance ({service})", path, content, f"systemctl restart {service}")

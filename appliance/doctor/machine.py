"""The machine around the appliance: its power supply and its firewall."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from appliance import listening
from appliance.doctor.findings import Seen, fine, warning
from appliance.store import Store

_BASE_CHAIN = re.compile(r"chain \S+ \{\s*type filter hook input [^;]*; policy (\w+);(.*?)\n\t\}", re.DOTALL)


def power(_store: Store) -> Iterator[Seen]:
    yield from judge_power(Path("/sys"))


def judge_power(sys: Path) -> Iterator[Seen]:
    """Some boards notice when their supply is too weak, which is what cards and disks die of."""
    for name in sorted(sys.glob("class/hwmon/*/name")):
        alarm = name.parent / "in0_lcrit_alarm"
        if name.read_text().strip() == "rpi_volt" and alarm.exists():
            if alarm.read_text().strip() == "0":
                yield fine("the power supply is strong enough")
            else:
                yield warning(
                    "the power supply is too weak: the voltage fell below 4.63 V",
                    "use the supply that belongs to the board, and a short cable; "
                    "give disks on USB a supply of their own",
                )


def firewall(store: Store) -> Iterator[Seen]:
    served = listening.find(store)
    program = shutil.which("nft", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if served is None or program is None or os.geteuid() != 0:
        return
    try:
        rules = subprocess.run([program, "list", "ruleset"], capture_output=True, check=False, timeout=20, text=True)
    except (OSError, subprocess.TimeoutExpired):
        return
    ports = [int(address.rpartition(":")[2]) for address in (served.main, served.plain) if address]
    yield from judge_rules(rules.stdout, ports)


def judge_rules(rules: str, ports: list[int]) -> Iterator[Seen]:
    """`rules` as `nft list ruleset` prints them. No more is said than that a port is nowhere named."""
    if not any(policy == "drop" for policy, _ in _BASE_CHAIN.findall(rules)):
        yield fine("no firewall here drops what it does not know")
        return
    missing = [port for port in ports if not re.search(rf"\b{port}\b", rules)]
    for port in missing:
        yield warning(
            f"this machine's firewall drops what it does not know, and no rule of it names port {port}",
            f"allow {port}/tcp on the nodes' network, for instance: ufw allow {port}/tcp",
        )
    if not missing:
        yield fine("this machine's firewall has rules for the ports that are served")

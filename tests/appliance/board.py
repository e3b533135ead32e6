"""A booted appliance for tests: crate-appliance on it from a stick, served, with the packages of names and time."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.lab import Lab, lab
from tests.support.sticks import stick
from tests.support.tools import tool

SECTION = """\
platforms = ["linux/amd64"]
python = ["3.11"]
packages = []

[[apt]]
name = "debian"
packages = ["dnsmasq-base", "chrony"]
architectures = ["amd64"]
"""
# What `install --site` does with names and time, and nothing else of it.
_SETUP = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from appliance.names import setting_up
from appliance.site.model import Site
from appliance.store import Store
with Store.open(Path("/var/lib/crate")) as store:
    print(json.dumps(asdict(setting_up.setup(Site.load(Path(sys.argv[1])), store))))
"""
_BARE = "from appliance.names import setting_up; setting_up.apt_sources = lambda *_: {}"
_TEARDOWN = """
import json
from pathlib import Path
from appliance.names import setting_up
print(json.dumps(setting_up.teardown(Path("/var/lib/crate"))))
"""


class Board:
    """The appliance of the room, with crate-appliance on it, served and reachable."""

    def __init__(self, room: Lab) -> None:
        self.room = room
        self.machine = room.appliance

    def python(self, script: str, *words: str) -> str:
        command = f"/opt/buzzcrate/current/bin/python - {' '.join(words)}"
        return self.machine.run(command, given=script).stdout

    def setup(self, text: str, *, bare: bool = False) -> dict[str, list[str]]:
        """With `bare`, as if the crate carried no packages."""
        self.machine.run("cat >/root/site.toml", given=text)
        told: dict[str, list[str]] = json.loads(self.python(_BARE * bare + _SETUP, "/root/site.toml"))
        return told

    def teardown(self) -> list[str]:
        """What was taken down, as `uninstall` would."""
        told: list[str] = json.loads(self.python(_TEARDOWN))
        return told

    def ask(self, *words: str) -> str:
        """Asked from another machine of the room."""
        return self.room.here([tool("dig"), "@10.77.0.1", "+tries=1", "+short", *words], check=False).stdout.strip()

    def stratum(self) -> int:
        """What the time server says of itself (RFC 5905, 7.3), to another machine of the room."""
        script = "from appliance.names.probing import stratum; print(stratum('10.77.0.1'))"
        return int(self.room.here([sys.executable, "-c", script]).stdout)

    def active(self, unit: str) -> bool:
        return self.machine.run(f"systemctl is-active {unit}", check=False).returncode == 0


@contextmanager
def board(folder: Path) -> Iterator[Board]:
    """The board, for as long as the context lasts; its stick is built in `folder`."""
    made = stick(folder, serial=1, section=SECTION)
    with lab(nodes=1, appliance=True) as room:
        shutil.copytree(made.folder, room.appliance.media, dirs_exist_ok=True)
        room.appliance.run(f"sh /media/install.sh --fingerprint {made.key.fingerprint}")
        room.appliance.run("crate-appliance service install")
        yield Board(room)

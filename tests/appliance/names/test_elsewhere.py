"""Where systemd cannot start anything for the site, nothing of the machine is touched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.appliance.site.files import site
from tests.support.tools import root, tool

_SETUP = """
import sys
from pathlib import Path
from appliance.names import clock, setting_up
from appliance.site.model import Site
from appliance.store import Store
clock.set_clock = setting_up._write = setting_up._systemctl = None  # whatever is called of them fails
with Store.open(Path(sys.argv[1]) / "root") as store:
    print(*setting_up.setup(Site.load(Path(sys.argv[1]) / "site.toml"), store).warnings)
"""


def test_in_a_network_of_its_own_nothing_is_set_up(tmp_path: Path) -> None:
    """What a test or a container without an init does: systemd, if there is one, is on another network."""
    root("a network namespace")
    (tmp_path / "site.toml").write_text(site(1))
    command = [tool("unshare"), "--net", sys.executable, "-c", _SETUP, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "names and time are not set up: that needs root, and a systemd on the same network" in done.stdout

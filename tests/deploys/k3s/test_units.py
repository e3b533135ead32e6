"""The units of k3s, as systemd reads them."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from deploys.k3s import units
from deploys.order import Role
from tests.support.tools import tool


@pytest.mark.parametrize("role", ["server", "agent"])
def test_systemd_finds_nothing_to_complain_about(role: Role, tmp_path: Path) -> None:
    # the program is not on this machine; everything else is held to systemd's own reading
    text = units.text(role).replace("/usr/local/bin/k3s ", "/bin/true ")
    unit = tmp_path / ("k3s.service" if role == "server" else "k3s-agent.service")
    unit.write_text(text)
    checked = subprocess.run(
        [tool("systemd-analyze"), "verify", str(unit)], check=False, capture_output=True, text=True, timeout=60
    )
    assert str(unit.name) not in checked.stderr + checked.stdout
    assert checked.returncode == 0


def test_the_list_is_what_sha256sum_writes_for_these_files() -> None:
    config = b"config\n"
    listed = units.started_with("server", "ab" * 32, config.decode(), "token\n", "registries\n")
    assert listed.splitlines()[0] == f"{'ab' * 32}  /usr/local/bin/k3s"
    assert listed.splitlines()[2] == f"{hashlib.sha256(config).hexdigest()}  /etc/rancher/k3s/config.yaml"
    assert len(listed.splitlines()) == 5
    assert all(path in units.text("server") for path in (line.split()[1] for line in listed.splitlines()))


def test_the_binary_can_be_told_from_the_list() -> None:
    assert units.binary_of(units.started_with("server", "cd" * 32, "", "", "")) == "cd" * 32
    assert not units.binary_of("")

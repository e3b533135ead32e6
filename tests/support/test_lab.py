"""The lab itself: what it promises to those who test on it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.lab import Lab, Spec, lab
from tests.support.lab.network import APPLIANCE
from tests.support.lab.roots import KEPT
from tests.support.ports import wait_until

_DUMMY_ROUTE = "ip link add gap0 type bridge; ip addr add 203.0.113.254/31 dev gap0; ip link set gap0 up; \
ip route add default via 203.0.113.255 dev gap0"


@pytest.fixture(scope="module")
def site() -> Iterator[Lab]:
    specs = [
        Spec("n1"),
        Spec("n2", clock="1970-01-02 00:00:00"),
        Spec("n3", suite="trixie", disk=300),
        Spec("n4", off=True),
    ]
    with lab(specs, appliance=True) as made:
        yield made


def test_machines_are_bare_debians_that_finished_booting(site: Lab) -> None:
    for name, suite in (("n1", "12"), ("n2", "12"), ("n3", "13")):
        told = site[name].ssh(f"hostname; systemctl is-system-running --wait; cat /etc/debian_version; {_WHICH}").stdout
        hostname, state, version, *programs = told.split()
        assert (hostname, state, version.split(".")[0], programs) == (name, "running", suite, [])
    assert site.appliance.ssh(_WHICH).stdout == "/usr/bin/python3\n"
    assert site.appliance.address == APPLIANCE


_WHICH = "command -v python3 || command -v curl || true"


def test_nobody_on_a_machine_can_set_the_clock(site: Lab) -> None:
    for machine in (site["n1"], site.appliance):
        for told in (machine.run("date -s 2020-01-01", check=False), machine.ssh("date -s 2020-01-01", check=False)):
            assert "Operation not permitted" in told.stderr


def test_a_machine_without_a_battery_lives_in_1970_until_somebody_sets_its_clock(site: Lab) -> None:
    node = site["n2"]
    assert node.ssh("date -u +%F").stdout.startswith("1970-01-02")
    node.ssh("date -u -s @1700000000")
    assert node.ssh("date -u '+%F %H:%M'").stdout == "2023-11-14 22:13\n"
    assert not node.run("date +%Y").stdout.startswith(("1970", "2023"))


def test_a_small_disk_is_full_soon(site: Lab) -> None:
    told = site["n3"].run("head -c 400M /dev/zero >/var/big; rm /var/big", check=False)
    assert "No space left on device" in told.stderr


def test_what_wants_out_is_counted_even_where_it_dies(site: Lab) -> None:
    node = site["n1"]
    node.run(f"{_DUMMY_ROUTE}; timeout 1 bash -c 'echo >/dev/tcp/10.77.0.1/22'")
    assert site.escaped() == 0, site.escaped_to()
    node.run("timeout 1 bash -c 'echo >/dev/tcp/198.51.100.7/443' || true; echo x >/dev/udp/198.51.100.8/53 || true")
    node.run("bash -c 'echo x >/dev/udp/198.51.100.8/53'")
    assert site.escaped() >= 2
    assert site.escaped_to() == ["198.51.100.7", "198.51.100.8"]
    node.restart()
    assert site.escaped() >= 2
    assert "default" not in node.run("ip route").stdout


def test_a_reboot_ends_what_ran_and_keeps_what_was_written(site: Lab) -> None:
    node = site["n1"]
    node.write("/root/kept", "still here")
    node.run("touch /run/gone")
    node.reboot()
    assert node.read("/root/kept") == "still here"
    assert not node.exists("/run/gone")


def test_a_machine_that_was_off_comes_up(site: Lab) -> None:
    node = site["n4"]
    assert node.ssh("true", check=False).returncode == 255
    node.start()
    assert node.ssh("hostname").stdout == "n4\n"


def test_the_hub_knows_the_machines_by_name(site: Lab) -> None:
    assert site.here(["getent", "hosts", "n1"]).stdout.split()[0] == "10.77.0.11"


def test_what_a_killed_run_left_goes_with_the_next_one() -> None:
    script = "from tests.support.lab import lab\nwith lab(1) as l: print(l.folder.name, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        left = process.stdout.readline().strip()
        process.send_signal(signal.SIGKILL)
    machine = KEPT / "labs" / left / "machines/n1"
    pid = int((machine / "pid").read_text())
    assert Path(f"/proc/{pid}").exists()
    with lab(1) as other:
        assert not machine.exists()
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the end of the machine that was left")
        spaces = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
        assert left not in spaces
        assert other.folder.name in spaces

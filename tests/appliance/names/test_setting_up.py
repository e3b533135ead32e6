"""Names and time on a booted board, from a stick that carries their packages: set up, asked by others, taken down."""

from __future__ import annotations

from tests.appliance.board import Board
from tests.appliance.site.files import site
from tests.support.ports import wait_until

_QUERY = (
    "chronyd -Q -x -t 8 -u root 'server 10.77.0.1 iburst maxsamples 1' 'cmdport 0' 'bindcmdaddress /'"
    " 'pidfile /run/query.pid'"
)


def test_without_the_packages_it_says_what_to_add_and_stops_nothing(board: Board) -> None:
    told = board.setup(site(1), bare=True)
    for package, warning in zip(("chrony", "dnsmasq-base"), told["warnings"], strict=True):
        assert warning.startswith(f"{package} is missing, and the crate carries no packages for Debian")
        assert f'[[apt]] packages = ["{package}"]' in warning
    # the clock needs no package
    assert board.active("buzzcrate-clock.service")
    assert board.teardown()


def test_names_and_time_come_from_the_crate_and_go_again(board: Board) -> None:
    before = board.machine.run("ls /etc/systemd/system /etc/buzzcrate", check=False).stdout
    text = site(1)
    told = board.setup(text)
    assert told["warnings"] == []
    assert "dnsmasq-base is installed from the crate" in told["changed"]
    assert "chrony is installed from the crate" in told["changed"]

    assert board.ask("n1.crate.internal") == "10.77.0.11"
    assert board.ask("crate.internal") == "10.77.0.1"
    assert board.ask("-x", "10.77.0.11") == "n1.crate.internal."
    assert board.ask("shop.apps.crate.internal") == "10.77.0.11"
    assert board.ask("example.org") == ""
    log = board.machine.run("cat /var/lib/crate/site/names.log").stdout
    assert "10.77.0.254" in next(line for line in log.splitlines() if "config example.org is NXDOMAIN" in line)

    # a real client believes the server, and hears how far it is from a reference clock
    said = board.machine.run(_QUERY, check=False)
    assert "System clock wrong by" in said.stdout + said.stderr
    assert board.stratum() == 10
    # the distribution's own service, which asks the internet, was kept from starting
    assert not board.active("chrony.service")
    assert board.machine.run("systemctl is-enabled chrony.service", check=False).stdout.strip() == "disabled"

    again = board.setup(text)
    assert (again["changed"], again["warnings"]) == ([], [])
    moved = board.setup(text.replace("10.77.0.11", "10.77.0.31"))
    assert moved["changed"] == ["buzzcrate-names.service is started"]
    assert board.ask("n1.crate.internal") == "10.77.0.31"

    board.machine.reboot()
    assert board.active("buzzcrate-clock.service")
    wait_until(lambda: board.active("buzzcrate-time.service") and not board.ask("crate").startswith(";;"), "names")
    assert board.ask("n1.crate.internal") == "10.77.0.31"
    assert board.stratum() == 10

    only_time = board.setup(text.replace("[[nodes]]", "names = false\n[[nodes]]", 1))
    assert only_time["changed"] == ["buzzcrate-names.service is gone"]
    assert board.ask("n1.crate.internal").startswith(";;")
    gone = board.teardown()
    assert "buzzcrate-time.service is gone" in gone
    assert board.machine.run("ls /etc/systemd/system /etc/buzzcrate", check=False).stdout == before
    assert board.teardown() == []
    assert board.room.escaped() == 0


def test_a_port_that_somebody_else_has_is_a_warning(board: Board) -> None:
    squat = "import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('10.77.0.1', 53)); time.sleep(600)"
    board.machine.run(f'systemd-run --unit=squatter --property=Type=exec python3 -c "{squat}"')
    try:
        told = board.setup(site(1))
        (warning,) = told["warnings"]
        assert warning.startswith("names are not answered at 10.77.0.1 (has another program the port?")
        assert "buzzcrate-names.service" in warning
    finally:
        board.machine.run("systemctl stop squatter")
    assert board.setup(site(1))["warnings"] == []
    board.teardown()

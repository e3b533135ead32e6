"""What base writes, and what it makes of the files that it finds. No board needed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deploys.base import clock, kernel, names, network, sources
from tests.deploys.preflight.cards import facts, order
from tests.support.tools import tool

HOSTS = {
    "a fresh board": (
        "127.0.0.1 localhost\n",
        "127.0.0.1 localhost\n10.77.0.1 crate.internal # buzzcrate\n10.77.0.11 n1.crate.internal n1 # buzzcrate\n",
    ),
    "a board that knows its name": (
        "127.0.0.1 localhost\n127.0.1.1 n1\n",
        "127.0.0.1 localhost\n127.0.1.1 n1\n10.77.0.1 crate.internal # buzzcrate\n",
    ),
    "a board whose appliance has moved": (
        "127.0.1.1 n1 # mine\n10.1.1.1 crate.internal # buzzcrate\n",
        "127.0.1.1 n1 # mine\n10.77.0.1 crate.internal # buzzcrate\n",
    ),
    "no file, as Arch Linux ARM may have it": (
        "",
        "10.77.0.1 crate.internal # buzzcrate\n10.77.0.11 n1.crate.internal n1 # buzzcrate\n",
    ),
}


@pytest.mark.parametrize(("text", "wanted"), HOSTS.values(), ids=HOSTS)
def test_hosts(text: str, wanted: str) -> None:
    site = order()
    assert names.hosts(text, site, site.nodes[0]) == wanted
    assert names.hosts(wanted, site, site.nodes[0]) == wanted


RESOLVERS = {
    "nobody writes resolv.conf": ("", ["/etc/resolv.conf"]),
    "systemd-resolved behind its stub": (
        "active systemd-resolved\nresolv-link ../run/systemd/resolve/stub-resolv.conf",
        ["/etc/systemd/resolved.conf.d/buzzcrate.conf"],
    ),
    "systemd-resolved beside a plain file": (
        "active systemd-resolved",
        ["/etc/systemd/resolved.conf.d/buzzcrate.conf", "/etc/resolv.conf"],
    ),
    "NetworkManager": ("active NetworkManager", ["/etc/NetworkManager/conf.d/90-buzzcrate.conf", "/etc/resolv.conf"]),
    "dhclient": (
        "path /etc/dhcp/dhclient-enter-hooks.d",
        ["/etc/dhcp/dhclient-enter-hooks.d/buzzcrate", "/etc/resolv.conf"],
    ),
}


@pytest.mark.parametrize(("more", "paths"), RESOLVERS.values(), ids=RESOLVERS)
def test_whoever_writes_resolv_conf_is_told(more: str, paths: list[str]) -> None:
    found = list(names.resolver(order(), facts(more)))
    assert [setting.path for setting in found] == paths
    assert "10.77.0.1" in found[0].content + found[-1].content


def test_dhcpcd_leaves_resolv_conf_alone() -> None:
    text = names.dhcpcd("interface eth0\nstatic ip_address=10.77.0.11/24\n")
    assert text.startswith("nohook resolv.conf # buzzcrate\ninterface eth0\n")
    assert names.dhcpcd(text) == text


POD_RESOLVERS = {
    "the appliance": ("", {}, ["10.77.0.1"]),
    "the board's own, when the crate answers no names": (
        "nameserver 10.77.0.53",
        {"base.resolver": False},
        ["10.77.0.53"],
    ),
    "the appliance all the same, rather than none": ("nameserver 127.0.0.53", {"base.resolver": False}, ["10.77.0.1"]),
}


@pytest.mark.parametrize(("more", "changes", "asked"), POD_RESOLVERS.values(), ids=POD_RESOLVERS)
def test_pods_ask(more: str, changes: dict[str, object], asked: list[str]) -> None:
    setting = names.for_kubelet(order(changes), facts(more, without=("nameserver",)))
    assert [line.split()[1] for line in setting.content.splitlines() if line.startswith("nameserver")] == asked


KEEPERS = {
    "nobody": ("", ("", "")),
    "timesyncd": ("program systemd-timesyncd", clock.TIMESYNCD),
    "chrony of Debian": (
        "program systemd-timesyncd\nprogram chronyd\nactive chrony\npath /etc/chrony/chrony.conf",
        ("chrony", "/etc/chrony/chrony.conf"),
    ),
    "chrony of Arch Linux": ("program chronyd\npath /etc/chrony.conf", ("chronyd", "/etc/chrony.conf")),
    "ntpsec": ("active ntpsec\npath /etc/ntpsec/ntp.conf", ("ntpsec", "/etc/ntpsec/ntp.conf")),
}


@pytest.mark.parametrize(("more", "keeper"), KEEPERS.values(), ids=KEEPERS)
def test_who_keeps_time(more: str, keeper: tuple[str, str]) -> None:
    assert clock.follow(facts(more)) == keeper


def test_chrony_asks_the_appliance_and_nobody_else() -> None:
    text = "# Debian's\npool 2.debian.pool.ntp.org iburst\nsourcedir /run/chrony-dhcp\nmakestep 1 3\n"
    changed = clock.with_server(text, order())
    assert changed == (
        "# Debian's\n# buzzcrate: pool 2.debian.pool.ntp.org iburst\n# buzzcrate: sourcedir /run/chrony-dhcp\n"
        "makestep 1 3\nserver 10.77.0.1 iburst # buzzcrate\n"
    )
    assert clock.with_server(changed, order()) == changed


SOURCES = {
    "a line of the internet": (
        "/etc/apt/sources.list",
        "deb http://mirror.example.org/debian bookworm main\n# mine\ndeb-src [arch=arm64] https://example.org x y\n",
        (
            "# buzzcrate: deb http://mirror.example.org/debian bookworm main\n# mine\n"
            "# buzzcrate: deb-src [arch=arm64] https://example.org x y\n"
        ),
    ),
    "media, files and the next room": (
        "/etc/apt/sources.list",
        "deb cdrom:[Debian]/ bookworm main\ndeb file:/srv/debs ./\ndeb http://192.168.1.9/debs ./\n",
        "deb cdrom:[Debian]/ bookworm main\ndeb file:/srv/debs ./\ndeb http://192.168.1.9/debs ./\n",
    ),
    "two stanzas, one of them of files": (
        "/etc/apt/sources.list.d/debian.sources",
        (
            "# head\nTypes: deb\nURIs: http://mirror.example.org/debian\nSuites: bookworm\n\n\n"
            "Types: deb\nURIs: file:/srv\nSuites: ./\n"
        ),
        (
            "# head\nEnabled: no\nTypes: deb\nURIs: http://mirror.example.org/debian\nSuites: bookworm\n\n\n"
            "Types: deb\nURIs: file:/srv\nSuites: ./\n"
        ),
    ),
    "a stanza that says that it is enabled, with its addresses on lines of their own": (
        "/etc/apt/sources.list.d/ubuntu.sources",
        "Enabled: yes\nTypes: deb\nURIs:\n file:/srv\n https://mirror.example.org/ubuntu\nSuites: noble\n",
        "Enabled: no\nTypes: deb\nURIs:\n file:/srv\n https://mirror.example.org/ubuntu\nSuites: noble\n",
    ),
    "pacman's repositories": (
        "/etc/pacman.conf",
        "[options]\nHoldPkg = pacman\n\n[core]\nInclude = /etc/pacman.d/mirrorlist\n\n[local]\nServer = file:///srv\n",
        (
            "[options]\nHoldPkg = pacman\n\n# buzzcrate: [core]\n# buzzcrate: Include = /etc/pacman.d/mirrorlist\n\n"
            "[local]\nServer = file:///srv\n"
        ),
    ),
}


@pytest.mark.parametrize(("path", "text", "wanted"), SOURCES.values(), ids=SOURCES)
def test_what_the_internet_would_serve_is_put_out_of_use(path: str, text: str, wanted: str) -> None:
    assert sources.without_internet(path, text) == wanted
    assert sources.without_internet(path, wanted) == wanted


def test_a_node_gets_the_repositories_of_its_own_release() -> None:
    both = "Types: deb\nSuites: bookworm bookworm-updates\n\n\nTypes: deb\nSuites: trixie\nSigned-By:\n key\n .\n"
    anyone = "Types: deb\nSuites: stable\n"
    repositories = [
        {"name": "debian", "suites": ["bookworm", "trixie"], "text": both},
        {"name": "tools", "suites": ["stable"], "text": anyone},
        {"name": "ubuntu", "suites": ["noble"], "text": "Types: deb\nSuites: noble/stable\n"},
    ]
    site = order({"crate.apt": repositories})
    assert [(source.name, source.text) for source in sources.fitting(site, "trixie")] == [
        ("debian", "Types: deb\nSuites: trixie\nSigned-By:\n key\n .\n"),
        ("tools", anyone),
    ]
    assert [source.name for source in sources.fitting(site, "bookworm")] == ["debian", "tools"]
    assert [source.name for source in sources.fitting(site, "")] == ["tools"]


def test_modules_that_are_built_in_are_not_loaded() -> None:
    assert kernel.to_load(facts()) == ("overlay", "br_netfilter", "vxlan")
    assert kernel.modules(kernel.to_load(facts())) == "overlay\nbr_netfilter\nvxlan\n"


ROUTES = {
    "none": (("route",), "", True),
    "ours": (("route",), "route default via 203.0.113.255 dev buzzcrate0 metric 1000", True),
    "a real one": ((), "", False),
    "a real one beside ours": ((), "route default via 203.0.113.255 dev buzzcrate0 metric 1000", False),
}


@pytest.mark.parametrize(("without", "more", "needed"), ROUTES.values(), ids=ROUTES)
def test_when_a_default_route_is_made(without: tuple[str, ...], more: str, needed: bool) -> None:
    assert network.needs_route(facts(more, without=without)) is needed


def test_who_may_reach_the_fenced_ports() -> None:
    site = order({"crate.address": "192.168.9.1"})
    assert network.friends(site) == ("10.77.0.0/24", "10.42.0.0/16", "10.43.0.0/16", "192.168.9.1/32")


def test_the_fence_is_one_that_nft_takes(tmp_path: Path) -> None:
    (tmp_path / "rules").write_text(network.nftables([*network.friends(order()), "fd00::/64"]))
    done = subprocess.run(
        [tool("unshare"), "-rn", tool("nft"), "-c", "-f", tmp_path / "rules"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", [network.route_unit("dummy"), *map(network.firewall_unit, ("nft", "iptables"))])
def test_units_are_ones_that_systemd_takes(tmp_path: Path, text: str) -> None:
    unit = tmp_path / "buzzcrate-x.service"
    unit.write_text(text)
    done = subprocess.run([tool("systemd-analyze"), "verify", unit], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")

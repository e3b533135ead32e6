"""Preflight and base on real machines: planned, done, done again, and undone to the byte."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploys.events import Began, Ended, Operation
from tests.deploys.runs import PEM, order, run, start, tree
from tests.support.lab import Lab, Node
from tests.support.tools import tool

_NODES = ("n1", "n2", "n3")


@pytest.fixture(autouse=True)
def unchanged(site: Lab) -> Iterator[None]:
    """Every test here leaves all machines as it found them, by way of a reset, to the byte of /etc."""
    before = {node.name: _state(node) for node in site.nodes}
    yield
    touched = [node.name for node in site.nodes if node.exists("/var/lib/buzzcrate")]
    if touched:
        told = run(site, order(site, task="reset", limit=touched))
        assert told.code == 0, told
    for node in site.nodes:
        assert _state(node).splitlines() == before[node.name].splitlines()
    assert not any(node.exists("/var/lib/buzzcrate") for node in site.nodes)


def _state(node: Node) -> str:
    """/etc, and what of the running system base may touch."""
    running = (
        "ip route; iptables -S INPUT; uname -n; cat /proc/sys/net/ipv4/ip_forward; dpkg-query -W; ls /sys/class/net"
    )
    return tree(node) + node.run(running).stdout


def test_a_plan_shows_everything_and_touches_nothing(site: Lab) -> None:
    before = {node.name: _state(node) for node in site.nodes}
    told = run(site, order(site, task="plan"))
    assert told.code == 0, told.log
    assert {node.name: _state(node) for node in site.nodes} == before
    assert not site["n1"].exists("/var/lib/buzzcrate")
    said = told.operations("n1")
    assert "+nameserver 10.77.0.1" in said["Resolver"].diff
    assert said["Resolver"].commands == ("write /etc/resolv.conf (mode 644, root:root)",)
    assert "-deb " in said["No internet in /etc/apt/sources.list"].diff
    assert "systemctl enable buzzcrate-firewall.service" in said["Firewall"].commands
    assert {each.state for each in said.values()} <= {"would change", "unchanged"}
    assert told.ends("base")["n1"].changed == len(told.changes("n1"))


def test_a_node_is_ready_after_one_run_and_the_next_changes_nothing(site: Lab) -> None:
    told = run(site, order(site))
    assert told.code == 0, told
    assert {name: end.state for name, end in told.ends("base").items()} == dict.fromkeys(_NODES, "done")
    assert [(each.wave, each.nodes) for each in told.events if isinstance(each, Began)] == [
        ("preflight", _NODES),
        ("base", _NODES),
    ]
    assert all(each.ok for each in told.events if isinstance(each, Ended))
    for name in _NODES:
        node = site[name]
        assert "10.77.0.1 crate.internal" in node.read("/etc/hosts")
        assert node.read("/etc/resolv.conf").startswith("nameserver 10.77.0.1\n")
        assert node.read("/etc/buzzcrate/resolv.conf").startswith("nameserver 10.77.0.1\n")
        assert node.read("/etc/buzzcrate/ca.pem") == PEM
        assert node.run("ip route show default").stdout.startswith("default via 203.0.113.255 dev buzzcrate0")
        assert node.read("/proc/sys/net/ipv4/ip_forward") == "1\n"
        assert "deb http" not in node.run("grep -rhv '^#' /etc/apt/sources.list /etc/apt/sources.list.d; true").stdout
        assert node.run("systemctl --failed --no-legend").stdout == ""
    assert told.learned("n2")["architecture"] == "amd64"
    assert told.learned("n2")["k3s"] == ""
    again = run(site, order(site))
    assert (again.code, again.changes()) == (0, [])
    assert run(site, order(site, task="plan")).changes() == []


def test_what_base_sets_up_is_there_after_a_restart(site: Lab) -> None:
    run(site, order(site, limit=["n1"]))
    site["n1"].reboot()
    assert "buzzcrate0" in site["n1"].run("ip route show default").stdout
    assert "BUZZCRATE" in site["n1"].run("iptables -S INPUT").stdout
    assert run(site, order(site, limit=["n1"])).changes() == []


FENCES = {
    "n1": ("iptables -vnxL BUZZCRATE", "DROP .*dpt:10250", "RETURN .*10.77.0.0/24"),
    "n3": ("nft list table inet buzzcrate", "", ""),
}


def test_strangers_do_not_reach_the_kubelet_and_the_crate_s_network_does(site: Lab) -> None:
    run(site, order(site))
    hub = site.words(tool("ip"))
    stranger = "192.168.77.1"
    links = subprocess.run([*hub, "-o", "-4", "addr", "show"], check=True, capture_output=True, text=True).stdout
    bridge = next(line.split()[1] for line in links.splitlines() if f"inet {site.address}/" in line)
    subprocess.run([*hub, "addr", "add", f"{stranger}/24", "dev", bridge], check=True)
    try:
        for name in ("n1", "n3"):
            node = site[name]
            node.run(f"ip route add {stranger}/32 dev eth0")
            # a refusal is an answer; silence is the fence
            answers = [_knock(site, source, node.address) for source in (stranger, site.address)]
            node.run(f"ip route del {stranger}/32 dev eth0")
            assert answers == ["silence", "refused"], name
    finally:
        subprocess.run([*hub, "addr", "del", f"{stranger}/24", "dev", bridge], check=True)


_KNOCK = """\
import socket, sys
try:
    socket.create_connection((sys.argv[2], 10250), 1, (sys.argv[1], 0))
except ConnectionRefusedError:
    print("refused", end="")
except TimeoutError:
    print("silence", end="")
"""


def _knock(site: Lab, source: str, address: str) -> str:
    return site.here([sys.executable, "-c", _KNOCK, source, address]).stdout


def test_the_appliance_itself_keeps_its_own_names_and_time(site: Lab) -> None:
    wanted = order(site, limit=["n1"])
    nodes = [node.model_copy(update={"local": node.name == "n1"}) for node in wanted.nodes]
    told = run(site, wanted.model_copy(update={"nodes": tuple(nodes)}))
    assert told.code == 0, told
    assert not {"Resolver", "Time from the appliance (systemd-timesyncd)"} & told.operations("n1").keys()
    assert "Hosts" in told.operations("n1")


def test_a_package_comes_from_the_crate_and_goes_with_the_reset(site: Lab, tmp_path: Path) -> None:
    repository = _repository(tmp_path)
    serve = site.words(sys.executable, "-m", "http.server", "-d", str(repository), "-b", site.address, "8080")
    with subprocess.Popen(serve, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            source = f"Types: deb\nURIs: http://{site.address}:8080/\nSuites: ./\nTrusted: yes\n"
            crate = {
                **order(site).crate.model_dump(mode="json"),
                "apt": [{"name": "tools", "suites": ["./"], "text": source}],
            }
            base = {"domain": "crate.internal", "network": site.subnet, "packages": ["crate-tool"]}
            wanted = order(site, crate=crate, base=base, limit=["n1", "n2"])
            told = run(site, wanted)
            assert told.code == 0, told
            assert told.operations("n1")["Packages"].commands == ("apt-get install crate-tool",)
            assert site["n1"].read("/etc/crate-tool.conf") == "setting\n"
            assert run(site, wanted).changes() == []
        finally:
            server.terminate()


def _repository(folder: Path) -> Path:
    """A flat apt repository with crate-tool, which needs crate-library and has a configuration file."""
    for name, more in (("crate-library", ""), ("crate-tool", "Depends: crate-library\n")):
        root = folder / name
        (root / "DEBIAN").mkdir(parents=True)
        (root / "DEBIAN/control").write_text(
            f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: A <a@example.org>\n{more}Description: x\n"
        )
        if more:
            (root / "DEBIAN/conffiles").write_text("/etc/crate-tool.conf\n")
            (root / "etc").mkdir()
            (root / "etc/crate-tool.conf").write_text("setting\n")
    made = folder / "repository"
    made.mkdir()
    stanzas = []
    for name in ("crate-library", "crate-tool"):
        package = made / f"{name}.deb"
        subprocess.run([tool("dpkg-deb"), "-b", "--root-owner-group", folder / name, package], check=True, stdout=-3)
        control = subprocess.run([tool("dpkg-deb"), "-f", package], check=True, capture_output=True, text=True).stdout
        digest = subprocess.run(["sha256sum", package], check=True, capture_output=True, text=True).stdout.split()[0]
        stanzas.append(f"{control}Filename: ./{name}.deb\nSize: {package.stat().st_size}\nSHA256: {digest}\n")
    (made / "Packages").write_text("\n".join(stanzas))
    return made


def test_a_run_that_is_killed_anywhere_in_base_goes_on_from_there(site: Lab) -> None:
    wanted = order(site, waves=["base"], limit=["n1"])
    for operations in range(1, 12, 2):
        with start(site) as child:
            assert child.stdin
            assert child.stdout
            child.stdin.write(wanted.model_dump_json())
            child.stdin.close()
            done = 0
            for line in child.stdout:
                done += '"event":"operation"' in line
                if done == operations:
                    child.kill()
    assert run(site, wanted).code == 0
    assert run(site, wanted).changes() == []


def test_a_run_that_is_told_to_end_says_so_and_ends(site: Lab) -> None:
    with start(site) as child:
        assert child.stdin
        assert child.stdout
        child.stdin.write(order(site, waves=["base"]).model_dump_json())
        child.stdin.close()
        lines = [child.stdout.readline() for _ in range(3)]
        child.terminate()
        lines += child.stdout.readlines()
        assert child.stderr
        assert child.stderr.read() == ""
    assert child.returncode == 143
    assert sum("told to end" in line for line in lines) >= 1


def test_restarting_a_board_switches_the_memory_cgroup_on(site: Lab) -> None:
    node = site["n1"]
    node.write("/boot/firmware/cmdline.txt", "console=tty1 rootwait\n")
    # as a Raspberry Pi has it, until the next boot
    node.run(
        "awk '$1 == \"memory\" { $4 = 0 } { print }' /proc/cgroups >/run/cgroups; mount -B /run/cgroups /proc/cgroups"
    )
    planned = run(site, order(site, task="plan", limit=["n1"]))
    assert planned.findings("n1")["memory-cgroup"].level == "fixable"
    assert planned.operations("n1")["Restart"].commands == ("systemctl reboot",)
    told = run(site, order(site, limit=["n1"]))
    assert told.code == 0, told
    assert node.read("/boot/firmware/cmdline.txt") == "console=tty1 rootwait cgroup_memory=1 cgroup_enable=memory\n"
    assert run(site, order(site, limit=["n1"])).changes() == []
    assert run(site, order(site, task="reset", limit=["n1"])).code == 0
    assert node.read("/boot/firmware/cmdline.txt") == "console=tty1 rootwait\n"
    node.run("rm -r /boot/firmware")


def test_an_operation_says_what_it_will_do_before_it_does_it(site: Lab) -> None:
    told = run(site, order(site, waves=["base"], limit=["n1"]))
    said = [each for each in told.events if isinstance(each, Operation) or each.event == "progressed"]
    first = next(index for index, each in enumerate(said) if isinstance(each, Operation) and each.state == "changed")
    assert said[first - 1].event == "progressed"
    assert textwrap.shorten(said[first - 1].model_dump_json(), 200).count(getattr(said[first], "name")) == 1  # noqa: B009

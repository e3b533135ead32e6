"""A site file's mistakes are named where they stand, and what it leaves out is what anybody would expect."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from appliance.site import networks
from appliance.site.errors import NoSite, NotHere, SiteInvalid
from appliance.site.folder import SiteFolder
from appliance.site.model import Site
from tests.appliance.site.files import HEAD, node, site


def load(folder: Path, text: str) -> Site:
    path = folder / "site.toml"
    path.write_text(text)
    return Site.load(path)


WHOLE = """\
[site]
name = "workshop"
address = "10.77.0.11"
network = "10.77.0.0/24"
domain = "lab.example.org"
time = false

[ssh]
user = "pi"
sudo = true
port = 2222

[cluster]
k3s = "v1.36.4+k3s1"
profiles = ["metallb", "demo"]
embedded-registry = true
settings = { flannel-backend = "host-gw" }

[base]
packages = ["nfs-common"]
foreign-sources = "keep"

[profiles.metallb]
range = "10.77.0.200-10.77.0.220"

[[nodes]]
name = "n1"
address = "10.77.0.11"
role = "server"
port = 22
labels = { "example.org/disk" = "ssd" }

[[nodes]]
name = "n2"
address = "10.77.0.12"
taints = ["dedicated=builds:NoSchedule"]
"""


def test_a_whole_site_is_read(tmp_path: Path) -> None:
    found = load(tmp_path, WHOLE)
    first, second = found.nodes
    assert (first.role, first.port, first.local, first.labels) == ("server", 22, True, {"example.org/disk": "ssd"})
    assert (second.role, second.port, second.local) == ("agent", 2222, False)
    assert second.taints == ("dedicated=builds:NoSchedule",)
    assert (found.apps, found.domain, found.table.time) == ("10.77.0.200", "lab.example.org", False)
    assert (found.base.foreign_sources, found.cluster.embedded_registry) == ("keep", True)
    assert found.text == WHOLE


APPS = {
    "where the file says": (HEAD + 'apps = "10.77.0.9"\n' + node(1, "server"), "10.77.0.9"),
    "at the first server": (HEAD + node(1) + node(2, "server"), "10.77.0.12"),
    "at the first address of MetalLB": (
        site(1, '[cluster]\nprofiles = ["metallb"]\n[profiles.metallb]\nrange = "10.77.0.192/28"\n'),
        "10.77.0.192",
    ),
}


@pytest.mark.parametrize(("text", "address"), APPS.values(), ids=APPS)
def test_applications_are_found(tmp_path: Path, text: str, address: str) -> None:
    assert load(tmp_path, text).apps == address


METALLB = '[cluster]\nprofiles = ["metallb"]\n[profiles.metallb]\nrange = "{}"\n'
# the file, the line that is named, words of the message, words of the hint
MISTAKES = {
    "no site table": ("[ssh]\n", 1, "site: this is missing", "[site]"),
    "a key that is nearly right": (site(1, "[base]\nfirewal = true\n"), 6, "base.firewal: nothing", "firewall?"),
    "an unknown table": (site(1, "[clutser]\n"), 5, "clutser: nothing", "cluster?"),
    "what is not TOML": (HEAD + "[[nodes]\n", 5, "not TOML", "docs/site.md"),
    "a name with capitals": (
        HEAD + '[[nodes]]\nname = "Pi"\naddress = "10.77.0.11"\n',
        6,
        "'Pi' cannot be",
        "RFC 1123",
    ),
    "a name that is too long": (site().replace('"n1"', f'"{"n" * 64}"'), 7, "cannot be the name of a machine", "63"),
    "an address that is none": (site().replace("10.77.0.11", "10.77.0.311"), 8, "is not an IPv4 address", "10.77"),
    "a network that is an address": (site().replace("0.0/24", "0.1/24"), 4, "not a network", '"10.77.0.0/24"'),
    "two nodes of one name": (
        HEAD + node(1, "server") + node(1).replace("0.11", "0.12"),
        12,
        "two nodes are called n1",
        "another name",
    ),
    "two nodes of one address": (
        HEAD + node(1, "server") + node(2).replace("0.12", "0.11"),
        13,
        "n1 and n2 both have the address 10.77.0.11",
        "correct one",
    ),
    "a node elsewhere": (site().replace("77.0.11", "78.0.11"), 8, "10.78.0.11 of n1 is not in the network", "[site]"),
    "a node that is the network": (site().replace("0.11", "0.255"), 8, "is the network itself", "another"),
    "an appliance elsewhere": (site().replace('77.0.1"', '78.0.1"'), 3, "10.78.0.1 is not in the network", "correct"),
    "no nodes": (HEAD, 1, "the site has no nodes", "nodes add"),
    "no server": (HEAD + node(1), 6, "no node is a server", 'role = "server"'),
    "two servers": (HEAD + node(1, "server") + node(2, "server"), 6, "2 nodes are servers", "an odd number"),
    "an unknown role": (site().replace('"server"', '"master"'), 9, "nodes[1].role", ""),
    "a node in the way of applications": (site().replace('"n1"', '"apps"'), 7, "is for applications", "another name"),
    "a node in the way of the appliance": (
        site().replace('"n1"', '"crate"').replace("[[", 'domain = "internal"\n[[', 1),
        8,
        "crate.internal is the appliance",
        "another name",
    ),
    "a label that Kubernetes refuses": (site() + 'labels = { "a b" = "c" }\n', 10, "a b=c is not a label", "letters"),
    "a taint without effect": (site() + 'taints = ["builds"]\n', 10, "'builds' is not a taint", "NoSchedule"),
    "a token": (
        site(1, '[cluster.settings]\ntoken = "s3cret"\n'),
        6,
        "cluster.settings.token: token is not for the site to set",
        "shown in plans",
    ),
    "pods in no network": (
        site(1, '[cluster.settings]\ncluster-cidr = "10.42.0.0/8x"\n'),
        6,
        "cluster.settings.cluster-cidr: cluster-cidr = '10.42.0.0/8x' is no network",
        "10.42.0.0/16",
    ),
    "a short k3s version": (site(1, '[cluster]\nk3s = "1.36"\n'), 6, "is not a k3s release", "v1.36.4+k3s1"),
    "settings for nobody": (
        site(1, '[cluster]\nprofiles = ["demo"]\n[profiles.demos]\n'),
        7,
        "demos is not among the profiles",
        "did you mean demo?",
    ),
    "a profile twice": (site(1, '[cluster]\nprofiles = ["demo", "demo"]\n'), 6, "demo is named twice", "remove"),
    "MetalLB without a range": (site(1, '[cluster]\nprofiles = ["metallb"]\n'), 6, "needs a range", "range = "),
    "a range that is none": (site(1, METALLB.format("a-b")), 8, "is not a range", "range = "),
    "two ranges, of which the profile takes one": (
        site(1, METALLB.format("10.77.0.200-10.77.0.210, 10.77.0.240/29")),
        8,
        "is not a range",
        "range = ",
    ),
    "a range upside down": (site(1, METALLB.format("10.77.0.9-10.77.0.2")), 8, "is not a range", "range = "),
    "a range elsewhere": (
        site(1, METALLB.format("10.78.0.2-10.78.0.9")),
        8,
        "is not inside the network",
        "own network",
    ),
    "a range with a node in it": (site(1, METALLB.format("10.77.0.2-10.77.0.20")), 8, "10.77.0.11, which is n1", ""),
    "a range with the appliance in it": (site(1, METALLB.format("10.77.0.0/29")), 8, "which is the appliance", ""),
}


@pytest.mark.parametrize(("text", "line", "what", "hint"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_where_it_stands(tmp_path: Path, text: str, line: int, what: str, hint: str) -> None:
    with pytest.raises(SiteInvalid) as caught:
        load(tmp_path, text)
    assert caught.value.what.startswith(f"{tmp_path}/site.toml:{line}: ")
    assert what in caught.value.what
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2
    assert "s3cret" not in caught.value.what + caught.value.hint


def test_all_mistakes_are_named_in_the_order_of_their_lines(tmp_path: Path) -> None:
    with pytest.raises(SiteInvalid) as caught:
        load(tmp_path, HEAD + node(1) + node(1))
    assert [line.split(":")[1] for line in caught.value.what.splitlines()] == ["6", "12", "13"]


def test_a_draft_may_have_no_nodes_yet(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(HEAD)
    assert Site.load(tmp_path / "site.toml", draft=True).nodes == ()


def test_a_file_that_is_not_there_says_what_writes_one(tmp_path: Path) -> None:
    with pytest.raises(SiteInvalid, match="is not there") as caught:
        Site.load(tmp_path / "site.toml")
    assert "site init" in caught.value.hint


def test_an_address_of_another_machine_is_told_from_ones_own(tmp_path: Path) -> None:
    with pytest.raises(NotHere, match=r"10\.77\.0\.1, which is none of this machine's") as caught:
        load(tmp_path, site()).require_here()
    assert all(str(address) in caught.value.hint for address in networks.own_addresses())


# "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT", as the kernel of a board prints it
ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\tFE004D0A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t00004D0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
wlan0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0
"""


def test_a_network_left_out_is_the_smallest_that_the_kernel_knows(tmp_path: Path) -> None:
    (tmp_path / "route").write_text(ROUTES)
    assert networks.network_of(IPv4Address("10.77.0.1"), tmp_path) == IPv4Network("10.77.0.0/24")
    assert networks.network_of(IPv4Address("10.3.0.1"), tmp_path) == IPv4Network("10.0.0.0/8")
    assert networks.network_of(IPv4Address("192.168.1.1"), tmp_path) is None


def test_a_network_that_nobody_knows_has_to_be_written_down(tmp_path: Path) -> None:
    with pytest.raises(SiteInvalid, match="no interface of this machine") as caught:
        load(tmp_path, site().replace('network = "10.77.0.0/24"\n', ""))
    assert "network = " in caught.value.hint


def test_what_is_kept_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = SiteFolder(tmp_path)
    with pytest.raises(NoSite):
        folder.in_force()
    folder.keep(load(tmp_path, site(2)))
    assert [one.name for one in folder.in_force().nodes] == ["n1", "n2"]
    secret, key = folder.cluster_token(), folder.ensure_key().read_bytes()
    assert (SiteFolder(tmp_path).cluster_token(), folder.ensure_key().read_bytes()) == (secret, key)
    folder.learn_facts("n1", {"architecture": "arm64"})
    folder.learn_facts("n2", {"architecture": "amd64"})
    assert folder.known_facts() == {"n1": {"architecture": "arm64"}, "n2": {"architecture": "amd64"}}
    assert {path.stat().st_mode & 0o077 for path in [folder.path, *folder.path.iterdir()]} == {0}

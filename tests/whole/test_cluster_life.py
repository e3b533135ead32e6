"""A cluster on real boards, upgraded, one board rolled back, taken off again, made anew; and one of three servers."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.kubernetes.building import VERSION
from tests.support.kubernetes.double import LATER_MINOR, double, push_images
from tests.support.kubernetes.releases import releases
from tests.support.lab import Node, lab
from tests.support.lab.roots import KEPT
from tests.support.ports import wait_until
from tests.support.registries import docker_registry
from tests.whole.clusters import Site, Sticks
from tests.whole.test_cluster import demo_images

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
# What a system writes by itself while it runs, and what apt leaves of any installation.
_PASSING = (  # .kube: what kubectl keeps for the double itself, which has no home
    r"^/(.kube|dev|lab|lab-rebooting|media|proc|root|run|sys|tmp|var/(backups|cache|lib/(apt|dpkg|systemd)|log|tmp))(/|$)"
)


@dataclass(frozen=True)
class Two:
    """Sticks of two releases."""

    old: Path
    new: Path
    fingerprint: str


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("life")
    both = double(folder), double(folder, LATER_MINOR)
    with docker_registry(folder / "registry") as upstream, releases(folder, *both) as served:
        push_images(upstream, folder / "k3s-images")
        sticks = Sticks.at(folder, served, upstream)
        images = demo_images()
        old = sticks.build(VERSION, *images, profiles=["demo"])
        new = sticks.build(LATER_MINOR, *images, profiles=["demo"])
    with (KEPT / "kubernetes.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Two(old, new, sticks.fingerprint)


def _files(node: Node) -> dict[str, str]:
    """Every file that is nobody's passing one, with its mode and content."""
    listed = node.run(
        f"find / -xdev -type f -o -type l | grep -vE '{_PASSING}' | tr '\\n' '\\0' | xargs -0 stat -c '%n|%F %a %s'"
    ).stdout
    found = dict(line.split("|", 1) for line in listed.splitlines())
    sums = node.run(
        f"find /etc /usr/local -type f | grep -vE '{_PASSING}' | tr '\\n' '\\0' | xargs -0 sha256sum"
    ).stdout
    for line in sums.splitlines():
        digest, name = line.split(maxsplit=1)
        found[name] = f"{found.get(name, '')} {digest}"
    return found


def _versions(server: Node) -> dict[str, str]:
    listed = json.loads(server.run("k3s kubectl get nodes -o json").stdout)["items"]
    return {item["metadata"]["name"]: item["status"]["nodeInfo"]["kubeletVersion"] for item in listed}


def test_upgrade_rollback_reset_and_reinstall(two: Two) -> None:
    with lab(3, appliance=True) as made:
        site = Site(made)
        before = {node.name: _files(node) for node in made.nodes}
        file = site.write_site({"n1": "server", "n2": "agent", "n3": "agent"}, profiles=["demo"])
        site.install(site.plug_in(two.old), two.fingerprint, file)
        assert _versions(made["n1"]) == dict.fromkeys(("n1", "n2", "n3"), VERSION)

        made["n3"].write("/etc/lab-k3s-breaks", f"{LATER_MINOR}\n")
        seen = site.plug_in(two.new)
        site.crate(f"install {seen}")
        site.crate("deploy", expect=1)
        ended = {wave["wave"]: wave["nodes"] for wave in site.receipt()["waves"]}["agents"]
        assert (ended["n2"]["state"], ended["n3"]["state"]) == ("done", "failed")
        assert f"k3s {LATER_MINOR} does not come up" in ended["n3"]["what"]
        assert _versions(made["n1"]) == {"n1": LATER_MINOR, "n2": LATER_MINOR, "n3": VERSION}
        made["n3"].run("rm /etc/lab-k3s-breaks")
        site.crate("deploy")
        assert _versions(made["n1"]) == dict.fromkeys(("n1", "n2", "n3"), LATER_MINOR)
        assert made.escaped() == 0, made.escaped_to()

        site.crate("reset --yes")
        for node in made.nodes:
            after = _files(node)
            assert sorted(name for name, kept in after.items() if before[node.name].get(name) != kept) == []
            assert set(before[node.name]) - set(after) == set()
            assert "10.42" not in node.run("ip route; ip address; iptables-save | grep -i kube || true").stdout
        site.crate("deploy")
        assert site.receipt()["outcome"] == "done"
        site.crate("deploy")
        assert site.receipt()["changed"] == 0


def test_three_servers_go_on_without_the_first(two: Two) -> None:
    with lab(3, appliance=True) as made:
        site = Site(made)
        file = site.write_site(dict.fromkeys(("n1", "n2", "n3"), "server"))
        site.install(site.plug_in(two.old), two.fingerprint, file)
        assert set(_versions(made["n2"])) == {"n1", "n2", "n3"}
        made["n1"].stop()
        other = made["n3"]
        other.until("k3s kubectl get --raw /readyz", seconds=60)
        wait_until(
            lambda: "n1 NotReady" in " ".join(other.run("k3s kubectl get nodes --no-headers").stdout.split()),
            "n1 to be missed",
            seconds=90,
        )
        other.run("k3s kubectl create namespace made-without-the-first")
        made["n1"].start()
        site.crate("deploy")
        assert "made-without-the-first" in made["n1"].run("k3s kubectl get namespaces").stdout

"""What goes wrong on sites: boards that are off, worn, old or not the ones they were. The light double will do here."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from deploys.order import WAVES
from tests.support.kubernetes.releases import light, releases
from tests.support.lab import NO_BRIDGE_FILTER, Spec, lab
from tests.support.ports import wait_until
from tests.whole.clusters import Site, Sticks

pytestmark = pytest.mark.long
VERSION = "v1.30.4+k3s1"
_UNAME = """#!/bin/sh
# a board of another kind
[ "$*" = -m ] && echo armv7l || exec /bin/uname "$@"
"""
_DPKG = '#!/bin/sh\n[ "$*" = --print-architecture ] && echo armhf || exec /usr/bin/dpkg "$@"\n'
MACHINES = [
    Spec("n1"),
    Spec("n2"),
    Spec("off", off=True),
    Spec("battery", clock="1970-01-02 00:00:00"),
    Spec("small", disk=1000),
    Spec("kernel", files=NO_BRIDGE_FILTER),
    Spec("arm", files={"usr/local/bin/uname": _UNAME, "usr/local/bin/dpkg": _DPKG}),
    Spec("stranger"),
    Spec("breaks", files={"etc/lab-k3s-breaks": VERSION}),
]
SAID = [
    ("a board that is off", "off", "unreachable", r"off|answer|route|refused|timed out"),
    ("a disk that is too small", "small", "failed", r"MiB are free under /var/lib"),
    ("a kernel without br_netfilter", "kernel", "failed", r"has no br_netfilter"),
    ("an architecture that the crate has nothing for", "arm", "failed", r"linux/arm.*the crate is for linux/amd64"),
    ("another host key than the one that was seen", "stranger", "unreachable", r"host key"),
    ("a board on which k3s ends at once", "breaks", "failed", r"told to fail on this node"),
]


@pytest.fixture(scope="module")
def sticks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sticks]:
    folder = tmp_path_factory.mktemp("light")
    with releases(folder, light(folder, VERSION)) as served:
        made = Sticks.at(folder, served)
        made.build(VERSION)
        yield made


@pytest.fixture(scope="module")
def told(sticks: Sticks) -> Iterator[tuple[Site, dict[str, Any]]]:
    """A site where most boards have something; what the first run said of it."""
    with lab(MACHINES, appliance=True) as made:
        site = Site(made)
        seen = site.plug_in(sticks.built[0])
        roles = {spec.name: "server" if spec.name == "n1" else "agent" for spec in MACHINES}
        file = site.write_site(roles)
        site.appliance.run(f"sh {seen}/install.sh --fingerprint {sticks.fingerprint} --setup-only")
        for machine in made.nodes:
            if machine.running:
                site.pin(machine, file)
        site.lab["stranger"].run("rm /etc/ssh/ssh_host_* && ssh-keygen -A && systemctl restart ssh")
        site.crate(f"install {seen} --site {file}", expect=1)
        yield site, site.receipt()


def _ends(receipt: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """How each node came through: the first bad end if there is one, else done."""
    found: dict[str, tuple[str, str]] = {}
    for wave in receipt["waves"]:
        for name, node in wave["nodes"].items():
            bad = node["state"] in {"failed", "unreachable"}
            if bad and found.get(name, ("done", ""))[0] == "done":
                found[name] = (node["state"], f"{node['what']} {node['hint']}")
            found.setdefault(name, ("done", ""))
    return found


@pytest.mark.parametrize(("name", "state", "words"), [row[1:] for row in SAID], ids=[row[0] for row in SAID])
def test_each_is_named_with_what_is_wrong(told: tuple[Site, dict[str, Any]], name: str, state: str, words: str) -> None:
    ended, said = _ends(told[1])[name]
    assert ended == state, said
    assert re.search(words, said), said


@pytest.mark.parametrize("name", ["n1", "n2", "battery"])
def test_the_others_are_fine(told: tuple[Site, dict[str, Any]], name: str) -> None:
    site, receipt = told
    assert _ends(receipt)[name] == ("done", "")
    listed = json.loads(site.lab["n1"].run("k3s kubectl get nodes -o json").stdout)["items"]
    assert name in [item["metadata"]["name"] for item in listed]


def test_a_clock_in_1970_was_set_and_the_real_one_was_not_asked(told: tuple[Site, dict[str, Any]]) -> None:
    now, there = (told[0].lab["battery"].ssh("date +%s").stdout, told[0].lab["n1"].ssh("date +%s").stdout)
    assert abs(int(now) - int(there)) < 10


def test_nothing_wanted_to_leave(told: tuple[Site, dict[str, Any]]) -> None:
    assert told[0].lab.escaped() == 0, told[0].lab.escaped_to()


def test_what_was_put_right_is_picked_up_by_the_next_run(told: tuple[Site, dict[str, Any]]) -> None:
    site = told[0]
    site.lab["off"].start()
    site.lab["breaks"].run("rm /etc/lab-k3s-breaks")
    for name in ("off", "stranger"):
        site.pin(site.lab[name])
    site.crate("deploy --limit off --limit breaks --limit stranger")
    listed = json.loads(site.lab["n1"].run("k3s kubectl get nodes -o json").stdout)["items"]
    assert {item["metadata"]["name"] for item in listed} == {"n1", "n2", "battery", "off", "breaks", "stranger"}


def test_killed_in_every_wave_it_goes_on_from_there(sticks: Sticks) -> None:
    with lab(3, appliance=True) as made:
        site = Site(made)
        seen = site.plug_in(sticks.built[0])
        file = site.write_site({"n1": "server", "n2": "agent", "n3": "agent"})
        site.appliance.run(f"sh {seen}/install.sh --fingerprint {sticks.fingerprint} --setup-only")
        for node in made.nodes:
            site.pin(node, file)
        for wave in WAVES:
            _kill_in(site, f"crate-appliance install {seen} --site {file}", wave)
        site.crate(f"install {seen} --site {file}")
        assert site.receipt()["outcome"] == "done"
        site.crate("deploy")
        assert (site.receipt()["outcome"], site.receipt()["changed"]) == ("done", 0)
        assert made.escaped() == 0, made.escaped_to()


def _kill_in(site: Site, words: str, wave: str) -> None:
    """Starts `words` and ends it, and all that it started, as soon as it is in that wave."""
    journal = Path("/var/lib/crate/site/journal.jsonl")
    site.appliance.run(f"rm -f {journal}")
    command = site.appliance.words("setsid", "sh", "-c", f"{words} >/root/killed.log 2>&1")
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        began = f'grep -q "\\"began\\".*\\"{wave}\\"" {journal}'
        wait_until(
            lambda: process.poll() is not None or site.appliance.run(began, check=False).returncode == 0,
            f"{wave} to begin",
            seconds=120,
        )
        assert process.poll() is None, f"{words} ended before {wave}:\n{site.appliance.read('/root/killed.log')}"
        site.appliance.run("pkill -KILL -f '[c]rate-appliance install' ; pkill -KILL -f '[d]eploys'", check=False)
        site.appliance.until("! pgrep -f '[c]rate-appliance install'", seconds=5)

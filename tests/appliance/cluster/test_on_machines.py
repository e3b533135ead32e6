"""The whole driver on booted machines: site file and crate in, a cluster out, and what is said when it is not so easy.

The cluster is the light double of k3s. The machines are booted once; each test leaves the site deployed as it found it,
up to the last ones, which take it apart.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from appliance import locks
from appliance.cluster import receipts
from appliance.cluster.journal import lock_path, watch
from appliance.site.folder import SiteFolder
from deploys.order import WAVES
from tests.appliance.cluster.machines import FIRST, NEXT, Machines, machines
from tests.support.ports import wait_until

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machines, dict[str, Any]]]:
    """The machines after `install --site`, and its receipt."""
    with machines(tmp_path_factory.mktemp("machines")) as made:
        installed = made.json("install", made.folder / "site-1.crate", "--site", made.folder / "site.toml")
        assert installed["active"] == ["site 1"]
        yield made, installed["receipt"]


@pytest.fixture
def site(first: tuple[Machines, dict[str, Any]]) -> Machines:
    return first[0]


def versions(site: Machines) -> dict[str, str]:
    """What the cluster says that its nodes run."""
    told = site.lab["n1"].run("k3s kubectl get nodes -o json").stdout
    return {
        node["metadata"]["name"]: node["status"]["nodeInfo"]["kubeletVersion"] for node in json.loads(told)["items"]
    }


def ends(receipt: dict[str, Any], node: str) -> list[str]:
    """How a node came through each wave that it was in."""
    return [wave["nodes"][node]["state"] for wave in receipt["waves"] if node in wave["nodes"]]


def test_one_command_makes_a_cluster(first: tuple[Machines, dict[str, Any]]) -> None:
    site, receipt = first
    assert receipt["outcome"] == "done"
    assert [wave["wave"] for wave in receipt["waves"]] == [*WAVES]
    assert receipt["crates"][0]["signed_by"] == ["release"]
    assert versions(site) == dict.fromkeys(["n1", "n2", "n3"], FIRST)
    by_name = {wave["wave"]: wave for wave in receipt["waves"]}
    assert by_name["agents"]["sent"] > by_name["cluster"]["sent"] > 0
    assert site.lab.escaped() == 0, site.lab.escaped_to()


def test_what_is_kept_of_it_holds_no_secret(site: Machines) -> None:
    folder = SiteFolder(site.root)
    secrets = [folder.cluster_token(), folder.server_token.read_text().strip(), folder.key.read_text().splitlines()[1]]
    kept = [folder.journal, folder.path / "log", *folder.receipts.iterdir()]
    for secret in secrets:
        assert [path.name for path in kept if secret in path.read_text()] == []


def test_again_at_once_nothing_changes_and_a_plan_says_so(site: Machines) -> None:
    again = site.json("deploy")["receipt"]
    assert (again["outcome"], again["changed"]) == ("done", 0)
    planned = site.json("plan")
    assert planned["changes"] == []
    assert site.run("plan").stdout.splitlines() == [f"{node}: nothing would change" for node in ("n1", "n2", "n3")]


def test_a_plan_shows_a_difference_and_leaves_it_there(site: Machines) -> None:
    path, node = "/etc/sysctl.d/90-buzzcrate.conf", site.lab["n2"]
    before = node.read(path)
    node.write(path, "# mine\n")
    (change,) = site.json("plan", "--limit", "n2")["changes"]
    assert (change["node"], change["wave"]) == ("n2", "base")
    assert "-# mine\n" in change["diff"]
    assert "+-net.ipv4.ip_forward = 1\n" in change["diff"]
    assert node.read(path) == "# mine\n"
    site.run("deploy", "--only", "base", "--limit", "n2")
    assert node.read(path) == before


def test_the_kubeconfig_is_the_clusters_own_and_for_its_owner_only(site: Machines, tmp_path: Path) -> None:
    site.run("kubeconfig", "--out", tmp_path / "kubeconfig")
    config = yaml.safe_load((tmp_path / "kubeconfig").read_text())
    assert config["clusters"][0]["cluster"]["server"] == "https://10.77.0.11:6443"
    assert (tmp_path / "kubeconfig").stat().st_mode & 0o777 == 0o600


def test_a_node_that_is_off_is_reported_the_others_go_on_and_the_next_run_picks_it_up(site: Machines) -> None:
    site.lab["n3"].stop()
    try:
        receipt = json.loads(site.run("deploy", "--json", expect=1).stdout)["receipt"]
    finally:
        site.lab["n3"].start()
    assert receipt["outcome"] == "failed"
    assert ends(receipt, "n3")[0] == "unreachable"
    said = receipt["waves"][0]["nodes"]["n3"]
    assert "n3 (10.77.0.13)" in said["what"]
    assert "is it on" in said["hint"]
    assert {*ends(receipt, "n1"), *ends(receipt, "n2")} == {"done"}
    assert "without n3" in site.run("status").stdout
    assert site.json("deploy")["receipt"]["outcome"] == "done"
    assert "without" not in site.run("status").stdout


def test_a_node_with_another_host_key_is_told_nothing(site: Machines) -> None:
    folder = SiteFolder(site.root)
    pinned = folder.known_hosts.read_text()
    mine = next(line for line in pinned.splitlines() if line.startswith("10.77.0.12 "))
    other = next(line for line in pinned.splitlines() if line.startswith("10.77.0.11 "))
    folder.known_hosts.write_text(pinned.replace(mine, f"10.77.0.12 {other.split(' ', 1)[1]}"))
    try:
        receipt = json.loads(site.run("deploy", "--only", "preflight", "--json", expect=1).stdout)["receipt"]
    finally:
        folder.known_hosts.write_text(pinned)
    said = receipt["waves"][0]["nodes"]
    assert (said["n1"]["state"], said["n3"]["state"]) == ("done", "done")
    assert "n2" in said["n2"]["what"]
    assert "host key" in said["n2"]["what"]
    assert "nodes " in said["n2"]["hint"]


def begun(site: Machines, wave: str) -> subprocess.Popen[str]:
    """A `deploy` that is in the middle of `wave`."""
    process = subprocess.Popen(
        site.words("deploy", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )

    def there() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"deploy ended with {process.returncode}:\n{process.communicate()[1]}")
        watched = watch(SiteFolder(site.root))
        return watched is not None and watched.outcome is None and any(it.name == wave for it in watched.record.waves)

    wait_until(there, f"deploy in {wave}", seconds=60)
    return process


def test_interrupted_and_killed_it_goes_on_where_it_was(site: Machines) -> None:
    site.run("reset", "--yes")
    assert not site.lab["n1"].exists("/usr/local/bin/k3s")
    assert not SiteFolder(site.root).kubeconfig.exists()
    process = begun(site, "base")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "the same command goes on from here" in said
    kept = receipts.latest(SiteFolder(site.root))
    assert kept is not None
    assert kept["outcome"] == "interrupted"
    process = begun(site, "agents")
    process.kill()
    process.communicate(timeout=60)
    assert "died" in site.run("status").stdout

    wait_until(lambda: not locks.held(lock_path(SiteFolder(site.root))), "the end of what the killed run left")
    assert site.json("deploy")["receipt"]["outcome"] == "done"
    receipt = site.json("deploy")["receipt"]
    assert (receipt["outcome"], receipt["changed"]) == ("done", 0)
    assert versions(site) == dict.fromkeys(["n1", "n2", "n3"], FIRST)


def test_an_upgrade_goes_one_minor_release_at_a_time(site: Machines) -> None:
    site.carry("v1.32.1+k3s1", serial=2)
    for verb in ("plan", "deploy"):
        refused = site.run(verb, expect=2)
        assert f"n1 runs k3s {FIRST}" in refused.stderr
        assert "v1.32.1+k3s1" in refused.stderr
        assert "v1.31" in refused.stderr.partition("hint: ")[2]
    site.carry(NEXT, serial=3)
    assert site.json("deploy")["receipt"]["k3s"] == NEXT
    assert versions(site) == dict.fromkeys(["n1", "n2", "n3"], NEXT)
    assert site.json("deploy")["receipt"]["changed"] == 0


def test_a_node_leaves(site: Machines) -> None:
    assert site.json("nodes", "remove", "n3", "--yes")["unlisted"] is True
    assert [*versions(site)] == ["n1", "n2"]
    assert not site.lab["n3"].exists("/usr/local/bin/k3s")
    assert [node.name for node in SiteFolder(site.root).in_force().nodes] == ["n1", "n2"]
    assert site.json("deploy")["receipt"]["nodes"] == ["n1", "n2"]


def test_the_last_server_does_not_leave(site: Machines) -> None:
    left = json.loads(site.run("nodes", "remove", "n1", "--yes", "--json", expect=1).stdout)
    assert left["unlisted"] is False
    assert "no server would stay" in left["receipt"]["waves"][0]["nodes"]["n1"]["what"]


def test_a_reset_leaves_nothing(site: Machines) -> None:
    assert "Reset n1, n2 of workshop?" in site.attempt("reset", given="n\n").stdout
    assert versions(site)
    site.run("reset", "--yes")
    for node in site.lab.nodes:
        assert not node.exists("/etc/rancher"), node.name
        assert not node.exists("/etc/buzzcrate"), node.name
        assert node.read("/etc/hosts") == f"127.0.0.1 localhost\n127.0.1.1 {node.name}\n"
    assert site.lab.escaped() == 0, site.lab.escaped_to()

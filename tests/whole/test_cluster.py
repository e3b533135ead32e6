"""From a stick to a verified cluster with one command: real Debian boards, and a real Kubernetes behind the double."""

from __future__ import annotations

import asyncio
import fcntl
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.application.images import cached
from deploys.order import WAVES
from tests.support.kubernetes.building import VERSION, payload
from tests.support.kubernetes.double import double, push_images
from tests.support.kubernetes.releases import releases
from tests.support.lab import lab
from tests.support.lab.roots import KEPT
from tests.support.registries import docker_registry
from tests.whole.clusters import Site, Sticks

pytestmark = pytest.mark.timeout(900)
NODES = {"n1": "server", "n2": "agent", "n3": "agent"}
NOTE = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: note
data:
  text: {{ .Values.text }}
"""


@dataclass(frozen=True)
class Cluster:
    """A site that was installed from a stick, and what the terminal showed meanwhile."""

    site: Site
    seen: str
    shown: str

    def kubectl(self, words: str) -> str:
        return self.site.lab["n1"].run(f"k3s kubectl {words}").stdout


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The one cluster of the normal suite: every test here looks at it, and leaves it as it was."""
    folder = tmp_path_factory.mktemp("cluster")
    with docker_registry(folder / "registry") as upstream, releases(folder, double(folder)) as served:
        push_images(upstream, folder / "k3s-images")
        sticks = Sticks.at(folder, served, upstream)
        chart = sticks.desk.folder / "notes"
        (chart / "templates").mkdir(parents=True)
        (chart / "Chart.yaml").write_text("apiVersion: v2\nname: notes\nversion: 1.0.0\n")
        (chart / "templates/note.yaml").write_text(NOTE)
        charts = '[[charts]]\npath = "notes"'
        stick = sticks.build(VERSION, charts, *demo_images(), profiles=["demo"])
    with (KEPT / "kubernetes.lock").open("w") as lock, lab(3, appliance=True) as made:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one at a time is what two cores bear
        site = Site(made)
        seen = site.plug_in(stick)
        file = site.write_site(NODES, profiles=["demo"])
        yield Cluster(site, seen, site.install(seen, sticks.fingerprint, file))


def demo_images() -> list[str]:
    """The demo's two images as entries of a recipe."""
    made = asyncio.run(cached(["amd64"]))
    return [f'[[images]]\nlayout = "{each.folder}"\nname = "{each.reference}"' for each in made]


def test_one_command_made_a_verified_cluster(cluster: Cluster) -> None:
    receipt = cluster.site.receipt()
    assert receipt["outcome"] == "done", receipt
    assert [wave["wave"] for wave in receipt["waves"]] == list(WAVES)
    assert all(node["state"] == "done" for wave in receipt["waves"] for node in wave["nodes"].values())
    assert receipt["unmet"] == []
    nodes = json.loads(cluster.kubectl("get nodes -o json"))["items"]
    ready = {
        item["metadata"]["name"]: [c["status"] for c in item["status"]["conditions"] if c["type"] == "Ready"]
        for item in nodes
    }
    assert ready == {"n1": ["True"], "n2": ["True"], "n3": ["True"]}
    for wave in receipt["waves"]:  # for whoever reads the log of CI
        sys.stderr.write(f"{wave['wave']:10} {wave['seconds']:6.1f} s  {(wave['sent'] or 0) / 2**20:7.1f} MiB\n")


def test_not_one_packet_wanted_to_leave(cluster: Cluster) -> None:
    assert cluster.site.lab.escaped() == 0, cluster.site.lab.escaped_to()


def test_the_guest_book_answers_from_every_node_and_remembers(cluster: Cluster) -> None:
    name = "demo.apps.crate.internal"
    counts = []
    for node in cluster.site.lab.nodes:
        page = cluster.site.lab.here(["curl", "-fsS", "-H", f"Host: {name}", f"http://{node.address}/"]).stdout
        assert "Visits kept in Postgres" in page
        counts.append(page)
    assert len(set(counts)) == len(counts), "each visit is counted"


def test_every_image_that_runs_came_from_the_crate(cluster: Cluster) -> None:
    images = cluster.kubectl("get pods -A -o jsonpath={.items[*].spec.containers[*].image}").split()
    assert {image for image in images if image.startswith("ghcr.io/buzzcrate/demo-")} == {
        "ghcr.io/buzzcrate/demo-web:1.0",
        "ghcr.io/buzzcrate/demo-postgres:1.0",
    }
    for node in cluster.site.lab.nodes:
        hosts = node.run("cat /var/lib/rancher/k3s/agent/etc/containerd/certs.d/*/hosts.toml").stdout
        assert {line.split('"')[1] for line in hosts.splitlines() if line.startswith("[host.")} == {
            "https://crate.internal:5000"
        }


def test_a_pod_that_is_deleted_comes_back_with_its_data(cluster: Cluster) -> None:
    before = cluster.kubectl("get pods -n demo -o name")
    cluster.kubectl("delete pod -n demo --all --wait")
    cluster.kubectl("rollout status -n demo deployment/postgres --timeout 120s")
    cluster.kubectl("rollout status -n demo deployment/web --timeout 120s")
    assert not set(before.split()) & set(cluster.kubectl("get pods -n demo -o name").split())
    cluster.site.crate("deploy --only verify")


def test_pods_find_services_by_name(cluster: Cluster) -> None:
    script = "import socket; print(socket.gethostbyname('postgres.demo.svc.cluster.local'))"
    found = cluster.kubectl(f'exec -n demo deployment/web -- python3 -c "{script}"').strip()
    assert found == cluster.kubectl("get service -n demo postgres -o jsonpath={.spec.clusterIP}").strip()


def test_a_chart_of_the_crate_is_installed_by_helm(cluster: Cluster) -> None:
    authority = cluster.site.lab.here(["curl", "-fsS", "http://10.77.0.1:8080/ca.pem"]).stdout
    chart = {
        "apiVersion": "helm.cattle.io/v1",
        "kind": "HelmChart",
        "metadata": {"name": "notes", "namespace": "kube-system"},
        "spec": {
            "chart": "notes",
            "version": "1.0.0",
            "repo": "https://10.77.0.1:5000/helm",
            "repoCA": authority,
            "targetNamespace": "default",
            "valuesContent": "text: out of the crate",
        },
    }
    server = cluster.site.lab["n1"]
    server.run("k3s kubectl apply -f -", given=json.dumps(chart))
    server.until("k3s kubectl get configmap note", seconds=60)
    assert cluster.kubectl("get configmap note -o jsonpath={.data.text}") == "out of the crate"
    cluster.kubectl("delete helmchart -n kube-system notes")
    server.until("! k3s kubectl get configmap note", seconds=60)


def test_somebody_on_the_network_works_with_the_cluster(cluster: Cluster, tmp_path: Path) -> None:
    config = tmp_path / "kubeconfig"
    config.write_text(cluster.site.crate("kubeconfig").stdout)
    kubectl = payload() / "bin/kubectl"
    listed = cluster.site.lab.here([kubectl, "--kubeconfig", config, "get", "nodes", "-o", "name"]).stdout
    assert listed.split() == ["node/n1", "node/n2", "node/n3"]


def test_again_at_once_nothing_changes(cluster: Cluster) -> None:
    cluster.site.crate("deploy")
    receipt = cluster.site.receipt()
    assert (receipt["outcome"], receipt["changed"]) == ("done", 0), [wave["changes"] for wave in receipt["waves"]]
    planned = cluster.site.crate("plan").stdout
    assert planned.splitlines() == [f"{name}: nothing would change" for name in NODES], planned

"""Cluster and verify on booted nodes: what is put on the server, asked, deleted, waited for, and said of it.

The server's kubectl is a stand-in that answers what the test says; the whole tests do the same with a real Kubernetes.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from deploys.cluster.objects import PREFIX, made
from deploys.cluster.wave import FOLDER, INDEX
from deploys.cluster.workloads import ASKED
from deploys.events import Finding, Progressed
from tests.deploys.cluster.documents import Document, deployment, node, pod, service
from tests.deploys.runs import Told, order, run
from tests.support.lab import Lab, Node
from tests.support.tools import root

VERSION = "v1.36.4+k3s1"
DIGEST = f"sha256:{'a' * 64}"
ALL = f"get {ASKED} -A -o json"
MARK = "crate.internal/content"

WEB = f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: lab, annotations: {{{MARK}: m1}}}}
"""
SECRET = f"""\
apiVersion: v1
kind: Secret
metadata: {{name: key, namespace: lab, annotations: {{{MARK}: m2}}}}
stringData: {{key: of-nobodys-business}}
"""
POOL = f"""\
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {{name: site, namespace: lab, annotations: {{{MARK}: m3}}}}
"""
MANIFESTS = {"pool.yaml": POOL, "secret.yaml": SECRET, "web.yaml": WEB}
PROFILE = {"name": "lab", "namespaces": ["lab"], "manifests": {"secret.yaml": SECRET, "web.yaml": WEB}}


class Server:
    """n1 and its stand-in."""

    def __init__(self, machine: Node) -> None:
        self.machine = machine

    def answer(self, words: str, items: list[Document]) -> None:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        self.machine.write(f"/lab/kubectl/{_file(words)}", text)

    def refuse(self, words: str, text: str) -> None:
        self.machine.write(f"/lab/kubectl/{_file(words)}.refused", text)

    def take(self, *manifests: str) -> None:
        """The cluster has these objects, as they are written."""
        for name in manifests:
            path = f"{FOLDER}/{PREFIX}lab-{name}"
            self.answer(f"get -f {path} --ignore-not-found -o json", made(MANIFESTS[name]))

    def told(self) -> list[str]:
        return self.machine.run("cat /lab/kubectl.log 2>/dev/null; :").stdout.splitlines()

    def files(self) -> dict[str, str]:
        names = self.machine.run(f"ls {FOLDER}").stdout.split()
        return {name: self.machine.read(f"{FOLDER}/{name}") for name in names}


def _file(words: str) -> str:
    return words.replace(" ", "_").replace("/", ",")


@pytest.fixture
def server(site: Lab) -> Iterator[Server]:
    root("nodes are booted")
    machine = site["n1"]
    machine.write("/usr/local/bin/k3s", (Path(__file__).parent / "kubectl.sh").read_text())
    machine.run(f"chmod 755 /usr/local/bin/k3s && mkdir -p {FOLDER} /var/lib/buzzcrate")
    machine.write(f"{FOLDER}/coredns.yaml", "of k3s itself\n")
    found = Server(machine)
    found.answer("get nodes -o json", [node(it.name, version=VERSION) for it in site.nodes])
    yield found
    machine.run("rm -rf /usr/local/bin/k3s /lab/kubectl /lab/kubectl.log /var/lib/rancher /var/lib/buzzcrate")


def deploy(site: Lab, *profiles: Mapping[str, Any], task: str = "deploy", **more: Any) -> Told:
    waves = more.pop("waves", ("cluster",))
    binary = {"url": "http://10.77.0.1:8080/blobs/sha256/0", "sha256": "0" * 64, "size": 1}
    k3s = {"version": VERSION, "binaries": {"linux/amd64": binary}, "token": "of-the-site"}
    return run(site, order(site, waves=waves, task=task, k3s=k3s, profiles=profiles, **more))


def test_profiles_go_onto_the_server_and_are_waited_for(site: Lab, server: Server) -> None:
    server.answer(ALL, [deployment(), pod()])
    server.take("secret.yaml", "web.yaml")
    told = deploy(site, PROFILE)
    assert told.code == 0, told
    assert server.files() == {
        "coredns.yaml": "of k3s itself\n",
        f"{PREFIX}lab-secret.yaml": SECRET,
        f"{PREFIX}lab-web.yaml": WEB,
    }
    assert server.machine.run(f"stat -c %a {FOLDER}/{PREFIX}lab-secret.yaml").stdout.strip() == "600"
    assert json.loads(server.machine.read(INDEX)) == {
        f"{PREFIX}lab-secret.yaml": [["v1", "Secret", "lab", "key"]],
        f"{PREFIX}lab-web.yaml": [["apps/v1", "Deployment", "lab", "web"]],
    }
    assert set(told.ends("cluster")) == {"n1"}
    assert not [line for line in server.told() if "delete" in line]
    assert "of-nobodys-business" not in "".join(event.model_dump_json() for event in told.events) + told.log

    again = deploy(site, PROFILE)
    assert (again.code, again.changes()) == (0, [])


def test_a_plan_shows_manifests_without_secrets_and_puts_nothing_there(site: Lab, server: Server) -> None:
    told = deploy(site, PROFILE, task="plan")
    assert told.code == 0, told
    assert "+kind: Deployment" in told.operations("n1")["Manifest lab-web.yaml"].diff
    assert "of-nobodys-business" not in told.operations("n1")["Manifest lab-secret.yaml"].diff
    assert list(server.files()) == ["coredns.yaml"]
    assert server.told() == []


def test_what_no_profile_wants_any_more_is_deleted_and_nothing_else(site: Lab, server: Server) -> None:
    server.answer(ALL, [deployment(), pod()])
    server.take("secret.yaml", "web.yaml", "pool.yaml")
    assert deploy(site, {**PROFILE, "manifests": MANIFESTS}).code == 0
    pool = "-n lab delete IPAddressPool.v1beta1.metallb.io site --ignore-not-found --timeout=180s"
    server.refuse(pool, 'error: the server doesn\'t have a resource type "IPAddressPool"')  # it went with its chart
    told = deploy(site)
    assert told.code == 0, told
    assert list(server.files()) == ["coredns.yaml"]
    assert json.loads(server.machine.read(INDEX)) == {}
    assert [line for line in server.told() if " delete " in line and "addons" not in line] == [
        "-n lab delete Deployment.v1.apps web --ignore-not-found --timeout=180s",
        "-n lab delete Secret key --ignore-not-found --timeout=180s",
        pool,
    ]
    assert deploy(site).changes() == []


def test_a_deletion_that_fails_is_done_by_the_next_run(site: Lab, server: Server) -> None:
    server.answer(ALL, [deployment(), pod()])
    server.take("secret.yaml", "web.yaml")
    assert deploy(site, PROFILE).code == 0
    words = "-n lab delete Deployment.v1.apps web --ignore-not-found --timeout=180s"
    server.refuse(words, "Unable to connect to the server")
    told = deploy(site)
    assert told.code == 1
    assert "Unable to connect to the server" in told.end("n1").what
    server.machine.run(f"rm /lab/kubectl/{shlex.quote(_file(words))}.refused; : >/lab/kubectl.log")
    assert deploy(site).code == 0
    assert words in server.told()
    assert json.loads(server.machine.read(INDEX)) == {}


def test_the_wait_ends_when_nothing_gets_better_and_says_what_is_missing(site: Lab, server: Server) -> None:
    lost = pod(reason="ImagePullBackOff", message="not found", image="registry.example.org/lost:1")
    server.answer(ALL, [deployment(ready=0), lost])
    told = deploy(site, PROFILE, timeout=30)
    assert told.code == 1
    assert told.end("n1").what == "n1: lab/web: 0 of 1 (web-1: ImagePullBackOff: not found)"
    assert "the crate lacks registry.example.org/lost:1" in told.end("n1").hint
    said = [event.what for event in told.events if isinstance(event, Progressed) and "waiting" in event.what]
    assert said == ["waiting: lab/web: 0 of 1 (web-1: ImagePullBackOff: not found)"]


def test_verify_finds_all_well_or_says_what_is_not(site: Lab, server: Server, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.write_text(f"{DIGEST}\n")
    good = [deployment(), pod(image_id=f"ghcr.io/team/app@{DIGEST}"), service("web", server.machine.address)]
    server.answer(ALL, good)
    server.machine.run(_PAGE)
    check = {"name": "guest book", "url": "http://{web.lab}:8000/", "text": "Visits kept in Postgres"}
    profile = {**PROFILE, "checks": [check]}
    try:
        told = deploy(site, profile, waves=("verify",), images=str(images))
        found = [f"{it.level} {it.what}" for it in told.events if isinstance(it, Finding)]
        assert found == [
            f"fine 3 nodes Ready, {VERSION}",
            "fine 1 workload available",
            "fine all images are the crate's (1 container)",
            "fine guest book: answers every node",
        ]
        assert told.code == 0

        told = deploy(site, profile, waves=("verify",), images=str(images), limit=["n2"])
        assert [it.what for it in told.events if isinstance(it, Finding)][-1] == "guest book: answers n2"
        assert told.code == 0, "a server that the limit leaves out is asked all the same"

        server.answer(ALL, [*good, pod("stranger", app="x", image_id=f"docker.io/evil/app@sha256:{'b' * 64}")])
        told = deploy(site, profile, waves=("verify",), images=str(images))
        assert told.code == 1
        assert f"r/app:1 (sha256:{'b' * 64}) is not in the crate, and runs in lab/stranger" in [
            it.what for it in told.events if isinstance(it, Finding) and it.level == "fatal"
        ]
    finally:
        server.machine.run(
            "systemctl stop lab-page.socket; rm -f /run/systemd/system/lab-page*; systemctl daemon-reload"
        )


_PAGE = r"""
cd /run/systemd/system
printf '[Socket]\nListenStream=8000\nAccept=yes\n' >lab-page.socket
printf 'HTTP/1.0 200 OK\r\n\r\nVisits kept in Postgres: 3' >lab-page
printf '[Service]\nStandardInput=socket\nExecStart=sh -c "head -c 20 >/dev/null; cat /run/systemd/system/lab-page"\n' \
  >lab-page@.service
systemctl daemon-reload && systemctl start lab-page.socket
"""

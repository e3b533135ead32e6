"""The light double of k3s: a cluster of files that keeps what a wave may count on."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.kubernetes.releases import light
from tests.support.lab import Lab, Node, lab
from tests.support.ports import wait_until

VERSION, NEWER = "v1.30.4+k3s1", "v1.31.2+k3s1"
_ROUTE = "ip link add gap0 type bridge; ip addr add 203.0.113.254/31 dev gap0; ip link set gap0 up; \
ip route add default via 203.0.113.255 dev gap0"
_UNIT = """\
[Service]
Type=notify
ExecStart=/usr/local/bin/k3s {role}
KillMode=process
Delegate=yes
Restart=no
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("releases")
    with lab(3) as made:
        for node in made.nodes:
            for version in (VERSION, NEWER):
                node.write(f"/root/{version}", light(folder, version).programs["amd64"].read_bytes(), 0o755)
        yield made


def _prepare(node: Node, role: str, version: str = VERSION, **settings: str) -> None:
    unit = "k3s" if role == "server" else "k3s-agent"
    node.run(
        "systemctl stop k3s k3s-agent 2>/dev/null; rm -rf /etc/rancher /var/lib/rancher /etc/lab-k3s-breaks;"
        f"ip route show default | grep -q . || {{ {_ROUTE}; }}; cp /root/{version} /usr/local/bin/k3s"
    )
    config = "".join(f"{name}: {value}\n" for name, value in settings.items())
    node.write("/etc/rancher/k3s/config.yaml", config)
    node.write(f"/etc/systemd/system/{unit}.service", _UNIT.format(role=role))
    node.run("systemctl daemon-reload; systemctl reset-failed")


def _nodes(server: Node) -> dict[str, tuple[str, str]]:
    listed = json.loads(server.run("k3s kubectl get nodes -o json").stdout)["items"]
    return {
        item["metadata"]["name"]: (
            item["status"]["nodeInfo"]["kubeletVersion"],
            item["status"]["conditions"][0]["status"],
        )
        for item in listed
    }


def test_a_server_and_an_agent_become_a_cluster_that_is_upgraded(site: Lab) -> None:
    server, agent = site["n1"], site["n2"]
    _prepare(server, "server", token="of-the-site", **{"node-label": "\n  - place=shelf\n  - tier=one"})
    server.run("systemctl start k3s")
    token = server.read("/var/lib/rancher/k3s/server/token").strip()
    assert token.startswith("K10")
    assert token.endswith("::server:of-the-site")
    _prepare(agent, "agent", server="https://10.77.0.11:6443", token=token)
    agent.run("systemctl start k3s-agent")
    assert _nodes(server) == {"n1": (VERSION, "True"), "n2": (VERSION, "True")}
    labels = json.loads(server.run("k3s kubectl get node n1 -o json").stdout)["metadata"]["labels"]
    assert {"place": "shelf", "tier": "one"}.items() <= labels.items()

    server.run("k3s kubectl drain n2 --ignore-daemonsets --timeout 60s")
    agent.run("systemctl stop k3s-agent")
    assert "SchedulingDisabled" in server.run("k3s kubectl get nodes").stdout
    wait_until(lambda: _nodes(server)["n2"][1] == "Unknown", "n2 to be missed")
    agent.run(f"cp /root/{NEWER} /usr/local/bin/k3s; systemctl start k3s-agent")
    server.run("k3s kubectl uncordon n2")
    assert _nodes(server)["n2"] == (NEWER, "True")
    assert agent.run("k3s --version").stdout.startswith(f"k3s version {NEWER} ")

    server.run(f"systemctl stop k3s; cp /root/{NEWER} /usr/local/bin/k3s; systemctl start k3s")
    server.run(f"systemctl stop k3s; cp /root/{VERSION} /usr/local/bin/k3s; ! systemctl start k3s")
    assert "newer than" in server.run("journalctl -u k3s -n 5").stdout
    server.run(f"cp /root/{NEWER} /usr/local/bin/k3s; systemctl start k3s; k3s kubectl delete node n2")
    server.write("/var/lib/rancher/k3s/server/manifests/web.yaml", "kind: Anything\n")
    server.until("grep -q 'applied web.yaml' /var/log/k3s-double.log")
    assert "drain n2" in server.read("/var/log/k3s-double.log")


def test_three_servers_keep_one_cluster_and_its_snapshot(site: Lab) -> None:
    first = site["n1"]
    _prepare(first, "server", token="shared", **{"cluster-init": "true"})
    first.run("systemctl start k3s")
    for node in site.nodes[1:]:
        _prepare(node, "server", server="https://10.77.0.11:6443", token="shared")
        node.run("systemctl start k3s")
    for node in site.nodes:
        assert set(_nodes(node)) == {"n1", "n2", "n3"}
        assert node.exists("/var/lib/rancher/k3s/server/db/etcd")
    first.run("k3s etcd-snapshot save --name before")
    name = first.run("ls /var/lib/rancher/k3s/server/db/snapshots").stdout.strip()
    first.run(
        f"systemctl stop k3s; k3s server --cluster-reset --cluster-reset-restore-path={name}; systemctl start k3s"
    )
    assert "n1" in _nodes(first)


REFUSED = [
    ("a key that k3s does not know", {"tokn": "x"}, "", "flag provided but not defined: -tokn"),
    ("no default route", {"token": "x"}, "ip route del default", "no default routes found"),
    ("an agent without a server", {"token": "x"}, "", "--server is required"),
    ("a pin of another cluster", {"token": f"K10{'0' * 64}::server:shared"}, "", "token CA hash does not match"),
    ("a wrong secret", {"token": "other"}, "", "not authorized"),
    (
        "a version that is to fail here",
        {"token": "x"},
        f"echo {VERSION} >/etc/lab-k3s-breaks",
        "told to fail on this node",
    ),
]


@pytest.mark.parametrize(("settings", "before", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_an_agent_refuses(site: Lab, settings: dict[str, str], before: str, words: str) -> None:
    _prepare(site["n1"], "server", token="shared")
    site["n1"].run("systemctl start k3s")
    agent = site["n2"]
    if "CA" in words or "authorized" in words:
        settings = {**settings, "server": "https://10.77.0.11:6443"}
    _prepare(agent, "agent", **settings)
    agent.run(before)
    assert agent.run("systemctl start k3s-agent", check=False).returncode
    assert words in agent.run("journalctl -u k3s-agent -n 5").stdout


def test_nothing_of_it_outlives_its_process(site: Lab) -> None:
    server = site["n1"]
    _prepare(server, "server", token="x")
    server.run("systemctl start k3s; kill -9 $(systemctl show -p MainPID --value k3s)")
    server.until("! ss -Hltn | grep :6443")
    server.run("systemctl start k3s; systemctl stop k3s; ! ss -Hltn | grep :6443")

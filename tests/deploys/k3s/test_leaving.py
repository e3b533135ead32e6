"""Nodes that leave: one out of the cluster, or k3s off all of them."""

from __future__ import annotations

from deploys.k3s import layout
from tests.deploys.k3s.site import V30, Site

_TRACES = (layout.BINARY, layout.DATA, "/etc/rancher", layout.unit_path("server"), layout.unit_path("agent"))
_LEFT = """\
mkdir -p /run/k3s/containerd /run/netns /var/lib/kubelet/pods/x /var/lib/rancher/k3s/storage
mount -t tmpfs pod /var/lib/kubelet/pods/x
mkdir -p /var/lib/rancher/k3s/agent/y; mount -t tmpfs layer /var/lib/rancher/k3s/agent/y
ip link add cni0 type bridge; ip link add veth0 type veth peer name veth1; ip link set veth0 master cni0
iptables -N KUBE-SERVICES; iptables -A INPUT -j KUBE-SERVICES; iptables -A INPUT -p tcp --dport 7 -j DROP
shim='exec -a shim bash -c "sleep 7777 & wait" -address /run/k3s/containerd/containerd.sock'
setsid bash -c "$shim" </dev/null >/dev/null 2>&1 &
"""


def test_reset_leaves_nothing_of_k3s_and_a_cluster_can_begin_again(site: Site) -> None:
    site.deploy()
    node = site.lab["n2"]
    node.run(_LEFT)
    told = site.deploy(task="reset")
    assert set(told.done()) >= {"Take k3s off"}
    for machine in site.lab.nodes:
        assert [path for path in _TRACES if machine.exists(path)] == []
    assert node.run("pgrep -f 'sleep 777[7]|containerd[.]sock' || :").stdout == ""
    assert node.run("grep -E 'kubelet|rancher' /proc/mounts || :").stdout == ""
    assert node.run("ip -o link show | grep -E 'cni0|veth0' || :").stdout == ""
    rules = node.run("iptables-save").stdout
    assert "KUBE" not in rules
    assert "--dport 7 -j DROP" in rules
    node.run("iptables -D INPUT -p tcp --dport 7 -j DROP")

    assert "Take k3s off" not in site.deploy(task="reset").done()
    site.clear()
    site.deploy()
    assert set(site.nodes()) == {"n1", "n2", "n3"}


def test_a_disk_of_somebody_elses_below_the_data_is_not_emptied(site: Site) -> None:
    site.deploy(nodes=1)
    node = site.lab["n1"]
    node.run("mkdir -p /lab/disk /var/lib/rancher/k3s/storage; echo mine >/lab/disk/data")
    node.run("mount --bind /lab/disk /var/lib/rancher/k3s/storage")
    site.deploy(nodes=1, task="reset")
    assert node.read("/lab/disk/data") == "mine\n"
    assert not node.exists(layout.BINARY)


def test_a_node_leaves_and_one_that_is_off_leaves_too(site: Site) -> None:
    site.deploy()
    told = site.deploy(task="remove", limit=["n3"])
    assert told.done("n1") == ["Drain n3", "Delete the node n3", "Forget the password of n3"]
    assert told.done("n3")[:2] == ["Stop k3s", "Take k3s off"]
    assert set(site.nodes()) == {"n1", "n2"}
    assert not site.lab["n3"].exists(layout.BINARY)

    site.lab["n2"].stop()
    site.lab["n1"].until("k3s kubectl get node n2 | grep -q NotReady")
    told = site.carry_out(site.order(task="remove", limit=["n2"]))
    assert told.code == 1
    assert told.states("reset")["n2"] == "unreachable"
    assert told.done("n1") == ["Delete the node n2", "Forget the password of n2"]
    assert set(site.nodes()) == {"n1"}


def test_the_last_server_does_not_leave(site: Site) -> None:
    site.deploy(nodes=2)
    told = site.carry_out(site.order(nodes=2, task="remove", limit=["n1"]))
    assert "no server would stay" in told.ended()["n1"].what
    assert "reset" in told.ended()["n1"].hint
    assert site.nodes() == dict.fromkeys(("n1", "n2"), (V30, "True", False))

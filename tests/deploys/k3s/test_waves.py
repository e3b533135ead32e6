"""The waves *server* and *agents* on booted nodes, with the light double of k3s."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from deploys.events import Learned
from deploys.k3s import layout
from tests.deploys.k3s.site import SECRET, V30, Site, pid

ALL = ("n1", "n2", "n3")


def test_a_server_and_two_agents_become_a_cluster_and_stay_as_they_are(site: Site) -> None:
    told = site.deploy()
    assert told.states("server") == {"n1": "done"}
    assert told.states("agents") == {"n2": "done", "n3": "done"}
    assert site.nodes() == dict.fromkeys(ALL, (V30, "True", False))
    token = site.lab["n1"].read(layout.LEARNED_TOKEN).strip()
    assert told.learned() == {"token": token, "kubeconfig": site.lab["n1"].read(layout.KUBECONFIG)}
    modes = "stat -c '%a %U' /etc/rancher/k3s/config.yaml /etc/rancher/k3s/config.yaml.d/10-token.yaml"
    assert set(site.lab["n2"].run(modes).stdout.splitlines()) == {"600 root"}

    before = site.started()
    again = site.deploy()
    assert again.done() == []
    assert {ended.changed for ended in again.ended().values()} == {0}
    assert site.started() == before


def test_the_token_stands_in_no_process_list_environment_journal_or_event(site: Site) -> None:
    seen: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        # the nodes' processes are this computer's as well
        while not over.is_set():
            for path in (*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")):
                try:
                    found = path.read_bytes()
                except OSError:
                    continue
                if SECRET.encode() in found:
                    seen.add(found.replace(b"\0", b" ").decode(errors="replace"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        told = site.deploy()
        site.deploy(hosts=("docker.io", "quay.io"))
    finally:
        over.set()
        watcher.join()
    # the double is a shell script; what it calls itself is no concern of the waves
    assert {line for line in seen if "k3s" not in line} == set()
    said = [each.model_dump_json() for each in told.events if not (isinstance(each, Learned) and each.secret)]
    assert SECRET not in "".join(said) + told.log
    for node in site.lab.nodes:
        assert node.run(f"journalctl -q | grep -c {SECRET} || :").stdout.strip() == "0"
        kept = node.run(f"grep -rl {SECRET} /etc /var/lib/buzzcrate /var/log || :").stdout.split()
        assert set(kept) <= {layout.TOKEN, layout.KUBECONFIG}


def test_three_servers_share_etcd_and_a_change_on_one_restarts_that_one(site: Site) -> None:
    told = site.deploy(servers=3)
    ended = [event.node for event in told.events if event.event == "node"]
    assert ended == list(ALL)
    assert set(site.nodes()) == set(ALL)
    assert "cluster-init: true" in site.lab["n1"].read(layout.CONFIG)
    assert "server: https://10.77.0.11:6443" in site.lab["n3"].read(layout.CONFIG)
    site.lab["n2"].run(f"echo '# by hand' >>{layout.REGISTRIES}; systemctl restart k3s")
    before = site.started()
    again = site.deploy(servers=3)
    assert again.done() == ["Registries", "Start k3s"]
    assert {name for name, process in site.started().items() if process != before[name]} == {"n2"}


def test_what_changes_in_the_site_file_restarts_only_what_reads_it(site: Site) -> None:
    site.deploy(more={"n2": {"labels": {"disk": "ssd"}, "taints": ["slow=1:NoSchedule"]}})
    before = site.started()
    site.lab["n1"].run("k3s kubectl label node n2 foreign=yes")
    assert site.node("n2")["metadata"]["labels"]["disk"] == "ssd"
    assert site.node("n2")["spec"]["taints"] == [{"key": "slow", "value": "1", "effect": "NoSchedule"}]

    role = "node-role.kubernetes.io/shelf"
    labelled = site.deploy(more={"n2": {"labels": {"shelf": "low", role: "yes"}}})
    labels = site.node("n2")["metadata"]["labels"]
    assert (labels.get("disk"), labels["shelf"], labels[role], labels["foreign"]) == (None, "low", "yes", "yes")
    assert site.node("n2")["spec"]["taints"] == []
    assert labelled.done("n2") == ["Labels and taints"]
    assert set(labelled.done("n1")) == {"Labels of n2", "Taints of n2", "Note of what n2 is given"}
    assert site.started() == before
    more = {"n2": {"labels": {"shelf": "low", role: "yes"}}}
    assert site.deploy(more=more).done() == []

    limited = site.deploy(more=more, hosts=("docker.io", "quay.io"), limit=["n3"])
    assert limited.done() == ["Registries", "Start k3s"]
    assert {name for name, process in site.started().items() if process != before[name]} == {"n3"}


def test_a_plan_says_what_would_be_done_and_does_none_of_it(site: Site) -> None:
    def state() -> list[str]:
        told = "find /etc /usr/local /var/lib/rancher /var/lib/buzzcrate -type f -newer /root/before 2>/dev/null || :"
        return [node.run(told).stdout for node in site.lab.nodes]

    for node in site.lab.nodes:
        node.run("touch /root/before")
    fresh = site.deploy(task="plan")
    assert state() == ["", "", ""]
    assert fresh.done("n1") == ["k3s", "k3s's settings", "Token", "Registries", "k3s's service", "Start k3s"]
    assert {each.state for each in fresh.operations()} <= {"would change", "unchanged"}
    assert "+disable-default-registry-endpoint: true" in "".join(each.diff for each in fresh.operations())
    assert SECRET not in "".join(each.model_dump_json() for each in fresh.events)

    site.deploy()
    assert site.deploy(task="plan").done() == []
    more = site.deploy(task="plan", hosts=("quay.io",))
    assert more.done("n2") == ["Registries", "Start k3s"]
    assert "quay.io" not in site.lab["n2"].read(layout.REGISTRIES)


def test_a_node_that_cannot_start_k3s_is_told_why_and_the_others_are_fine(site: Site) -> None:
    site.lab["n2"].run("ip route del default")
    told = site.carry_out(site.order(timeout=40))
    assert told.code == 1
    assert told.states() == {"n1": "done", "n2": "failed", "n3": "done"}
    failed = told.ended()["n2"]
    assert "k3s does not start on n2" in failed.what
    assert "default route" in failed.what
    assert "base wave" in failed.hint
    site.give_route("n2")
    assert site.deploy().done() == ["Start k3s"]
    assert set(site.nodes()) == set(ALL)


def test_a_setting_that_k3s_does_not_know_ends_with_its_name(site: Site) -> None:
    told = site.carry_out(site.order(settings={"flanel-backend": "vxlan"}, timeout=40))
    assert "flanel-backend" in told.ended()["n1"].what
    assert "[cluster.settings]" in told.ended()["n1"].hint
    assert "n2" not in told.ended()


def test_what_cannot_be_is_refused_before_anything_is_changed(site: Site) -> None:
    told = site.carry_out(site.order(platform="linux/arm64"))
    assert "n1 is linux/amd64, and the crate has k3s for linux/arm64" in told.ended()["n1"].what
    told = site.carry_out(site.order(servers=2, limit=["n2"]))
    assert "no server has a cluster yet" in told.ended()["n2"].what
    assert "n1" in told.ended()["n2"].hint
    told = site.carry_out(site.order(limit=["n2"]))
    assert "no server has a cluster that agents could join" in told.ended()["n2"].what
    assert not site.lab["n1"].exists(layout.BINARY)
    assert not site.lab["n2"].exists("/var/lib/buzzcrate")

    site.deploy(nodes=2)
    told = site.carry_out(site.order(servers=2, nodes=2))
    assert "n2 is an agent of the cluster, and site.toml wants it to be a server" in told.ended()["n2"].what
    told = site.carry_out(site.order(settings={"cluster-cidr": "10.9.0.0/16"}))
    assert "cluster-cidr was left to k3s" in told.ended()["n1"].what
    before = pid(site.lab["n1"])
    told = site.carry_out(site.order(settings={"data-dir": "/x"}))
    assert "data-dir is not for the site to set" in told.ended()["n1"].what
    assert pid(site.lab["n1"]) == before


@pytest.mark.long
def test_servers_that_are_off_join_later_and_an_emptied_first_one_joins_them(site: Site) -> None:
    site.lab["n2"].stop()
    told = site.carry_out(site.order(servers=3))
    assert told.states() == {"n1": "done", "n2": "unreachable", "n3": "done"}
    site.lab["n2"].start()
    site.give_route("n2")
    token = str(site.deploy(servers=3).learned()["token"])
    assert set(site.nodes()) == set(ALL)

    # the card of the first one dies; a new cluster must not begin beside the one that lives
    site.lab["n1"].run("systemctl stop k3s; rm -rf /var/lib/rancher /etc/rancher /usr/local/bin/k3s")
    site.lab["n2"].stop()
    site.lab["n3"].stop()
    told = site.carry_out(site.order(servers=3, token=token))
    assert "n1 is empty, and the site has a cluster already on servers that do not answer: n2, n3" in (
        told.ended()["n1"].what
    )
    assert not site.lab["n1"].exists(layout.BINARY)


def test_a_board_that_was_set_up_anew_takes_its_old_name_again(site: Site) -> None:
    site.deploy()
    site.lab["n3"].run("systemctl stop k3s-agent; rm -rf /var/lib/rancher /etc/rancher /usr/local/bin/k3s")
    site.lab["n1"].until("k3s kubectl get node n3 | grep -q NotReady")
    told = site.deploy()
    assert told.done("n1") == ["Delete the node n3", "Forget the password of n3"]
    assert site.nodes()["n3"] == (V30, "True", False)

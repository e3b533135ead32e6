"""From one k3s to the next on booted nodes, and back where it fails; killed in the middle and run again."""

from __future__ import annotations

import pytest

from deploys.k3s import layout
from tests.deploys.k3s.site import V30, V31, V32, Site

ALL = ("n1", "n2", "n3")


def told_of(site: Site, *words: str) -> list[str]:
    """What the cluster was told that begins with one of `words`, in its order."""
    lines = site.lab["n1"].read("/var/log/k3s-double.log").splitlines()
    asked = [line.split(maxsplit=2)[2].removeprefix("kubectl ") for line in lines]
    return [" ".join(line.split()[:2]) for line in asked if line.startswith(words)]


def test_the_server_goes_first_and_then_one_agent_after_the_other(site: Site) -> None:
    site.deploy()
    site.lab["n1"].run("k3s kubectl cordon n3")
    told = site.deploy(V31)
    assert site.nodes() == {"n1": (V31, "True", False), "n2": (V31, "True", False), "n3": (V31, "True", True)}
    servers = told.done("n1")
    assert servers[:3] == ["Keep k3s v1.30.4+k3s1", "k3s", "Drain n1"]
    assert servers[3:6] == ["Copy of the database", "k3s v1.31.2+k3s1", "Start k3s"]
    assert "Let pods onto n1 again" in servers
    moved = [word for word in told_of(site, "drain", "uncordon") if not word.endswith("n1")]
    assert moved in (
        ["drain n2", "uncordon n2", "drain n3"],
        ["drain n3", "drain n2", "uncordon n2"],
    )
    for node in site.lab.nodes:
        kept = f"{layout.PREVIOUS}/files{layout.BINARY} --version"
        assert V30 in node.run(kept).stdout
        assert not node.exists(layout.UPGRADE)
        assert not node.exists(f"{layout.BINARY}.next")
    assert site.lab["n1"].read(f"{layout.PREVIOUS}/db/state.db").strip() == V30
    assert site.deploy(V31).done() == []


def test_servers_that_share_etcd_take_a_snapshot_and_a_turn_each(site: Site) -> None:
    site.deploy(servers=3)
    told = site.deploy(V31, servers=3)
    assert told.done().count("Snapshot of etcd") == 1
    assert site.lab["n1"].run("ls /var/lib/rancher/k3s/server/db/snapshots").stdout.startswith("before-v1.31.2-k3s1")
    assert told_of(site, "drain", "uncordon") == [f"{word} {name}" for name in ALL for word in ("drain", "uncordon")]
    assert site.nodes() == dict.fromkeys(ALL, (V31, "True", False))


def test_an_agent_that_fails_goes_back_and_the_other_goes_on(site: Site) -> None:
    site.deploy()
    site.lab["n2"].write("/etc/lab-k3s-breaks", f"{V31}\n")
    told = site.carry_out(site.order(V31, timeout=30))
    assert told.code == 1
    assert told.states() == {"n1": "done", "n2": "failed", "n3": "done"}
    assert f"k3s {V31} does not come up" in told.ended()["n2"].what
    assert "told to fail on this node" in told.ended()["n2"].what
    assert f"n2 runs {V30} again" in told.ended()["n2"].what
    assert site.nodes() == {"n1": (V31, "True", False), "n2": (V30, "True", False), "n3": (V31, "True", False)}
    site.lab["n2"].run("rm /etc/lab-k3s-breaks")
    assert site.deploy(V31).states()["n2"] == "done"
    assert site.nodes()["n2"] == (V31, "True", False)


def test_a_server_that_fails_goes_back_with_its_database_and_stops_the_agents(site: Site) -> None:
    site.deploy()
    # it fails after it has converted the database, which the older one then cannot read
    site.lab["n1"].write("/etc/lab-k3s-breaks", f"{V31} late\n")
    told = site.carry_out(site.order(V31, timeout=30))
    assert told.states() == {"n1": "failed"}
    assert f"n1 runs {V30} again" in told.ended()["n1"].what
    assert site.nodes() == dict.fromkeys(ALL, (V30, "True", False))
    assert "n1 does not run v1.31.2+k3s1 yet" in (site.carry_out(site.order(V31, waves=("agents",))).ended()["n2"].what)
    assert site.deploy().done() == []


def test_a_server_among_three_that_fails_stops_the_next(site: Site) -> None:
    site.deploy(servers=3)
    site.lab["n2"].write("/etc/lab-k3s-breaks", f"{V31}\n")
    told = site.carry_out(site.order(V31, servers=3, timeout=30))
    assert told.states() == {"n1": "done", "n2": "failed", "n3": "skipped"}
    assert {name: version for name, (version, _, _) in site.nodes().items()} == {"n1": V31, "n2": V30, "n3": V30}
    assert not any(cordoned for _, _, cordoned in site.nodes().values())


def test_a_disruption_budget_that_never_yields_is_named_and_the_node_left_as_it_was(site: Site) -> None:
    site.deploy()
    said = 'error when evicting pods/"web-7c" -n "shop" (will retry after 5s): Cannot evict pod as it would violate'
    words = "drain_n2_--ignore-daemonsets_--delete-emptydir-data_--timeout=60s"
    script = f"#!/bin/sh\necho '{said} the pod'\"'\"'s disruption budget.' >&2\necho 'error: timed out' >&2\nexit 1\n"
    site.lab["n1"].write(f"/lab/kubectl/{words}", script, 0o755)
    told = site.carry_out(site.order(V31))
    assert told.states() == {"n1": "done", "n2": "failed", "n3": "done"}
    assert "disruption budget still keeps shop/web-7c" in told.ended()["n2"].what
    assert site.nodes()["n2"] == (V30, "True", False)
    site.lab["n1"].run("rm -r /lab/kubectl")
    site.deploy(V31)
    assert site.nodes()["n2"] == (V31, "True", False)


def test_a_step_too_far_or_back_is_refused_and_nothing_is_touched(site: Site) -> None:
    site.deploy()
    before = site.started()
    told = site.carry_out(site.order(V32))
    assert "too many minor versions ahead" in told.ended()["n1"].what
    assert "v1.31" in told.ended()["n1"].hint
    assert site.started() == before
    site.deploy(V31)
    told = site.carry_out(site.order(V30))
    assert f"n1 runs k3s {V31}; going back to {V30} is not supported" in told.ended()["n1"].what
    assert site.nodes() == dict.fromkeys(ALL, (V31, "True", False))


def test_a_plan_of_an_upgrade_says_each_step_and_does_none(site: Site) -> None:
    site.deploy()
    before = site.started()
    told = site.deploy(V31, task="plan")
    assert told.done("n2")[:2] == [f"Keep k3s {V30}", "k3s"]
    assert {"Drain n1", "Copy of the database", f"k3s {V31}", "Start k3s", "Drain n2"} <= set(told.done())
    assert site.started() == before
    assert site.deploy().done() == []


# Where the child dies: a line that holds these words.
KILLED = {
    "in the middle of the first installation": ("", '"name":"Registries"'),
    "when the first server was told to start": ("", '"name":"Start k3s"'),
    "when the old binary has been kept": (V30, "Keep k3s"),
    "when the new binary lies beside": (V30, '"name":"k3s","state":"changed"'),
    "when the server has been drained": (V30, '"name":"Drain n1","state":"changed"'),
    "while the database is copied": (V30, '"what":"Copy of the database"'),
    "when the database has been copied": (V30, '"name":"Copy of the database"'),
    "when the binary has been replaced": (V30, f'"name":"k3s {V31}"'),
    "when the server was told to start anew": (V30, '"name":"Start k3s"'),
    "before pods are let onto the server again": (V30, '"what":"Let pods onto n1 again"'),
    "while an agent is drained": (V30, '"what":"Drain n2"'),
}


@pytest.mark.long
@pytest.mark.parametrize(("begun", "words"), KILLED.values(), ids=KILLED.keys())
def test_a_run_that_is_killed_is_taken_up_by_the_next(site: Site, begun: str, words: str) -> None:
    if begun:
        site.deploy(begun)
    site.interrupted(site.order(V31), words)
    site.deploy(V31)
    assert site.nodes() == dict.fromkeys(ALL, (V31, "True", False))
    if begun:
        assert begun in site.lab["n1"].run(f"{layout.PREVIOUS}/files{layout.BINARY} --version").stdout
        assert site.lab["n1"].read(f"{layout.PREVIOUS}/db/state.db").strip() == begun
    assert site.deploy(V31).done() == []


def test_an_upgrade_killed_at_its_worst_moment_can_still_go_back(site: Site) -> None:
    site.deploy()
    site.interrupted(site.order(V31), '"name":"Copy of the database"')
    site.lab["n1"].write("/etc/lab-k3s-breaks", f"{V31} late\n")
    told = site.carry_out(site.order(V31, timeout=30))
    assert f"n1 runs {V30} again" in told.ended()["n1"].what
    assert site.nodes() == dict.fromkeys(ALL, (V30, "True", False))

"""A run from site file to receipt, with a child that plays its part: what it is told, what is kept, how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance import locks
from appliance.cluster import receipts
from appliance.cluster.deploying import deploy, log_path, plan
from appliance.cluster.errors import ClusterBusy, NothingToDeploy, NotServed, RunFailed, UpgradeRefused
from appliance.cluster.journal import lock_path, watch
from appliance.cluster.preparing import Wish
from appliance.requests import Requests
from appliance.site.errors import NoSite, UnknownNode
from appliance.site.folder import SiteFolder
from appliance.store import Store
from archive.errors import Problem
from deploys.events import Event
from deploys.order import WAVES, Order
from tests.appliance.cluster.runs import TOKEN, VERSION, knowing, learned, wave, world
from tests.support import fakechild
from tests.support.crates import Key
from tests.support.fakechild import Step

ALL = [step for name in WAVES for step in wave(name, "n1", "n2", changed=name == "base")]


@pytest.fixture
def store(tmp_path: Path, key: Key) -> Iterator[Store]:
    with world(tmp_path, key) as made:
        yield made


def script(store: Store, *steps: Step) -> tuple[str, ...]:
    """A child that keeps its order, and plays `steps`."""
    order = {"order": str(store.root.parent / "order")}
    return fakechild.command(store.root.parent / "script", [order, *steps])


def told(store: Store) -> Order:
    """What the last child was told."""
    return Order.model_validate_json((store.root.parent / "order").read_text())


def silent(_event: Event) -> None:
    """Nobody watches."""


def known(store: Store, version: str = VERSION) -> None:
    """As after a run before."""
    for node in ("n1", "n2"):
        SiteFolder(store.root).learn_facts(node, {"k3s": version})


def test_the_order_is_the_site_file_and_the_crates_put_together(store: Store) -> None:
    known(store)
    receipt = deploy(store, Wish(), silent, command=script(store, *ALL))
    order, folder = told(store), SiteFolder(store.root)
    assert (receipt.outcome, receipt.record.changed) == ("done", 2)
    assert [(node.name, node.address, node.role, node.port, node.local) for node in order.nodes] == [
        ("n1", "10.77.0.11", "server", 22, False),
        ("n2", "10.77.0.12", "agent", 22, False),
    ]
    assert (order.task, order.waves, order.limit) == ("deploy", WAVES, ())
    assert order.k3s is not None
    assert order.k3s.version == VERSION
    assert order.crate.platforms == ("linux/amd64", "linux/arm64") == tuple(order.k3s.binaries)
    binary = order.k3s.binaries["linux/arm64"]
    assert binary.url == f"http://10.77.0.1:8080/blobs/sha256/{binary.sha256}"
    assert binary.size == len(b"k3s for arm64")
    assert order.k3s.token.get_secret_value() == folder.cluster_token()
    assert order.crate.authority.startswith("-----BEGIN CERTIFICATE-----")
    assert Path(order.ssh.key) == folder.key
    assert Path(order.ssh.known_hosts).exists()
    assert Path(order.images).read_text() == ""
    assert (order.base.network, order.base.domain) == ("10.77.0.0/24", "crate.internal")


def test_waves_and_nodes_can_be_picked(store: Store) -> None:
    wish = Wish(waves=("base",), limit=("n2",))
    receipt = deploy(store, wish, silent, command=script(store, *wave("base", "n2")))
    assert (told(store).waves, told(store).limit, told(store).k3s) == (("base",), ("n2",), None)
    assert receipt.nodes == ["n2"]


PROFILE = """
[profile]
name = "mine"
about = "A namespace, and nothing in it."
namespaces = ["mine"]
"""


def test_a_profile_that_a_crate_carries_is_deployed(tmp_path: Path, key: Key) -> None:
    files = {
        "profile.toml": PROFILE.encode(),
        "space.yaml": b"apiVersion: v1\nkind: Namespace\nmetadata: {name: mine}\n",
    }
    with world(tmp_path, key, more='[cluster]\nprofiles = ["mine"]', profiles={"mine": files}) as store:
        known(store)
        receipt = deploy(store, Wish(), silent, command=script(store, *ALL))
        (profile,) = told(store).profiles
    assert (profile.name, profile.namespaces, [*profile.manifests]) == ("mine", ("mine",), ["space.yaml"])
    assert "profiles  mine" in receipt.text()


def test_what_the_cluster_is_known_by_is_kept_and_given_back(store: Store) -> None:
    known(store)
    facts = learned(kubeconfig="apiVersion: v1\n", token="K10abc::server:secret", secret=True)
    deploy(store, Wish(), silent, command=script(store, *ALL, facts, learned("n1", memory=4096)))
    folder = SiteFolder(store.root)
    assert folder.kubeconfig.read_text() == "apiVersion: v1\n"
    assert folder.known_facts()["n1"] == {"k3s": VERSION, "memory": 4096}
    deploy(store, Wish(), silent, command=script(store, *ALL))
    order = told(store)
    assert order.k3s is not None
    assert order.k3s.token.get_secret_value() == "K10abc::server:secret"
    for path in (folder.kubeconfig, folder.server_token, folder.token, folder.journal, folder.facts, log_path(folder)):
        assert path.stat().st_mode & 0o777 == 0o600, path.name


def test_secrets_stand_neither_in_journal_nor_receipt_nor_log(store: Store) -> None:
    known(store)
    deploy(store, Wish(), silent, command=script(store, *ALL, learned(token=TOKEN, secret=True)))
    folder = SiteFolder(store.root)
    kept = b"".join(path.read_bytes() for path in (folder.journal, log_path(folder), *folder.receipts.iterdir()))
    assert TOKEN.encode() not in kept
    assert folder.cluster_token().encode() not in kept


def test_a_receipt_says_what_ran_for_whom_and_who_signed_it(store: Store) -> None:
    known(store)
    warning = {"event": "finding", "wave": "preflight", "node": "n2", "check": "memory", "level": "warning"}
    steps = [
        *wave("preflight", "n1", "n2"),
        {**warning, "what": "512 MiB", "hint": "add some"},
        *wave("base", "n1", "n2"),
        {**warning, "wave": "verify", "node": "", "check": "nodes", "level": "fine", "what": "2 nodes Ready"},
    ]
    deploy(store, Wish(), silent, command=script(store, *steps))
    found = receipts.latest(SiteFolder(store.root))
    assert found is not None
    assert (found["site"], found["task"], found["outcome"], found["k3s"]) == ("workshop", "deploy", "done", VERSION)
    assert found["crates"] == [{"name": "site", "serial": 1, "signed_by": ["release"]}]
    assert [(it["wave"], it["seconds"], it["nodes"]["n1"]["state"]) for it in found["waves"]] == [
        ("preflight", 1.5, "done"),
        ("base", 1.5, "done"),
    ]
    assert (found["proven"], [it["check"] for it in found["findings"]]) == (["2 nodes Ready"], ["memory"])
    (text,) = SiteFolder(store.root).receipts.glob("*.txt")
    page = text.read_text()
    assert "site 1, signed by release" in page
    assert "n2: warning, memory: 512 MiB" in page
    assert "hint: add some" in page
    assert "Verified:\n  2 nodes Ready\n" in page
    assert max(map(len, page.splitlines())) <= 100


def test_a_node_that_fails_fails_the_run_and_is_named_with_its_remedy(store: Store) -> None:
    known(store)
    steps = [*wave("base", "n1", "n2", failed="n2", state="unreachable"), *wave("server", "n1"), {"exit": 1}]
    receipt = deploy(store, Wish(), silent, command=script(store, *steps))
    assert receipt.outcome == "failed"
    assert "n2 unreachable in base: n2 has no room" in receipt.summary()
    assert "hint: make room" in receipt.summary()
    assert [wave["ok"] for wave in receipt.to_json()["waves"]] == [False, True]


def test_what_was_asked_for_in_vain_meanwhile_is_in_the_receipt(store: Store) -> None:
    known(store)
    requests = Requests(store.database)
    requests.record("image", "docker.io/library/before:1", "10.77.0.11")
    requests.flush()

    def see(event: Event) -> None:
        if event.event == "began" and event.wave == "cluster":
            requests.record("image", "docker.io/library/absent:1", "10.77.0.12")
            requests.flush()

    receipt = deploy(store, Wish(), see, command=script(store, *ALL))
    assert [request.name for request in receipt.unmet] == ["docker.io/library/absent:1"]
    assert "image docker.io/library/absent:1 (asked by 10.77.0.12)" in receipt.text()


def test_a_run_can_be_watched_while_it_goes_on_and_afterwards(store: Store) -> None:
    known(store)
    seen: list[tuple[str, Any]] = []

    def see(event: Event) -> None:
        watched = watch(SiteFolder(store.root))
        assert watched is not None
        seen.append((watched.record.current.name if watched.record.current else "", watched.outcome))

    assert watch(SiteFolder(store.root)) is None
    deploy(store, Wish(), see, command=script(store, *wave("base", "n1"), *wave("server", "n1")))
    assert seen == [("base", None), ("base", None), ("", None), ("server", None), ("server", None), ("", None)]
    after = watch(SiteFolder(store.root))
    assert after is not None
    assert (after.outcome, after.run["task"], after.run["nodes"]) == ("done", "deploy", ["n1", "n2"])


def test_a_child_that_dies_leaves_a_receipt_of_what_was_done(store: Store) -> None:
    known(store)
    with pytest.raises(RunFailed, match="SIGKILL"):
        deploy(store, Wish(), silent, command=script(store, *wave("base", "n1", "n2"), {"kill": 9}))
    found = receipts.latest(SiteFolder(store.root))
    assert found is not None
    assert found["outcome"] == "died"
    assert found["waves"][0]["ok"] is True
    watched = watch(SiteFolder(store.root))
    assert watched is not None
    assert watched.outcome == "died"


def test_ctrl_c_leaves_a_receipt_too(store: Store) -> None:
    known(store)

    def see(event: Event) -> None:
        if event.event == "node":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        deploy(store, Wish(), see, command=script(store, *wave("base", "n1", "n2"), {"sleep": 60}))
    found = receipts.latest(SiteFolder(store.root))
    assert found is not None
    assert found["outcome"] == "interrupted"
    assert not locks.held(lock_path(SiteFolder(store.root)))


def test_runs_take_turns(store: Store) -> None:
    folder = SiteFolder(store.root)
    with locks.hold(lock_path(folder), "deploy", Problem), pytest.raises(ClusterBusy, match=r"deploy \(process"):
        plan(store, Wish(), silent, command=script(store))


def test_a_plan_keeps_nothing_but_what_it_was_told_to_look_at(store: Store) -> None:
    known(store)
    record = plan(store, Wish(), silent, command=script(store, *ALL))
    assert told(store).task == "plan"
    assert record.changed == 2
    folder = SiteFolder(store.root)
    assert not folder.journal.exists()
    assert receipts.latest(folder) is None


def test_nodes_are_asked_first_where_it_is_not_known_what_they_run(store: Store) -> None:
    orders = store.root.parent / "orders"
    orders.mkdir()
    steps = [*wave("preflight", "n1", "n2"), *knowing("n1", "n2")]
    command = fakechild.command(store.root.parent / "script", [{"orders": str(orders)}, *steps])
    deploy(store, Wish(), silent, command=command)
    waves = [json.loads(path.read_text())["waves"] for path in sorted(orders.iterdir())]
    assert waves == [["preflight"], list(WAVES)]
    deploy(store, Wish(), silent, command=command)
    assert len([*orders.iterdir()]) == 3, "by now it is known"


def test_an_upgrade_that_skips_a_minor_release_is_refused_before_anything_is_done(store: Store) -> None:
    known(store, "v1.34.1+k3s1")
    steps = [*wave("preflight", "n1", "n2"), *knowing("n1", "n2", version="v1.34.1+k3s1")]
    with pytest.raises(UpgradeRefused, match=r"n1 runs k3s v1\.34\.1\+k3s1"):
        deploy(store, Wish(), silent, command=script(store, *steps))
    assert not SiteFolder(store.root).journal.exists()


def test_what_is_believed_of_nodes_may_be_old_and_is_asked_again_before_a_refusal(store: Store) -> None:
    known(store, "v1.30.1+k3s1")
    deploy(store, Wish(), silent, command=script(store, *wave("preflight", "n1", "n2"), *knowing("n1", "n2")))
    assert SiteFolder(store.root).known_facts()["n1"]["k3s"] == VERSION


def test_a_reset_forgets_the_nodes_that_came_through_it(store: Store) -> None:
    known(store)
    folder = SiteFolder(store.root)
    folder.write(folder.kubeconfig, b"x")
    folder.write(folder.server_token, b"x")
    failed = [*wave("reset", "n1", "n2", failed="n1"), {"exit": 1}]
    assert deploy(store, Wish("reset"), silent, command=script(store, *failed)).outcome == "failed"
    assert told(store).task == "reset"
    assert [*folder.known_facts()] == ["n1"]
    assert folder.kubeconfig.exists(), "a server is left"
    secret = folder.cluster_token()
    deploy(store, Wish("reset"), silent, command=script(store, *wave("reset", "n1", "n2")))
    assert folder.known_facts() == {}
    assert not folder.kubeconfig.exists()
    assert not folder.server_token.exists()
    assert folder.cluster_token() != secret, "the next cluster has another one"


def test_what_stands_in_the_way_of_a_run(store: Store, tmp_path: Path, key: Key) -> None:
    def refused(problem: type[Problem], wish: Wish, there: Store, said: str, hint: str) -> None:
        with pytest.raises(problem) as answer:
            deploy(there, wish, silent, command=script(there))
        assert said in answer.value.what
        assert hint in answer.value.hint

    refused(UnknownNode, Wish(limit=("n22",)), store, "'n22'", "did you mean n2?")
    site = SiteFolder(store.root).site
    whole = site.read_text()
    site.write_text(whole.replace("[[nodes]]", '[cluster]\nk3s = "v1.30.1+k3s1"\n\n[[nodes]]', 1))
    refused(NothingToDeploy, Wish(), store, "asks for k3s v1.30.1+k3s1", "[cluster] k3s")
    site.unlink()
    refused(NoSite, Wish(), store, "no site file is in force", "--site site.toml")
    with world(tmp_path / "other", key) as other:
        other.daemon_lock.unlink()
        refused(NotServed, Wish(), other, "nothing serves the store", "service install")

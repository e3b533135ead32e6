"""A node leaves the cluster and the site file, or stays in it until it could be reset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.cluster.deploying import deploy
from appliance.cluster.kubeconfig import kubeconfig
from appliance.cluster.leaving import leave
from appliance.cluster.preparing import Wish
from appliance.cluster.summary import summary
from appliance.site.errors import SiteInvalid, UnknownNode
from appliance.site.folder import SiteFolder
from appliance.site.model import Site
from appliance.store import Store
from deploys.events import Event
from deploys.order import Order
from tests.appliance.cluster.runs import wave, world
from tests.appliance.cluster.test_showing import K3S_YAML
from tests.support import fakechild
from tests.support.crates import Key
from tests.support.fakechild import Step


@pytest.fixture
def store(tmp_path: Path, key: Key) -> Iterator[Store]:
    with world(tmp_path, key) as made:
        folder = SiteFolder(made.root)
        folder.write(folder.server_token, b"K10abc::server:x\n")
        folder.learn_facts("n1", {"k3s": "v1.36.4+k3s1"})
        folder.learn_facts("n2", {"k3s": "v1.36.4+k3s1"})
        yield made


def script(store: Store, *steps: Step) -> tuple[str, ...]:
    order = {"order": str(store.root.parent / "order")}
    return fakechild.command(store.root.parent / "script", [order, *steps])


def silent(_event: Event) -> None:
    """Nobody watches."""


def names(store: Store) -> list[str]:
    return [node.name for node in SiteFolder(store.root).in_force().nodes]


OFF = [*wave("remove", "n1"), *wave("reset", "n2", failed="n2", state="unreachable"), {"exit": 1}]


def test_a_node_that_came_through_is_forgotten_and_unlisted(store: Store) -> None:
    folder = SiteFolder(store.root)
    folder.write(folder.known_hosts, b"10.77.0.11 ssh-ed25519 AAAA\n10.77.0.12 ssh-ed25519 BBBB\n")
    left = leave(
        store, "n2", silent, command=script(store, *wave("remove", "n1"), *wave("reset", "n2"), *wave("undo", "n2"))
    )
    order = Order.model_validate_json((store.root.parent / "order").read_text())
    assert (order.task, order.limit) == ("remove", ("n2",))
    assert left.unlisted
    assert names(store) == ["n1"]
    assert [*SiteFolder(store.root).known_facts()] == ["n1"], "the server that stayed is known as before"
    assert folder.known_hosts.read_text() == "10.77.0.11 ssh-ed25519 AAAA\n", "its key stands for it no more"
    assert "take it out of your own copy, too" in left.text()


def test_a_node_that_is_off_stays_listed_until_it_was_reset(store: Store) -> None:
    left = leave(store, "n2", silent, command=script(store, *OFF))
    assert not left.unlisted
    assert names(store) == ["n1", "n2"]
    assert "--lost" in left.text()


def test_a_node_that_is_lost_need_not_be_reset(store: Store) -> None:
    assert leave(store, "n2", silent, lost=True, command=script(store, *OFF)).unlisted
    assert names(store) == ["n1"]


def test_a_node_that_did_not_leave_the_cluster_stays_listed_even_when_lost(store: Store) -> None:
    failed = [*wave("remove", "n1", failed="n1"), {"exit": 1}]
    assert not leave(store, "n2", silent, lost=True, command=script(store, *failed)).unlisted
    assert names(store) == ["n1", "n2"]


def test_without_a_cluster_only_the_site_file_is_changed(store: Store) -> None:
    SiteFolder(store.root).server_token.unlink()
    left = leave(store, "n2", silent, command=script(store, {"exit": 9}))
    assert (left.unlisted, left.receipt) == (True, None)
    assert names(store) == ["n1"]


def test_a_site_that_lost_one_of_three_servers_can_be_looked_at_and_mended_though_not_deployed(store: Store) -> None:
    folder = SiteFolder(store.root)
    more = [f'\n[[nodes]]\nname = "n{number}"\naddress = "10.77.0.1{number}"\nrole = "server"\n' for number in (3, 4)]
    folder.keep(Site.parse(folder.site, folder.site.read_text() + "".join(more)))
    folder.write(folder.kubeconfig, K3S_YAML.encode())
    gone = script(store, *wave("remove", "n1"), *wave("reset", "n3", failed="n3", state="unreachable"), {"exit": 1})
    assert leave(store, "n3", silent, lost=True, command=gone).unlisted
    left = summary(folder)
    assert left is not None
    assert left.nodes == 3
    assert "server: https://10.77.0.11:6443" in kubeconfig(folder)
    with pytest.raises(SiteInvalid, match="2 nodes are servers"):
        deploy(store, Wish(), silent, command=script(store, {"exit": 0}))
    again = script(store, *wave("remove", "n1"), *wave("reset", "n4"), *wave("undo", "n4"))
    assert leave(store, "n4", silent, command=again).unlisted
    assert names(store) == ["n1", "n2"]


def test_a_node_that_there_is_not(store: Store) -> None:
    with pytest.raises(UnknownNode, match="no node n9"):
        leave(store, "n9", silent, command=script(store))

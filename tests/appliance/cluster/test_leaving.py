"""A node leaves the cluster and the site file, or stays in it until it could be reset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.cluster.leaving import leave
from appliance.site.errors import UnknownNode
from appliance.site.folder import SiteFolder
from appliance.store import Store
from deploys.events import Event
from deploys.order import Order
from tests.appliance.cluster.runs import wave, world
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
    left = leave(
        store, "n2", silent, command=script(store, *wave("remove", "n1"), *wave("reset", "n2"), *wave("undo", "n2"))
    )
    order = Order.model_validate_json((store.root.parent / "order").read_text())
    assert (order.task, order.limit) == ("remove", ("n2",))
    assert left.unlisted
    assert names(store) == ["n1"]
    assert [*SiteFolder(store.root).known_facts()] == ["n1"], "the server that stayed is known as before"
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


def test_a_node_that_there_is_not(store: Store) -> None:
    with pytest.raises(UnknownNode, match="no node n9"):
        leave(store, "n9", silent, command=script(store))

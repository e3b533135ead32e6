"""Labels and taints of a node in the cluster: which commands lead from what it has to what the site file says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from deploys.k3s.registration import LABELS, TAINTS, commands
from tests.deploys.k3s.orders import agent


def found(
    labels: Mapping[str, str] | None = None, taints: tuple[str, ...] = (), ours: str = "", ours_tainted: str = ""
) -> dict[str, Any]:
    """A Node object that others have labelled and tainted as well."""
    parsed = [(*text.rpartition(":")[0].partition("=")[::2], text.rpartition(":")[2]) for text in taints]
    return {
        "metadata": {
            "labels": {"kubernetes.io/hostname": "n2", **(labels or {})},
            "annotations": {name: text for name, text in ((LABELS, ours), (TAINTS, ours_tainted)) if text},
        },
        "spec": {"taints": [{"key": key, "value": value, "effect": effect} for key, value, effect in parsed]},
    }


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "nothing wanted and nothing given": ({}, found({"foreign": "x"}), []),
    "all as it should be": ({"labels": {"a": "1"}}, found({"a": "1"}, ours="a"), []),
    "a node that registered with its label": (
        {"labels": {"a": "1"}},
        found({"a": "1"}),
        [f"annotate {LABELS}=a"],
    ),
    "a label of which a kubelet may not speak": (
        {"labels": {"node-role.kubernetes.io/shelf": ""}},
        found(),
        [f"annotate {LABELS}=node-role.kubernetes.io/shelf", "label node-role.kubernetes.io/shelf="],
    ),
    "another value": ({"labels": {"a": "2"}}, found({"a": "1"}, ours="a"), ["label a=2"]),
    "a label less, and not the foreign one": (
        {"labels": {"a": "1"}},
        found({"a": "1", "b": "2", "foreign": "x"}, ours="a,b"),
        ["label b-", f"annotate {LABELS}=a"],
    ),
    "a label that somebody took off already": (
        {},
        found(ours="a"),
        [f"annotate {LABELS}="],
    ),
    "a taint more": (
        {"taints": ("b=1:NoSchedule",)},
        found(taints=("node.kubernetes.io/unschedulable:NoSchedule",)),
        [f"annotate {TAINTS}=b:NoSchedule", "taint b=1:NoSchedule"],
    ),
    "a taint of another value": (
        {"taints": ("b=2:NoSchedule",)},
        found(taints=("b=1:NoSchedule",), ours_tainted="b:NoSchedule"),
        ["taint b=2:NoSchedule"],
    ),
    "a taint of another effect": (
        {"taints": ("b:NoExecute",)},
        found(taints=("b:NoSchedule", "foreign:NoSchedule"), ours_tainted="b:NoSchedule"),
        [
            f"annotate {TAINTS}=b:NoExecute,b:NoSchedule",
            "taint b:NoExecute b:NoSchedule-",
            f"annotate {TAINTS}=b:NoExecute",
        ],
    ),
}


@pytest.mark.parametrize(("wishes", "node", "told"), CASES.values(), ids=CASES.keys())
def test_kubectl_is_told(wishes: dict[str, Any], node: dict[str, Any], told: list[str]) -> None:
    words = list(commands(agent(**wishes), node))
    assert [f"{each[0]} {' '.join(word for word in each[3:] if word != '--overwrite')}" for each in words] == told
    assert all(each[1:3] == ("node", "n2") for each in words)

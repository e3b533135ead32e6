"""What verify says of a cluster, by what the cluster says of itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deploys.order import Node
from deploys.verify.judging import Expected, faults, judge
from tests.deploys.cluster.documents import Document, deployment, node, pod

DIGEST, OTHER = (f"sha256:{letter * 64}" for letter in "ab")
NODES = (Node(name="n1", address="10.77.0.11", role="server"), Node(name="n2", address="10.77.0.12", role="agent"))
LOADED = "was loaded from an archive, whose images are not listed one by one"
EXPECTED = Expected(NODES, {"n1", "n2"}, "v1.36.4+k3s1", {DIGEST})
BOTH = [node("n1"), node("n2")]
GOOD = [deployment(), pod(image_id=f"ghcr.io/team/app@{DIGEST}")]

CASES: dict[str, tuple[list[Document], list[Document], dict[str, Any], list[str]]] = {
    "all is well": (
        BOTH,
        GOOD,
        {},
        [
            "fine nodes: 2 nodes Ready, v1.36.4+k3s1",
            "fine workloads: 1 workload available",
            "fine images: all images are the crate's (1 container)",
        ],
    ),
    "a node that is not in the cluster": (
        BOTH[:1],
        GOOD,
        {},
        [
            "fatal nodes: n2 is not in the cluster",
            "fine workloads: 1 workload available",
            "fine images: all images are the crate's (1 container)",
        ],
    ),
    "a node that was off during the run is told mildly": (
        [node("n1"), node("n2", ready=False, message="Kubelet stopped posting node status.")],
        [],
        {"there": {"n1"}},
        ["warning nodes: n2 is not Ready: Kubelet stopped posting node status."],
    ),
    "a node that is not Ready": (
        [node("n1"), node("n2", ready=False)],
        [],
        {},
        ["fatal nodes: n2 is not Ready"],
    ),
    "a node of another version": (
        [node("n1"), node("n2", version="v1.35.1+k3s1")],
        [],
        {},
        ["fatal versions: n2 runs v1.35.1+k3s1, and v1.36.4+k3s1 was ordered"],
    ),
    "a kubelet that is not k3s' own": (
        [node("n1", version="v1.36.4"), node("n2")],
        [],
        {},
        ["fine nodes: 2 nodes Ready, v1.36.4+k3s1"],
    ),
    "a node that nobody wrote down": (
        [*BOTH, node("n9")],
        [],
        {},
        [
            "warning nodes: n9 is in the cluster and not in the site file",
            "fine nodes: 2 nodes Ready, v1.36.4+k3s1",
        ],
    ),
    "a workload that does not run": (
        BOTH,
        [deployment(ready=0), pod(reason="CrashLoopBackOff")],
        {},
        [
            "fine nodes: 2 nodes Ready, v1.36.4+k3s1",
            "fatal workloads: Deployment lab/web: 0 of 1 (web-1: CrashLoopBackOff)",
        ],
    ),
    "an image from somewhere else": (
        BOTH,
        [pod(image_id=f"docker.io/evil/app@{OTHER}"), pod("web-2", image_id=f"docker.io/evil/app@{OTHER}")],
        {},
        [
            "fine nodes: 2 nodes Ready, v1.36.4+k3s1",
            f"fatal images: r/app:1 ({OTHER}) is not in the crate, and runs in lab/web-1, lab/web-2",
        ],
    ),
    "the same image by another name is the same image": (
        BOTH,
        [pod(image_id=f"mirror.example.org/renamed@{DIGEST}")],
        {},
        ["fine nodes: 2 nodes Ready, v1.36.4+k3s1", "fine images: all images are the crate's (1 container)"],
    ),
    "an image that was loaded by hand": (
        BOTH,
        [pod(image_id=OTHER)],
        {},
        [
            "fine nodes: 2 nodes Ready, v1.36.4+k3s1",
            f"fatal images: r/app:1 ({OTHER}) is not in the crate, and runs in lab/web-1",
        ],
    ),
    "an image out of the release's archive": (
        BOTH,
        [pod(image_id=OTHER)],
        {"unlisted": True},
        [
            "fine nodes: 2 nodes Ready, v1.36.4+k3s1",
            f"warning images: r/app:1 ({OTHER}) {LOADED}; runs in lab/web-1",
        ],
    ),
    "no list of digests to judge by": (
        BOTH,
        [pod(image_id=OTHER)],
        {"digests": None},
        ["fine nodes: 2 nodes Ready, v1.36.4+k3s1"],
    ),
    "a container that has not begun has no image to judge": (
        BOTH,
        [pod(reason="ContainerCreating")],
        {},
        ["fine nodes: 2 nodes Ready, v1.36.4+k3s1"],
    ),
}


@pytest.mark.parametrize(("nodes", "items", "change", "said"), CASES.values(), ids=CASES)
def test_the_judgement(nodes: list[Document], items: list[Document], change: dict[str, Any], said: list[str]) -> None:
    verdicts = judge(nodes, items, replace(EXPECTED, **change))
    assert [f"{it.level} {it.check}: {it.what}" for it in verdicts] == said
    assert all(it.hint for it in verdicts if it.level != "fine"), "every fault has its remedy"


def test_only_what_time_may_mend_is_waited_for() -> None:
    def passing(nodes: list[Document], items: list[Document]) -> list[bool]:
        return [it.passes for it in faults(judge(nodes, items, EXPECTED))]

    assert passing(BOTH[:1], [deployment(ready=0)]) == [True, True]
    assert passing(BOTH, [pod(image_id=f"x@{OTHER}")]) == [False]

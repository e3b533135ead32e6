"""Whether a workload runs, and what is said of one that does not."""

from __future__ import annotations

from typing import Any

import pytest

from deploys.cluster.objects import ObjectId
from deploys.cluster.workloads import charts, late, services
from tests.deploys.cluster.documents import Document, daemons, deployment, pod, service

WEB = {ObjectId("apps/v1", "Deployment", "lab", "web"): "m1"}
UNSCHEDULED: Document = {
    **pod(),
    "status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes have memory"}]},
}

CASES: dict[str, tuple[list[Document], str]] = {
    "all is there": ([deployment(), pod()], ""),
    "k3s has not looked yet": ([], "lab/web is not there yet"),
    "k3s still has the content before": ([deployment(mark="m0")], "lab/web is not the new one yet"),
    "none of it runs yet": ([deployment(ready=0)], "lab/web: 0 of 1"),
    "some of it runs": ([deployment(ready=2, wanted=3)], "lab/web: 2 of 3"),
    "the old pods still stand in for the new": (
        [deployment(ready=3, wanted=3, updatedReplicas=1)],
        "lab/web: 3 of 3, 1 of them new",
    ),
    "the controller has not seen the change": ([deployment(observedGeneration=1)], "lab/web: not looked at yet"),
    "its container is being made": (
        [deployment(ready=0), pod(reason="ContainerCreating")],
        "lab/web: 0 of 1 (web-1: being started)",
    ),
    "its image cannot be had": (
        [deployment(ready=0), pod(reason="ImagePullBackOff", message="not  found\nanywhere")],
        "lab/web: 0 of 1 (web-1: ImagePullBackOff: not found anywhere)",
    ),
    "no node takes it": (
        [deployment(ready=0), UNSCHEDULED],
        "lab/web: 0 of 1 (web-1: no node takes it: 0/3 nodes have memory)",
    ),
    "another's pod is none of its own": (
        [deployment(ready=0), pod(app="other", reason="CrashLoopBackOff")],
        "lab/web: 0 of 1",
    ),
    "nobody wants any of it": ([deployment(ready=0, wanted=0)], ""),
    "a chart's own workload in the same namespace": (
        [deployment(), daemons(available=2, desired=3)],
        "lab/speaker: 2 of 3",
    ),
    "all of a chart's": ([deployment(), daemons(available=3, desired=3)], ""),
    "a daemon that is being replaced": (
        [deployment(), daemons(available=3, desired=3, updated=1)],
        "lab/speaker: 3 of 3, 1 of them new",
    ),
}


@pytest.mark.parametrize(("items", "said"), CASES.values(), ids=CASES)
def test_what_does_not_run_yet_is_told(items: list[Document], said: str) -> None:
    assert "; ".join(map(str, late(items, WEB, {"lab"}))) == said


def test_a_daemon_set_that_nobody_has_counted_yet_is_not_there() -> None:
    fresh: dict[str, Any] = {**daemons(available=0, desired=0), "status": {}}
    assert [str(it) for it in late([fresh], {}, {"lab"})] == ["lab/speaker: not looked at yet"]


def test_a_namespace_of_a_chart_is_waited_for_until_something_is_in_it() -> None:
    assert [str(it) for it in late([deployment()], {}, {"lab", "metallb-system"})] == [
        "nothing runs in metallb-system yet"
    ]


def test_what_does_not_mend_itself_is_told_apart() -> None:
    [missing] = late([deployment(ready=0), pod(reason="ErrImagePull", image="r/lost:1")], WEB, {"lab"})
    assert (missing.hopeless, missing.image) == (True, "r/lost:1")
    [slow] = late([deployment(ready=0), pod(reason="ContainerCreating")], WEB, {"lab"})
    assert not slow.hopeless


def chart(failed: str = "False", message: str = "") -> Document:
    condition = {"type": "Failed", "status": failed, "message": message}
    return {"kind": "HelmChart", "metadata": {"name": "pool"}, "status": {"conditions": [condition]}}


def installing(**waiting: str) -> Document:
    made = pod("helm-install-pool-x", **waiting)
    made["metadata"]["labels"] = {"helmcharts.helm.cattle.io/chart": "pool"}
    return made


INSTALLING: dict[str, tuple[Document, list[Document], list[str]]] = {
    "it goes on": (chart(), [installing()], []),
    "its pod is being started": (chart(), [installing(reason="ContainerCreating")], []),
    "k3s says that it failed": (
        chart("True", "chart\n not found"),
        [],
        ["the chart pool cannot be installed (chart not found)"],
    ),
    "what installs it has no image": (
        chart(),
        [pod(reason="ErrImagePull"), installing(reason="ErrImagePull", message="not found")],
        ["the chart pool is not installed (helm-install-pool-x: ErrImagePull: not found)"],
    ),
}


@pytest.mark.parametrize(("found", "pods", "said"), INSTALLING.values(), ids=INSTALLING)
def test_a_chart_that_cannot_be_installed_is_told(found: Document, pods: list[Document], said: list[str]) -> None:
    delays = charts([found], pods)
    assert [str(it) for it in delays] == said
    assert all(it.hopeless for it in delays)


def test_services_have_their_addresses_but_those_without() -> None:
    assert services([service(), service("headless", "None"), pod()]) == {("web", "lab"): "10.43.0.7"}

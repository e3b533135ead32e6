"""Whether workloads run, told from `kubectl get … -o json`; and what to say while they do not yet. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploys.cluster.objects import ObjectId, mark

Object = Mapping[str, Any]

KINDS = ("Deployment", "DaemonSet", "StatefulSet")
ASKED = "deployments.apps,daemonsets.apps,statefulsets.apps,pods,services"
"""What kubectl is asked for, all namespaces at once."""

CHARTS = "helmcharts.helm.cattle.io"
"""The kind by which k3s installs charts; not every cluster has it."""

_CHART = "helmcharts.helm.cattle.io/chart"  # the label of the pods that install one
_HOPELESS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CrashLoopBackOff", "CreateContainerConfigError"}
)


@dataclass(frozen=True, slots=True)
class Late:
    """A workload that does not run yet: what to say of it, why as its pods tell it, and whether waiting will help."""

    what: str
    why: str = ""
    image: str = ""
    hopeless: bool = False

    def __str__(self) -> str:
        return f"{self.what} ({self.why})" if self.why else self.what


def late(items: Sequence[Object], wanted: Mapping[ObjectId, str], namespaces: Collection[str]) -> list[Late]:
    """What of `wanted` (with the marks of their contents) and of all workloads in `namespaces` does not run yet."""
    live = {ObjectId.of(item): item for item in items if item.get("kind") in KINDS}
    found = []
    for identity, content in wanted.items():
        if identity.kind in KINDS and mark(live.get(identity, {})) != content:
            found.append(Late(f"{_short(identity)} is not there yet" if identity not in live else _stale(identity)))
    for identity, item in live.items():
        waits_for = wanted.get(identity)
        current = waits_for is None or mark(item) == waits_for
        if identity.namespace in namespaces and current and (delay := delayed(item, items)):
            found.append(delay)
    busy = {it.namespace for it in (*live, *wanted) if it.kind in KINDS}
    # a chart is still being installed
    return [*found, *(Late(f"nothing runs in {namespace} yet") for namespace in sorted(set(namespaces) - busy))]


def delayed(item: Object, items: Sequence[Object]) -> Late | None:
    """Why a workload is not available, or None when it is. `items` hold its pods."""
    identity = ObjectId.of(item)
    status, spec = item.get("status", {}), item.get("spec", {})
    if identity.kind == "DaemonSet":
        wanted, there = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
        updated = status.get("updatedNumberScheduled", wanted)
        settled = "desiredNumberScheduled" in status
    else:
        wanted = spec.get("replicas", 1)
        there = status.get("availableReplicas", status.get("readyReplicas", 0))
        updated, settled = status.get("updatedReplicas", there), True
    seen = status.get("observedGeneration", 0) >= item.get("metadata", {}).get("generation", 0)
    if seen and settled and min(there, updated) >= wanted:
        return None
    if not seen or not settled:
        return Late(f"{_short(identity)}: not looked at yet")
    what = f"{_short(identity)}: {there} of {wanted}" + (f", {updated} of them new" if updated < there else "")
    pods = [pod for pod in items if pod.get("kind") == "Pod" and _belongs(pod, item)]
    for pod in pods:
        if trouble := _trouble(pod):
            why, image, hopeless = trouble
            return Late(what, f"{pod['metadata']['name']}: {why}", image, hopeless)
    return Late(what)


def charts(found: Iterable[Object], pods: Sequence[Object]) -> list[Late]:
    """Charts of `found` (HelmChart objects) whose installation fails, as k3s says of them or their pods show."""
    failing = []
    for chart in found:
        name = str(chart["metadata"]["name"])
        conditions = {it.get("type"): it for it in chart.get("status", {}).get("conditions", ())}
        if conditions.get("Failed", {}).get("status") == "True":
            why = " ".join(str(conditions["Failed"].get("message", "")).split())[-300:]
            failing.append(Late(f"the chart {name} cannot be installed", why, hopeless=True))
            continue
        for pod in pods:
            own = pod.get("metadata", {}).get("labels", {}).get(_CHART) == name
            if own and (trouble := _trouble(pod)) and trouble[2]:
                why, image, hopeless = trouble
                failing.append(
                    Late(f"the chart {name} is not installed", f"{pod['metadata']['name']}: {why}", image, hopeless)
                )
    return failing


def _belongs(pod: Object, item: Object) -> bool:
    labels = pod.get("metadata", {}).get("labels", {})
    selector = item.get("spec", {}).get("selector", {}).get("matchLabels", {})
    same = pod.get("metadata", {}).get("namespace") == item["metadata"].get("namespace")
    return same and bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def _trouble(pod: Object) -> tuple[str, str, bool] | None:
    """What keeps a pod from running, the image that it is about, and whether that goes away by itself."""
    status = pod.get("status", {})
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = container.get("state", {}).get("waiting", {})
        reason = waiting.get("reason", "")
        if reason and reason not in {"ContainerCreating", "PodInitializing"}:
            message = " ".join(str(waiting.get("message", "")).split())[:300]
            return f"{reason}: {message}".rstrip(": "), str(container.get("image", "")), reason in _HOPELESS
        if waiting:
            return "being started", "", False
    for condition in status.get("conditions", ()):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"no node takes it: {condition.get('message', '')}".rstrip(": "), "", False
    return None


def services(items: Iterable[Object]) -> dict[tuple[str, str], str]:
    """The address of each service inside the cluster, by (name, namespace)."""
    return {(it["metadata"]["name"], it["metadata"].get("namespace", "")): ip for it, ip in _addresses(items)}


def _addresses(items: Iterable[Object]) -> Iterator[tuple[Object, str]]:
    for item in items:
        ip = item.get("spec", {}).get("clusterIP", "")
        if item.get("kind") == "Service" and ip not in {"", "None"}:
            yield item, str(ip)


def _stale(identity: ObjectId) -> str:
    return f"{_short(identity)} is not the new one yet"


def _short(identity: ObjectId) -> str:
    return f"{identity.namespace}/{identity.name}"

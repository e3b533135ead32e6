"""Objects of a cluster as `kubectl get -o json` tells them, with as much as anybody here reads."""

from __future__ import annotations

from typing import Any

from manifests.rendering import CONTENT

Document = dict[str, Any]


def deployment(name: str = "web", *, ready: int = 1, wanted: int = 1, mark: str = "m1", **status: Any) -> Document:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "lab", "generation": 2, "annotations": {CONTENT: mark}},
        "spec": {"replicas": wanted, "selector": {"matchLabels": {"app": name}}},
        "status": {"observedGeneration": 2, "availableReplicas": ready, "updatedReplicas": ready, **status},
    }


def daemons(*, available: int, desired: int, updated: int | None = None) -> Document:
    counts = {"desiredNumberScheduled": desired, "numberAvailable": available}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "speaker", "namespace": "lab", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "speaker"}}},
        "status": {
            "observedGeneration": 1,
            **counts,
            "updatedNumberScheduled": desired if updated is None else updated,
        },
    }


def pod(
    name: str = "web-1", *, app: str = "web", image: str = "r/app:1", image_id: str = "", **waiting: str
) -> Document:
    state = {"waiting": waiting} if waiting else {"running": {}}
    container = {"name": app, "image": image, "imageID": image_id, "state": state}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "lab", "labels": {"app": app}},
        "status": {"phase": "Running", "containerStatuses": [container]},
    }


def service(name: str = "web", ip: str = "10.43.0.7") -> Document:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "lab"},
        "spec": {"clusterIP": ip},
    }


def node(name: str, *, ready: bool = True, version: str = "v1.36.4+k3s1", message: str = "") -> Document:
    condition = {"type": "Ready", "status": "True" if ready else "False", "message": message}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "status": {"conditions": [condition], "nodeInfo": {"kubeletVersion": version}},
    }

"""What *verify* finds in `kubectl get … -o json`. Pure: documents in, verdicts out."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from deploys.cluster import workloads
from deploys.cluster.objects import ObjectId
from deploys.cluster.workloads import Object
from deploys.events import Level
from deploys.k3s.kubectl import ready
from deploys.order import Node

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAMED = 6  # of many alike, so many are named


@dataclass(frozen=True, slots=True)
class Verdict:
    """One line of the judgement. `node` is empty for the cluster; `passes` when waiting may mend it."""

    check: str
    level: Level
    what: str
    hint: str = ""
    node: str = ""
    passes: bool = False


@dataclass(frozen=True)
class Expected:
    """What was ordered. `there` are the names of the nodes that this run got through to; others are told mildly.

    `digests` are those of the crate's images, or None when nobody may judge by them. `unlisted` when images also came
    in archives whose contents are not among them.
    """

    nodes: Sequence[Node]
    there: Collection[str]
    version: str
    digests: Collection[str] | None
    unlisted: bool = False


def judge(nodes: Sequence[Object], items: Sequence[Object], expected: Expected) -> list[Verdict]:
    """`nodes` are the cluster's Node objects, `items` its workloads, pods and services."""
    return [*_nodes(nodes, expected), *_workloads(items), *_images(items, expected)]


def faults(verdicts: Iterable[Verdict]) -> list[Verdict]:
    return [verdict for verdict in verdicts if verdict.level == "fatal"]


def _nodes(nodes: Sequence[Object], expected: Expected) -> Iterator[Verdict]:
    live = {str(node["metadata"]["name"]): node for node in nodes}
    good = 0
    for node in expected.nodes:
        bad: Level = "fatal" if node.name in expected.there else "warning"
        found = live.get(node.name)
        if found is None:
            hint = f"crate-appliance deploy --limit {node.name} lets it join"
            yield Verdict("nodes", bad, f"{node.name} is not in the cluster", hint, node.name, passes=True)
        elif not ready(found):
            hint = f"journalctl -u k3s -u k3s-agent on {node.name} tells more"
            yield Verdict("nodes", bad, f"{node.name} is not Ready{_reason(found)}", hint, node.name, passes=True)
        elif (runs := _version(found)) and not _same(runs, expected.version):
            what = f"{node.name} runs {runs}, and {expected.version} was ordered"
            yield Verdict("versions", bad, what, f"crate-appliance deploy --limit {node.name}", node.name, passes=True)
        else:
            good += 1
    for name in sorted(live.keys() - {node.name for node in expected.nodes}):
        what = f"{name} is in the cluster and not in the site file"
        hint = f"add it to site.toml, or take it out: k3s kubectl delete node {name}, on a server"
        yield Verdict("nodes", "warning", what, hint, name)
    if good == len(expected.nodes):
        version = f", {expected.version}" if expected.version else ""
        yield Verdict("nodes", "fine", f"{_count(good, 'node')} Ready{version}")


def _workloads(items: Sequence[Object]) -> Iterator[Verdict]:
    every = [item for item in items if item.get("kind") in workloads.KINDS]
    delays = {ObjectId.of(item): delay for item in every if (delay := workloads.delayed(item, items))}
    for identity, delay in delays.items():
        hint = f"k3s kubectl -n {identity.namespace} describe pods, on a server, tells more"
        yield Verdict("workloads", "fatal", f"{identity.kind} {delay}", hint, passes=True)
    if every and not delays:
        yield Verdict("workloads", "fine", f"{_count(len(every), 'workload')} available")


def _images(items: Sequence[Object], expected: Expected) -> Iterator[Verdict]:
    """Every container's image, by the digest that the kubelet pulled it by."""
    if expected.digests is None:
        return
    known = frozenset(expected.digests)
    judged = 0
    foreign: dict[str, list[str]] = {}
    unknown: dict[str, list[str]] = {}
    for pod, image, image_id in _containers(items):
        judged += 1
        found = _DIGEST.findall(image_id)
        if found and found[-1] in known:
            continue
        # without a name before it the digest is a config's: the image was loaded from an archive, not pulled
        loaded = expected.unlisted and "@" not in image_id
        (unknown if loaded else foreign).setdefault(f"{image} ({(found or [image_id])[-1]})", []).append(pod)
    for image, pods in foreign.items():
        what = f"{image} is not in the crate, and runs in {_some(pods)}"
        yield Verdict("images", "fatal", what, "find out who brought it there; a crate that holds it makes this well")
    for image, pods in unknown.items():
        what = f"{image} was loaded from an archive, whose images are not listed one by one; runs in {_some(pods)}"
        yield Verdict("images", "warning", what, "[k3s] airgap = false in the recipe brings them one by one")
    if judged and not foreign and not unknown:
        yield Verdict("images", "fine", f"all images are the crate's ({_count(judged, 'container')})")


def _containers(items: Sequence[Object]) -> Iterator[tuple[str, str, str]]:
    """Pod, image and image id of every container that has one."""
    for item in items:
        if item.get("kind") != "Pod":
            continue
        status = item.get("status", {})
        name = f"{item['metadata'].get('namespace', '')}/{item['metadata']['name']}"
        for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            if container.get("imageID"):
                yield name, str(container.get("image", "")), str(container["imageID"])


def _reason(node: Object) -> str:
    for condition in node.get("status", {}).get("conditions", ()):
        if condition.get("type") == "Ready" and condition.get("message"):
            return f": {str(condition['message'])[:200]}"
    return ""


def _version(node: Object) -> str:
    return str(node.get("status", {}).get("nodeInfo", {}).get("kubeletVersion", ""))


def _same(runs: str, ordered: str) -> bool:
    """A kubelet that is not k3s' own names no release of k3s."""
    return not ordered or runs == ordered or ("+" not in runs and runs == ordered.partition("+")[0])


def _some(names: Sequence[str]) -> str:
    distinct = sorted(set(names))
    more = len(distinct) - _NAMED
    return ", ".join(distinct[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")

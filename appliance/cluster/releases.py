"""Which k3s the cluster is to run, and whether there is a way to it from what runs now. Pure.

Kubernetes upgrades servers one minor release at a time and does not go back ("Version Skew Policy"); a kubelet may be
up to three minor releases older than the servers, so agents may catch up with more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from semver import Version

from appliance.cluster.errors import NothingToDeploy, UpgradeRefused

_FORM = re.compile(r"v(?P<kubernetes>[^+]+)\+k3s(?P<revision>\d+)")
_KUBELET_BEHIND = 3  # minor releases

Key = tuple[Version, int]


@dataclass(frozen=True, slots=True)
class Running:
    """What a node runs; `version` is empty where there is no k3s yet, or where nobody knows."""

    node: str
    role: Literal["server", "agent"]
    version: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The release that all nodes are to run, and from which each that runs an older one is taken there."""

    version: str
    upgrades: Mapping[str, str] = field(default_factory=dict)


def key(version: str) -> Key:
    """What orders `v1.36.4+k3s2`. Raises `ValueError`."""
    form = _FORM.fullmatch(version)
    if form is None:
        raise ValueError(f"{version!r} is not a k3s release")
    return Version.parse(form["kubernetes"]), int(form["revision"])


def newest(versions: Iterable[str]) -> str:
    """Empty when there are none. What is no release of k3s does not count."""
    return max((version for version in versions if _FORM.fullmatch(version)), key=key, default="")


def choose(carried: Sequence[str], wanted: str) -> str:
    """The release to deploy: the one that the site file wants, else the newest carried. Raises `NothingToDeploy`."""
    chosen = wanted or newest(carried)
    if not chosen:
        raise NothingToDeploy(
            "no active crate brings a k3s", hint="add [k3s] to the recipe, build a crate of it and install that"
        )
    if chosen not in carried:
        there = ", ".join(sorted(carried, key=key)) or "no k3s at all"
        raise NothingToDeploy(
            f"the site file asks for k3s {chosen}, and the active crates bring {there}",
            hint="name one of those under [cluster] k3s, or leave it out for the newest",
        )
    return chosen


def decide(nodes: Iterable[Running], version: str, carried: Sequence[str] = ()) -> Decision:
    """Whether `nodes` can be taken to `version`. `carried` are the releases at hand, to name one that leads on.

    Raises `UpgradeRefused`, naming the node, both releases and the way on.
    """
    target = key(version)
    upgrades = {}
    for node in nodes:
        if not node.version:
            continue
        try:
            here = key(node.version)
        except ValueError as error:
            raise UpgradeRefused(
                f"{node.node} runs {node.version!r}, which is not a release of k3s",
                hint=f"crate-appliance reset --node {node.node} takes it off",
            ) from error
        _check(node, here, target, version, carried)
        if here < target:
            upgrades[node.node] = node.version
    return Decision(version, upgrades)


def _check(node: Running, here: Key, target: Key, version: str, carried: Sequence[str]) -> None:
    if here > target:
        raise UpgradeRefused(
            f"{node.node} runs k3s {node.version}, and the crate brings the older {version}; k3s does not go back",
            hint=f"install a crate with {node.version} or a later one; to begin anew with {version}, "
            "crate-appliance reset comes first",
        )
    # A kubelet has no database to migrate; only what speaks to it counts.
    far = 1 if node.role == "server" else _KUBELET_BEHIND
    (old, _), (new, _) = here, target
    if new.major != old.major or new.minor - old.minor > far:
        raise UpgradeRefused(
            f"{node.node} runs k3s {node.version}; {version} skips "
            f"{'minor releases in between' if new.major == old.major else 'to another major release'}",
            hint=_way_on(node, old, carried),
        )


def _way_on(node: Running, old: Version, carried: Sequence[str]) -> str:
    if node.role == "agent":
        return f"crate-appliance reset --node {node.node}, then deploy: it joins anew"
    step = f"v{old.major}.{old.minor + 1}"
    between = newest(one for one in carried if one.startswith(f"{step}."))
    if between:
        return f'write k3s = "{between}" under [cluster] in the site file and deploy; then leave it out again'
    return f"install a crate with k3s {step} and deploy that first"

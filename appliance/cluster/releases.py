"""Which k3s the cluster is to run, and whether there is a way to it from what runs now. Pure.

What is a step that Kubernetes allows, the waves decide (`deploys.k3s.versions`); here it is asked of all nodes before
any of them is touched, and what the crates have at hand leads on where a step is too far.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from appliance.cluster.errors import NothingToDeploy, UpgradeRefused
from archive.errors import InvalidValue
from deploys.errors import UnfitRelease
from deploys.k3s.versions import check_step, key
from deploys.order import Role


@dataclass(frozen=True, slots=True)
class Running:
    """What a node runs; `version` is empty where there is no k3s yet, or where nobody knows."""

    node: str
    role: Role
    version: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The release that all nodes are to run, and from which each that runs an older one is taken there."""

    version: str
    upgrades: Mapping[str, str] = field(default_factory=dict)


def choose(carried: Sequence[str], wanted: str) -> str:
    """The release to deploy: the one that the site file wants, else the newest carried. Raises `NothingToDeploy`."""
    releases = sorted(filter(_is_release, carried), key=key)
    if not (wanted or releases):
        raise NothingToDeploy(
            "no active crate brings a k3s", hint="add [k3s] to the recipe, build a crate of it and install that"
        )
    if wanted and wanted not in releases:
        there = ", ".join(releases) or "no k3s at all"
        raise NothingToDeploy(
            f"the site file asks for k3s {wanted}, and the active crates bring {there}",
            hint="name one of those under [cluster] k3s, or leave it out for the newest",
        )
    return wanted or releases[-1]


def decide(nodes: Iterable[Running], version: str, carried: Sequence[str] = ()) -> Decision:
    """Whether `nodes` can be taken to `version`. `carried` are the releases at hand, to name one that leads on.

    Raises `UpgradeRefused`, naming the node, both releases and the way on.
    """
    upgrades = {}
    for node in nodes:
        if not node.version:
            continue
        try:
            check_step(node.node, node.role, node.version, version)
        except UnfitRelease as refused:
            raise UpgradeRefused(refused.what, hint=_between(node, version, carried) or refused.hint) from refused
        except InvalidValue as error:
            raise UpgradeRefused(
                f"{node.node} runs {node.version!r}, which is not a release of k3s",
                hint=f"crate-appliance reset --node {node.node} takes it off",
            ) from error
        if node.version != version:
            upgrades[node.node] = node.version
    return Decision(version, upgrades)


def _between(node: Running, version: str, carried: Sequence[str]) -> str:
    """The hint that names the latest release at hand that `node` may go to on its way, if there is one."""
    steps = []
    for release in filter(_is_release, carried):
        try:
            check_step(node.node, node.role, node.version, release)
            check_step(node.node, node.role, release, version)
        except UnfitRelease:
            continue
        steps.append(release)
    if not steps:
        return ""
    step = max(steps, key=key)
    return f'write k3s = "{step}" under [cluster] in the site file and deploy; then leave it out again and deploy'


def _is_release(text: str) -> bool:
    try:
        key(text)
    except InvalidValue:
        return False
    return True

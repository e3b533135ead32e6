"""Profiles on the first server: manifests that k3s applies, what earlier ones left deleted, workloads waited for.

k3s applies what lies in its folder and deletes nothing when a file goes, so what was put there is written down on the
server before it is put there, and taken out of the cluster when no profile wants it any more.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping, Sequence

from deploys import operations
from deploys.cluster import objects, workloads
from deploys.cluster.objects import Index, ObjectId
from deploys.cluster.workloads import Late
from deploys.errors import NodeProblem
from deploys.k3s import layout
from deploys.order import Node, Order
from deploys.running import Run, Wave

FOLDER = f"{layout.DATA}/server/manifests"
INDEX = f"{layout.STATE}/cluster.json"
_KUBECTL = f"{layout.BINARY} kubectl"
_REQUEST = 60  # seconds for one question
_EVERY = 2.0  # seconds between two
# Parts of the order's timeout in which nothing at all gets better, and when what is in the way does not go by itself.
_PATIENCE, _LITTLE_PATIENCE = 1 / 2, 1 / 10
_DELETION = 180


class NotRunning(NodeProblem):
    """What was deployed does not come up."""


class Cluster(Wave):
    """On the first server alone: k3s does not carry the folder over to the others."""

    name = "cluster"

    def groups(self, order: Order, nodes: Sequence[Node]) -> Sequence[Sequence[Node]]:
        first = next((node for node in order.nodes if node.role == "server"), None)
        return [[node for node in nodes if first is not None and node.name == first.name]]

    def add(self, run: Run) -> None:
        wanted = objects.files((profile.name, profile.manifests) for profile in run.order.profiles)
        stale = [name for name in _present(run) if name not in wanted]
        paths = {name: f"{FOLDER}/{name}" for name in wanted}
        found = run.look(INDEX, *paths.values())
        before, after = Index.parse(found[INDEX].text), Index(objects.ids(wanted))
        _note(run, "Note what is to be deployed", before.united(after))
        secret = {objects.file_name(profile.name, file) for profile in run.order.profiles for file in profile.secret}
        secret |= {name for name, text in wanted.items() if objects.is_secret(text)}
        changed = {
            name: text for name, text in wanted.items() if _put(run, name, paths[name], text, secret=name in secret)
        }
        _clear(run, before, after, stale)
        _note(run, "Note what is deployed", after)
        if not run.planning and run.order.profiles:
            _wait(run, wanted, changed)


def _present(run: Run) -> list[str]:
    """Our files that are on the server now."""
    each = f'for f in {objects.PREFIX}*.yaml; do [ -f "$f" ] && echo "$f"; done'
    listed = run.ask(f"cd {FOLDER} 2>/dev/null && {each}; :")
    return [line.strip() for line in listed.splitlines() if line.strip()]


def _note(run: Run, name: str, index: Index) -> None:
    run.add(operations.keep, name=name, path=INDEX, content=index.to_text(), mode="600")


def _put(run: Run, name: str, path: str, text: str, *, secret: bool) -> bool:
    shown = name.removeprefix(objects.PREFIX)
    return run.add(
        operations.keep,
        name=f"Manifest {shown}",
        path=path,
        content=text,
        mode="600",
        secret=secret,
    )


def _clear(run: Run, before: Index, after: Index, stale: Sequence[str]) -> None:
    """The files first, or k3s would apply them again when it starts; then what they had made."""
    for name in stale:
        if name not in before.files:  # the index was lost: kubectl reads the file once more
            command = f"{_KUBECTL} delete --ignore-not-found --timeout={_DELETION}s -f {FOLDER}/{shlex.quote(name)}"
            run.add(operations.run, name=f"Delete what {name} made", command=command, timeout=_DELETION + 60)
        addon = shlex.quote(name.removesuffix(".yaml"))
        forget = f"{_KUBECTL} -n kube-system delete addons.k3s.cattle.io {addon} --ignore-not-found"
        command = f"rm -f -- {FOLDER}/{shlex.quote(name)} || exit 1; {forget} >/dev/null 2>&1 || :"
        run.add(operations.run, name=f"Remove {name}", command=command, shown=f"rm {FOLDER}/{name}")
    for gone in before.without(after):
        run.add(
            operations.run,
            name=f"Delete {gone}",
            command=_deletion(gone),
            shown=f"kubectl delete {gone.resource} {gone.name}" + (f" -n {gone.namespace}" if gone.namespace else ""),
            timeout=_DELETION + 60,
        )


def _deletion(gone: ObjectId) -> str:
    """A kind that is gone, as with its chart, has no objects left."""
    words = ["delete", gone.resource, gone.name, "--ignore-not-found", f"--timeout={_DELETION}s"]
    if gone.namespace:
        words[:0] = ["-n", gone.namespace]
    return f"""\
said=$({_KUBECTL} {shlex.join(words)} 2>&1) && exit 0
case $said in *"have a resource type"*|*"no matches for kind"*|*NotFound*) exit 0 ;; esac
echo "$said" >&2
exit 1
"""


def _wait(run: Run, wanted: Mapping[str, str], changed: Mapping[str, str]) -> None:
    """Until every workload runs and everything changed is in the cluster. Raises `NotRunning`."""
    marks = objects.contents(wanted)
    namespaces = {name for profile in run.order.profiles for name in profile.namespaces}
    untaken = dict(changed)
    before, since = None, time.monotonic()
    while True:
        items = ask(run)
        delays = workloads.late(items, marks, namespaces)
        if delays and any(identity.kind == "HelmChart" for identity in marks):
            delays = workloads.charts(_charts(run), items) or delays
        if not delays:
            untaken = {name: text for name, text in untaken.items() if not _taken(run, name, text)}
            if not untaken:
                return
            delays = [Late(f"k3s has not taken {name} yet") for name in untaken]
        told = "; ".join(map(str, delays))
        if told != before:
            before, since = told, time.monotonic()
            run.progress(f"waiting: {told[:300]}")
        patience = _LITTLE_PATIENCE if all(delay.hopeless for delay in delays) else _PATIENCE
        if time.monotonic() - since > run.order.timeout * patience:
            raise NotRunning(f"{run.node.name}: {told}", hint=_hint(run, delays, untaken))
        time.sleep(_EVERY)


def ask(run: Run) -> list[Mapping[str, object]]:
    """All workloads, pods and services of the cluster, by a server."""
    text = run.ask(f"{_KUBECTL} get {workloads.ASKED} -A -o json", timeout=_REQUEST)
    return list(json.loads(text)["items"])


def _charts(run: Run) -> list[Mapping[str, object]]:
    """The charts that k3s installs; none before it has taken the first."""
    answer = run.ask(f"{_KUBECTL} get {workloads.CHARTS} -A -o json 2>/dev/null || :", timeout=_REQUEST)
    return list(json.loads(answer)["items"]) if answer.strip() else []


def _taken(run: Run, name: str, text: str) -> bool:
    """Whether the cluster has all objects of a file with just this content."""
    command = f"{_KUBECTL} get -f {FOLDER}/{shlex.quote(name)} --ignore-not-found -o json 2>/dev/null || :"
    answer = run.ask(command, timeout=_REQUEST)
    found = json.loads(answer) if answer.strip() else {}
    live = {ObjectId.of(item): objects.mark(item) for item in (found.get("items", [found]) if found else [])}
    return all(live.get(identity) == content for identity, content in objects.contents({name: text}).items())


def _hint(run: Run, delays: Sequence[Late], untaken: Mapping[str, str]) -> str:
    images = sorted({delay.image for delay in delays if delay.image and "mage" in delay.why})
    if images:
        lacking = ", ".join(images)
        return f"the crate lacks {lacking}, or a node cannot reach it: crate-appliance requests list tells"
    for name in untaken:  # what the API says of it, which k3s keeps in its log
        command = f"{_KUBECTL} apply --dry-run=server -f {FOLDER}/{shlex.quote(name)} 2>&1 >/dev/null | tail -3"
        said = run.ask(command, timeout=_REQUEST).strip()
        return f"the cluster says of {name}: {said}" if said else f"k3s' log on {run.node.name} tells why"
    return f"kubectl describe pods tells more: {_KUBECTL} -n NAMESPACE describe pods, on {run.node.name}"


WAVE = Cluster()

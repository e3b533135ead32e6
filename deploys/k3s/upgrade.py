"""One node from the k3s that it runs to another one, or back again when the new one does not come up.

What was there is kept beside before anything is replaced: binary, settings and unit, and of a server alone its
database too, copied while k3s is stopped (servers that share etcd take a snapshot, and outvote one that fails). Each
step is written down on the node when it is done, so that a run that dies anywhere is taken up by the next one.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from archive.errors import InvalidValue
from deploys import operations
from deploys.errors import NodeProblem, OperationFailed
from deploys.k3s import config, layout, placement, starting, versions
from deploys.k3s.here import Here
from deploys.k3s.kubectl import Kubectl, NotDrained, cordoned, ready
from deploys.k3s.placement import Placement
from deploys.running import Run

_DRAIN = 300  # seconds for the pods of a node to find another place
_NEXT = f"{layout.BINARY}.next"
_KEPT = f"{layout.PREVIOUS}/files"
_DATABASE = f"{layout.PREVIOUS}/db"

Stage = Literal["kept", "drained", "stopped"]


class UpgradeFailed(NodeProblem):
    """The new k3s does not come up; `what` says why, and what the node runs now."""


@dataclass(frozen=True, slots=True)
class Journal:
    """How far an upgrade got: `before` and `to` are releases, `cordoned` whether the node was before it began."""

    before: str
    to: str
    cordoned: bool = False
    stage: Stage = "kept"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """None for anything but what `text` gives."""
        found = dict(line.partition("=")[::2] for line in text.splitlines())
        stages: tuple[Stage, ...] = ("kept", "drained", "stopped")
        stage = next((each for each in stages if each == found.get("stage")), None)
        if stage is None or not found.get("before") or not found.get("to"):
            return None
        return cls(found["before"], found["to"], found.get("cordoned") == "yes", stage)

    @property
    def text(self) -> str:
        spoken = "yes" if self.cordoned else "no"
        return f"before={self.before}\nto={self.to}\ncordoned={spoken}\nstage={self.stage}\n"


def due(here: Here, place: Placement) -> bool:
    """Whether the node is in a cluster with another k3s than the one wanted, or an upgrade was begun there."""
    return here.joined and (here.upgrading or here.binary not in {"", place.binary.sha256})


def version_of(run: Run, binary: str = layout.BINARY) -> str:
    """The release that a binary says it is. Raises `OperationFailed`."""
    words = run.ask(f"{binary} --version").split()
    return words[2] if words[:2] == ["k3s", "version"] and len(words) > 2 else ""


class Upgrade:
    """The steps for one node; `kubectl` speaks to a server of its cluster, itself when it is one."""

    def __init__(self, run: Run, place: Placement, here: Here, kubectl: Kubectl, *, wanted: str) -> None:
        self.run, self.place, self.here, self.kubectl, self.wanted = run, place, here, kubectl, wanted
        self.unit = layout.unit(place.role)
        # a server that shares its datastore says so in the settings it runs with
        running = config.read(here.text(layout.CONFIG))
        self.alone = place.role == "server" and "server" not in running and not running.get("cluster-init")
        self._restarted = False

    def carry_out(self, *, snapshot: bool) -> None:
        """All of it. `snapshot` asks for one of etcd first. Raises `NodeProblem`; `UpgradeFailed` when it went back."""
        journal = self._begin()
        if self.here.binary != self.place.binary.sha256:
            placement.fetch(self.run, self.place, _NEXT)
            self._try_out()
        if journal.stage == "kept":
            if snapshot and not self.alone:
                self._snapshot()
            journal = self._drain(journal)
        if self.alone and journal.stage != "stopped":
            self._copy_database()
            journal = self._write(replace(journal, stage="stopped"))
        self._replace()
        if not self.run.planning:
            self._prove(journal)
        self._end(journal)

    def _begin(self) -> Journal:
        """The journal of an upgrade that was begun, or a new one, once what is there has been kept."""
        found = Journal.parse(self.here.text(layout.UPGRADE))
        has = found.before if found else version_of(self.run)
        try:
            versions.check_step(self.run.node.name, self.place.role, has, self.wanted)
        except InvalidValue as problem:
            raise NodeProblem(f"{self.run.node.name}: {problem.what}", hint="reset this node, then deploy") from problem
        if found:
            return replace(found, to=self.wanted)
        self.run.add(operations.run, name=f"Keep k3s {has}", command=_keep(self.place), shown=f"copy to {_KEPT}")
        own = self._nodes().get(self.run.node.name, {})
        return self._write(Journal(has, self.wanted, cordoned=cordoned(own)))

    def _try_out(self) -> None:
        if self.run.planning:
            return
        says = version_of(self.run, _NEXT)
        if says != self.wanted:
            raise OperationFailed(
                f"{self.run.node.name}: the crate's k3s {self.wanted} says that it is {says or 'nothing known'}",
                hint="build the crate again; nothing was changed",
            )

    def _snapshot(self) -> None:
        name = f"before-{self.wanted}".replace("+", "-")
        command = f"{layout.BINARY} etcd-snapshot save --name {shlex.quote(name)}"
        self.run.add(operations.run, name="Snapshot of etcd", command=command)

    def _nodes(self) -> dict[str, Mapping[str, Any]]:
        """Those of the cluster by name; none where a server alone does not answer, as that may be what is to be mended.

        Raises `OperationFailed`.
        """
        try:
            return {each["metadata"]["name"]: each for each in self.kubectl.nodes()}
        except OperationFailed:
            if not self.alone:
                raise
            return {}

    def _drain(self, journal: Journal) -> Journal:
        name = self.run.node.name
        others = self._nodes()
        own = others.pop(name, {})
        # where there is no other place to go, pods do better to stay: they outlive a restart of k3s
        if ready(own) and any(ready(other) and not cordoned(other) for other in others.values()):
            try:
                self.kubectl.drain(name, min(_DRAIN, self.run.order.timeout))
            except (NotDrained, OperationFailed):
                self._uncordon(journal)
                self._forget()
                raise
        return self._write(replace(journal, stage="drained"))

    def _copy_database(self) -> None:
        shown = f"stop k3s, copy {layout.DATABASE} and the token to {layout.PREVIOUS}"
        command = _COPY.format(unit=self.unit, database=layout.DATABASE, token=layout.LEARNED_TOKEN, copy=_DATABASE)
        self.run.add(operations.run, name="Copy of the database", command=command, shown=shown)

    def _replace(self) -> None:
        if self.here.binary != self.place.binary.sha256:
            command = f"mv -fT -- {_NEXT} {layout.BINARY}"
            self.run.add(operations.run, name=f"k3s {self.wanted}", command=command)
        placement.configure(self.run, self.place)
        if self.run.planning or starting.due_now(self.run, self.place):
            self._restarted = True
            starting.start(self.run, self.place.role)

    def _prove(self, journal: Journal) -> None:
        try:
            starting.wait(self.run, self.place.role, self.run.order.timeout)
        except starting.NotReady as problem:
            self._go_back(journal, problem)

    def _go_back(self, journal: Journal, problem: NodeProblem) -> None:
        """To what was kept; raises `UpgradeFailed` in every case."""
        name = self.run.node.name
        proven = self.run.ask(f"cat {layout.PROVEN} 2>/dev/null || :").strip() == self.place.started.strip()
        if self.alone and proven and not self._restarted:
            # it has been up with this database since an earlier run: the copy is too old to be put back unasked
            raise UpgradeFailed(
                f"{problem.what}; it has worked with {self.wanted} before, so it is left there", hint=problem.hint
            ) from problem
        command = _BACK.format(
            unit=self.unit,
            files=" ".join(_files(self.place)),
            kept=_KEPT,
            copy=_DATABASE if self.alone else "/nowhere",
            database=layout.DATABASE,
        )
        shown = f"put back what {layout.PREVIOUS} holds, restart {self.unit}"
        self.run.add(operations.run, name=f"Back to k3s {journal.before}", command=command, shown=shown)
        try:
            starting.wait(self.run, self.place.role, self.run.order.timeout)
        except starting.NotReady as worse:
            raise UpgradeFailed(
                f"k3s {self.wanted} does not come up ({problem.what}), and {journal.before} does not come back "
                f"({worse.what})",
                hint=worse.hint,
            ) from problem
        self._end(journal)
        raise UpgradeFailed(
            f"k3s {self.wanted} does not come up ({problem.what}); {name} runs {journal.before} again",
            hint=problem.hint,
        ) from problem

    def _end(self, journal: Journal) -> None:
        self._uncordon(journal)
        self._forget()

    def _uncordon(self, journal: Journal) -> None:
        if not journal.cordoned and (self.run.planning or cordoned(self.kubectl.node(self.run.node.name))):
            self.kubectl.uncordon(self.run.node.name)

    def _write(self, journal: Journal) -> Journal:
        if not self.run.planning:
            self.run.ask(_NOTE.format(path=layout.UPGRADE, text=shlex.quote(journal.text)))
        return journal

    def _forget(self) -> None:
        if not self.run.planning:
            self.run.ask(f"rm -f -- {layout.UPGRADE} {_NEXT}")


def _files(place: Placement) -> tuple[str, ...]:
    return layout.BINARY, layout.CONFIG, layout.REGISTRIES, layout.unit_path(place.role)


def _keep(place: Placement) -> str:
    return _KEEP.format(files=" ".join(_files(place)), kept=_KEPT, previous=layout.PREVIOUS)


# Links cost nothing: whatever replaces these files does so by renaming.
_KEEP = """\
set -e
umask 077
rm -rf -- {previous}.part
mkdir -p -- {previous}.part/files
for file in {files}; do
  [ -e "$file" ] || continue
  mkdir -p -- "{previous}.part/files$(dirname -- "$file")"
  cp -al -- "$file" "{previous}.part/files$file" 2>/dev/null || cp -a -- "$file" "{previous}.part/files$file"
done
sync
rm -rf -- {previous}
mv -T -- {previous}.part {previous}
"""
_NOTE = """\
set -e
umask 077
printf %s {text} >{path}.part
sync -- {path}.part
mv -fT -- {path}.part {path}
"""
_COPY = """\
set -e
umask 077
systemctl stop {unit}
rm -rf -- {copy} {copy}.part
cp -a -- {database} {copy}.part
cp -p -- {token} {copy}.part/token.kept
sync
mv -T -- {copy}.part {copy}
"""
_BACK = """\
set -e
systemctl stop {unit} || :
for file in {files}; do
  [ -e "{kept}$file" ] || continue
  cp -a -- "{kept}$file" "$file.part"
  mv -fT -- "$file.part" "$file"
done
if [ -d {copy} ]; then
  rm -rf -- {database}.part
  cp -a -- {copy} {database}.part
  rm -f -- {database}.part/token.kept
  rm -rf -- {database}
  mv -T -- {database}.part {database}
fi
sync
systemctl daemon-reload
systemctl reset-failed {unit} 2>/dev/null || :
systemctl restart --no-block {unit}
"""

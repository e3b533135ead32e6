"""A site of three booted nodes for the k3s waves: the child as the appliance starts it, and what it said.

*base* is not among the waves here, so what it would leave on the nodes is laid out by hand. The crate is a plain HTTP
server on the hub with releases of the light double.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from deploys.events import EVENT, Event, Finding, Learned, NodeEnded, Operation
from deploys.order import Artifact, Base, Crate, K3s, Node, Order, Ssh, Task, Wave
from tests.support.kubernetes.releases import light
from tests.support.lab import Lab
from tests.support.lab import Node as Machine
from tests.support.processes import running

V30, V31, V31_2, V32 = "v1.30.4+k3s1", "v1.31.2+k3s1", "v1.31.2+k3s2", "v1.32.0+k3s1"
SECRET = f"5ecre7-of-the-5ite-{os.getpid()}"
"""Of this process alone: whoever looks for it among all processes finds no other test's."""
_PORT = 8080
_ROUTE = """\
ip route show default | grep -q . || {
  ip link show gap0 >/dev/null 2>&1 || { ip link add gap0 type bridge; ip addr add 203.0.113.254/31 dev gap0; }
  ip link set gap0 up; ip route add default via 203.0.113.255 dev gap0
}
"""


@dataclass(frozen=True)
class Told:
    """A run of the child: its exit code, its events in their order, and its log."""

    code: int
    events: Sequence[Event]
    log: str

    def ended(self, wave: str = "") -> dict[str, NodeEnded]:
        """How each node ended, in its last wave or in the one named."""
        found = [each for each in self.events if isinstance(each, NodeEnded) and wave in {"", each.wave}]
        return {each.node: each for each in found}

    def states(self, wave: str = "") -> dict[str, str]:
        return {node: ended.state for node, ended in self.ended(wave).items()}

    def done(self, node: str = "", states: Sequence[str] = ("changed", "would change")) -> list[str]:
        """The names of what changed, in the order in which it did."""
        return [
            each.name
            for each in self.events
            if isinstance(each, Operation) and each.state in states and node in {"", each.node}
        ]

    def operations(self) -> list[Operation]:
        return [each for each in self.events if isinstance(each, Operation)]

    def findings(self) -> list[Finding]:
        return [each for each in self.events if isinstance(each, Finding)]

    def learned(self) -> dict[str, object]:
        """What was learned about the cluster."""
        return {
            k: v for each in self.events if isinstance(each, Learned) and not each.node for k, v in each.facts.items()
        }


class Site:
    """Orders for the lab's nodes, and the child that carries them out."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self._blobs = folder / "served/blobs/sha256"
        self._blobs.mkdir(parents=True)
        self.artifacts = {version: self._serve(version) for version in (V30, V31, V31_2, V32)}

    def _serve(self, version: str) -> Artifact:
        body = light(self.folder, version).programs["amd64"].read_bytes()
        digest = hashlib.sha256(body).hexdigest()
        (self._blobs / digest).write_bytes(body)
        url = f"http://{self.lab.address}:{_PORT}/blobs/sha256/{digest}"
        return Artifact(url=url, sha256=digest, size=len(body))

    @contextmanager
    def serving(self) -> Iterator[None]:
        words = (sys.executable, "-m", "http.server", str(_PORT), "--bind", self.lab.address)
        command = self.lab.words(*words, "--directory", self.folder / "served")

        def ready() -> bool:
            probe = f"exec 3<>/dev/tcp/{self.lab.address}/{_PORT}"
            return self.lab.here(["bash", "-c", probe], check=False).returncode == 0

        with running(command, ready=ready, log=self.folder / "http.log"):
            yield

    def order(
        self,
        version: str = V30,
        *,
        servers: int = 1,
        nodes: int = 3,
        task: Task = "deploy",
        waves: Sequence[Wave] = ("server", "agents"),
        limit: Sequence[str] = (),
        hosts: Sequence[str] = ("docker.io",),
        more: Mapping[str, Mapping[str, Any]] | None = None,
        token: str = SECRET,
        platform: str = "linux/amd64",
        settings: Mapping[str, object] | None = None,
        timeout: int = 60,
    ) -> Order:
        """The first `servers` of the first `nodes` machines are servers; `more` is said of a node by name."""
        return Order(
            task=task,
            waves=tuple(waves),
            limit=tuple(limit),
            ssh=Ssh(key=str(self.lab.key), known_hosts=str(self.lab.known_hosts)),
            nodes=tuple(
                Node.model_validate(
                    {
                        "name": machine.name,
                        "address": machine.address,
                        "role": "server" if number < servers else "agent",
                        **((more or {}).get(machine.name, {})),
                    }
                )
                for number, machine in enumerate(self.lab.nodes[:nodes])
            ),
            crate=Crate(
                address=self.lab.address, authority="PEM", created=0, platforms=("linux/amd64",), hosts=tuple(hosts)
            ),
            base=Base(domain="crate.internal", network="10.77.0.0/24"),
            k3s=K3s(
                version=version,
                binaries={platform: self.artifacts[version]},
                token=SecretStr(token),
                settings=settings or {},
            ),
            timeout=timeout,
        )

    def start(self, order: Order) -> subprocess.Popen[str]:
        """The child, with its order told; its events come on standard output."""
        log = (self.folder / "child.log").open("w")
        with log:
            child = subprocess.Popen(
                self.lab.words(sys.executable, "-m", "deploys"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=Path(__file__).parents[3],
            )
        assert child.stdin
        child.stdin.write(order.model_dump_json())
        child.stdin.close()
        return child

    def carry_out(self, order: Order) -> Told:
        """One run, to its end."""
        child = self.start(order)
        assert child.stdout
        with child.stdout:
            events = [EVENT.validate_json(line) for line in child.stdout]
        return Told(child.wait(30), events, (self.folder / "child.log").read_text())

    def deploy(self, version: str = V30, **more: Any) -> Told:
        """A run in which nothing fails."""
        told = self.carry_out(self.order(version, **more))
        assert told.code == 0, [*told.ended().values(), *told.findings(), told.log]
        return told

    def interrupted(self, order: Order, words: str) -> list[Event]:
        """A run of which the child is killed as soon as a line of its output holds `words`; what it said until then."""
        child = self.start(order)
        assert child.stdout
        events = []
        with child.stdout:
            for line in child.stdout:
                events.append(EVENT.validate_json(line))
                if words in line:
                    break
            else:
                raise AssertionError(f"no line of it holds {words!r}")
            child.kill()
        child.wait(30)
        return events

    def clear(self) -> None:
        """All nodes on, and as *base* leaves them."""
        for machine in self.lab.nodes:
            if not machine.running:
                machine.start()
            machine.run(_CLEAR + _ROUTE)
            machine.write("/etc/buzzcrate/resolv.conf", f"nameserver {self.lab.address}\n")
            machine.write("/etc/buzzcrate/ca.pem", "PEM\n")

    def give_route(self, name: str) -> None:
        """The default route that *base* would give to a node which has lost it, by a power cut say."""
        self.lab[name].run(_ROUTE)

    def nodes(self) -> dict[str, tuple[str, str, bool]]:
        """Version, Ready and whether it is cordoned, of each node of the cluster, as the first server has it."""
        listed = json.loads(self.lab.nodes[0].run("k3s kubectl get nodes -o json").stdout)["items"]
        return {
            item["metadata"]["name"]: (
                item["status"]["nodeInfo"]["kubeletVersion"],
                item["status"]["conditions"][0]["status"],
                item["spec"]["unschedulable"],
            )
            for item in listed
        }

    def node(self, name: str) -> dict[str, Any]:
        return dict(json.loads(self.lab.nodes[0].run(f"k3s kubectl get node {name} -o json").stdout))

    def started(self) -> dict[str, str]:
        """The process that is k3s, by node."""
        return {machine.name: pid(machine) for machine in self.lab.nodes}


def pid(machine: Machine) -> str:
    return machine.run("systemctl show -p MainPID --value k3s.service k3s-agent.service | grep -v '^0*$' || :").stdout


_CLEAR = """\
systemctl stop k3s k3s-agent 2>/dev/null
rm -rf /etc/rancher /var/lib/rancher /var/lib/buzzcrate /usr/local/bin/k3s* /run/buzzcrate-* /etc/lab-k3s-breaks \\
  /etc/systemd/system/k3s*.service /etc/systemd/system/*.wants/k3s*.service /var/log/k3s-double.log /lab/kubectl
systemctl daemon-reload; systemctl reset-failed
"""

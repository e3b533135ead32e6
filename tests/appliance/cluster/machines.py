"""A site of real machines: a lab, a crate with a light double of k3s, a daemon on the hub, and our command line."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.installing import install
from appliance.site.folder import SiteFolder
from appliance.site.model import Site
from appliance.store import Store
from tests.appliance.daemon.serving import PROGRAM
from tests.support.crates import CrateMaker, Key, make_key
from tests.support.kubernetes.releases import light
from tests.support.lab import Lab, Spec, lab
from tests.support.lab.machine import Told
from tests.support.processes import running
from tests.support.stores import trusting

FIRST, NEXT = "v1.30.4+k3s1", "v1.31.2+k3s1"
_REPOSITORY = Path(__file__).resolve().parents[3]
_SITE = """\
[site]
name = "workshop"
address = "{address}"
network = "10.77.0.0/24"
names = false
time = false

[cluster]
profiles = []
"""
_NODE = """
[[nodes]]
name = "{name}"
address = "{address}"
role = "{role}"
"""


@dataclass
class Machines:
    """The lab, and the appliance on its hub with its store at `root`."""

    lab: Lab
    root: Path
    folder: Path
    key: Key

    def words(self, *words: str | Path) -> list[str]:
        """Our command line, on the hub."""
        return self.lab.words(*self._ours(*words))

    def _ours(self, *words: str | Path) -> list[str]:
        return ["env", f"PYTHONPATH={_REPOSITORY}", *PROGRAM, "--root", str(self.root), *map(str, words)]

    def attempt(self, *words: str | Path, given: str = "", timeout: float = 240) -> Told:
        """Our command line to its end, whatever that is."""
        return self.lab.here(self._ours(*words), check=False, given=given, timeout=timeout)

    def run(self, *words: str | Path, expect: int = 0) -> Told:
        """Our command line to its end. Raises `AssertionError` when that is another than expected."""
        done = self.attempt(*words)
        assert done.returncode == expect, f"{words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *words: str | Path, expect: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run(*words, "--json", expect=expect).stdout)
        return found

    def carry(self, *versions: str, serial: int, weight: int = 0, ballast: int = 0) -> None:
        """Installs a crate that brings these releases of k3s, each binary with `weight` bytes more than it needs, and
        a file of `ballast` bytes that nobody asks for.
        """
        maker = CrateMaker(self.folder / "blobs", serial=serial, chunk=4 << 20)
        if ballast:
            maker.file("ballast", random.Random(1).randbytes(ballast))
        for version in versions:
            program = light(self.folder, version).programs["amd64"].read_bytes()
            program += b"\nexit\n" * bool(weight) + random.Random(version).randbytes(weight)
            for name in ("k3s", "k3s-arm64"):
                maker.file(f"k3s/{version}/{name}", program)
        with trusting(self.root, self.key) as store:
            install(store, maker.write(self.folder / f"site-{serial}.crate", [self.key]))

    def write_site(self, *servers: str, more: str = "") -> Path:
        """The site file, with these nodes as servers and the others as agents."""
        path = self.folder / "site.toml"
        nodes = [
            _NODE.format(name=node.name, address=node.address, role="server" if node.name in servers else "agent")
            for node in self.lab.nodes
        ]
        path.write_text("".join([_SITE.format(address=self.lab.address), more, *nodes]))
        return path

    def introduce(self) -> None:
        """As `nodes pin` does: every node's host key is known, and the site's key is let in."""
        folder = SiteFolder(self.root)
        folder.ensure_key()
        folder.write(folder.known_hosts, self.lab.known_hosts.read_bytes())
        for node in self.lab.nodes:
            node.run("cat >>/root/.ssh/authorized_keys", given=folder.public_key.read_text())


@contextmanager
def machines(folder: Path, nodes: int | Sequence[Spec] = 3, *, weight: int = 0, ballast: int = 0) -> Iterator[Machines]:
    """Booted, served, and with a site file in force whose first node is the server; the rest goes to `carry`."""
    names = [f"n{number}" for number in range(1, nodes + 1)] if isinstance(nodes, int) else []
    # as from a router of theirs: the hub of a lab is no machine with systemd, and answers no names
    specs = [Spec(name, files={"etc/resolv.conf": "nameserver 10.77.0.1\n"}) for name in names] or nodes
    with lab(specs) as site:
        made = Machines(site, folder / "root", folder, make_key(folder / "keys"))
        made.carry(FIRST, serial=1, weight=weight, ballast=ballast)
        made.introduce()
        SiteFolder(made.root).keep(Site.load(made.write_site(site.nodes[0].name)))

        def ready() -> bool:
            with Store.open(made.root) as store:
                return store.served() and _answers(made)

        with running(made.words("serve"), ready=ready, log=folder / "serve.log"):
            yield made


def _answers(made: Machines) -> bool:
    knock = f"exec 3<>/dev/tcp/{made.lab.address}/8080"
    return made.lab.here(["bash", "-c", knock], check=False).returncode == 0

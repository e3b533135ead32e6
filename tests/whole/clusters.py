"""A site for tests of the whole: a lab with an appliance, and sticks for it that were built on the connected side."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.support.kubernetes.releases import Releases
from tests.support.lab import Lab, Node
from tests.support.lab.machine import Told
from tests.support.lab.roots import KEPT
from tests.support.registries import Registry
from tests.support.tools import tool
from tests.whole.programs import Desk, command

APPLIANCE = """[appliance]
python = ["3.11"]
platforms = ["linux/amd64"]"""
DEBIAN = """[[apt]]
name = "debian"
packages = ["dnsmasq-base", "chrony", "jq"]"""
_ARCHITECTURES = 'platforms = ["linux/amd64"]'


@dataclass(frozen=True)
class Sticks:
    """The connected side: builds a stick for every release, with one key and one cache."""

    desk: Desk
    served: Releases
    registry: Registry | None = None
    built: list[Path] = field(default_factory=list)

    @classmethod
    def at(cls, folder: Path, served: Releases, registry: Registry | None = None) -> Sticks:
        desk = Desk.set_up(folder / "desk")
        # packages and wheels come from this machine's own sources: they are kept, as the roots are
        environment = {**desk.environment, "XDG_CACHE_HOME": str(KEPT / "cache")}
        return cls(replace(desk, environment=environment), served, registry)

    def build(self, k3s: str, *entries: str, profiles: Sequence[str] = ()) -> Path:
        """The folder of the next stick, whose crate has this `k3s` and `profiles` in it."""
        serial = len(self.built) + 1
        self.desk.write_recipe(
            APPLIANCE,
            DEBIAN,
            f'[k3s]\nversion = "{k3s}"',
            *entries,
            "\n".join(["[upstreams]", self.served.upstream, *self._hosts()]),
            serial=serial,
            crate=f"profiles = {json.dumps(list(profiles))}",
        )
        recipe = self.desk.recipe.read_text()
        self.desk.recipe.write_text(recipe.replace('platforms = ["linux/amd64", "linux/arm64"]', _ARCHITECTURES))
        stick = self.desk.folder / f"stick-{serial}"
        self.desk.bundle("build", self.desk.recipe, "--stick", stick, "--key", self.desk.key)
        self.built.append(stick)
        return stick

    def _hosts(self) -> list[str]:
        return [f'"docker.io" = "{self.registry.url}"'] if self.registry else []

    @property
    def fingerprint(self) -> str:
        """The signer's, as the card has it."""
        return command([tool("ssh-keygen"), "-lf", self.desk.public_key]).out.split()[1]


@dataclass(frozen=True)
class Site:
    """The site without internet: the appliance of a lab, its nodes and whoever sits at its keyboard."""

    lab: Lab

    @property
    def appliance(self) -> Node:
        return self.lab.appliance

    def plug_in(self, stick: Path) -> str:
        """Puts a stick into the appliance; returns where it sees it."""
        shutil.copytree(stick, self.appliance.media / stick.name, copy_function=_link)
        return f"/media/{stick.name}"

    def write_site(
        self, roles: Mapping[str, str], *, more: str = "", profiles: Sequence[str] = (), cluster: str = ""
    ) -> str:
        """site.toml with these nodes, by name: server or agent; they are reached with the lab's key."""
        shutil.copy(self.lab.key, self.appliance.media / "key")
        nodes = "".join(
            f'[[nodes]]\nname = "{name}"\naddress = "{self.lab[name].address}"\nrole = "{role}"\n'
            for name, role in roles.items()
        )
        text = f"""[site]
name = "workshop"
address = "{self.lab.address}"
network = "{self.lab.subnet}"
[ssh]
key = "/media/key"
[cluster]
profiles = {json.dumps(list(profiles))}
{cluster}
{more}
{nodes}"""
        (self.appliance.media / "site.toml").write_text(text)
        return "/media/site.toml"

    def type(self, words: str, answers: str = "", *, expect: int = 0, timeout: float = 600) -> str:
        """Types `words` at the appliance's terminal, and `answers` to what is asked; returns all that was shown."""
        typed = f"cd /root; script --quiet --return --command '{words}' /dev/null"
        told = self.appliance.run(typed, check=False, given=answers, timeout=timeout)
        assert told.returncode == expect, f"exit code {told.returncode}\n{told.stdout}{told.stderr}"
        return told.stdout

    def install(self, seen: str, fingerprint: str, site: str, *, expect: int = 0) -> str:
        """The one command of the card, with a yes for every node that shows its host key for the first time."""
        words = f"sh {seen}/install.sh --fingerprint {fingerprint} --site {site}"
        return self.type(words, "y\n" * len(self.lab.nodes), expect=expect)

    def pin(self, node: Node, file: str = "") -> None:
        """Tells the appliance the fingerprint that `node` has on its own screen."""
        shown = node.run("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").stdout.split()[1]
        self.crate(f"nodes pin {node.name} --fingerprint {shown} {f'--site {file}' if file else ''}")

    def crate(self, words: str, *, expect: int = 0) -> Told:
        """crate-appliance, without a terminal."""
        told = self.appliance.run(f"crate-appliance {words}", check=False, timeout=600)
        assert told.returncode == expect, f"exit code {told.returncode}\n{told.stdout}{told.stderr}"
        assert "Traceback" not in told.stderr, told.stderr
        return told

    def receipt(self) -> dict[str, Any]:
        """The last run's."""
        newest = self.appliance.run("ls /var/lib/crate/site/receipts/*.json | tail -1").stdout.strip()
        found: dict[str, Any] = json.loads(self.appliance.read(newest))
        return found


def _link(source: str, target: str) -> str:
    """A copy for nothing, where both are on one file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target

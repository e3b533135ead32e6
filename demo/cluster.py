"""`make demo-cluster`: four bare boards and a stick become a cluster that nothing outside took part in.

The boards are Debian machines in network namespaces of this computer, with no way out (tests/support/lab). k3s is a
double of it with a real Kubernetes behind (tests/support/kubernetes): pods run, images are pulled.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys

from demo.application.images import cached
from demo.stage import DemoFailed, Stage, workshop
from tests.support.kubernetes.building import VERSION
from tests.support.kubernetes.double import double, push_images
from tests.support.kubernetes.releases import releases
from tests.support.lab import Lab, Node, lab
from tests.support.lab.roots import KEPT
from tests.support.registries import docker_registry
from tests.support.tools import MissingToolError

RECIPE = """\
[crate]
name = "workshop"
platforms = ["linux/amd64"]
profiles = ["demo"]

[k3s]
version = "{version}"

[appliance]
python = ["3.11"]
platforms = ["linux/amd64"]

[[apt]]
name = "debian"
packages = ["dnsmasq-base", "chrony"]

{images}
[upstreams]
{upstreams}
"""
SITE = """\
[site]
name = "workshop"
address = "10.77.0.1"
network = "10.77.0.0/24"

[ssh]
key = "/media/key"

[cluster]
profiles = ["demo"]

[[nodes]]
name = "n1"
address = "10.77.0.11"
role = "server"

[[nodes]]
name = "n2"
address = "10.77.0.12"
role = "agent"

[[nodes]]
name = "n3"
address = "10.77.0.13"
role = "agent"
"""


def pack(stage: Stage) -> str:
    """Builds the stick; returns the signer's fingerprint, which travels another way."""
    stage.step("On the connected side: everything that a cluster needs, on one stick")
    stage.say("k3s is a double in this demo, with a real Kubernetes behind it; its first build takes some minutes.")
    images = asyncio.run(cached(["amd64"]))
    folder = stage.folder / "upstream"
    with docker_registry(folder) as registry, releases(folder, double(folder)) as served:
        push_images(registry, folder / "images")
        listed = "\n".join(f'[[images]]\nlayout = "{each.folder}"\nname = "{each.reference}"\n' for each in images)
        hosts = f'"docker.io" = "{registry.url}"\n{served.upstream}'
        stage.write("bundle.toml", RECIPE.format(version=VERSION, images=listed, upstreams=hosts))
        stage.run("ssh-keygen -q -t ed25519 -N '' -C workshop -f release.key")
        stage.let("XDG_CACHE_HOME", str(KEPT / "cache"))
        stage.run("crate-bundle build --stick stick --key release.key", quiet=True)
    stage.run("ls -l stick && cat stick/START-HERE.txt")
    return stage.run("ssh-keygen -lf release.key.pub | cut -d' ' -f2").strip()


def type_at(stage: Stage, machine: Node, command: str, *, shown: str = "") -> str:
    """Types `command` at the keyboard of a machine, and shows what its screen shows."""
    stage.show(f"{machine.name}# {shown or command}")
    told = machine.run(command, check=False, timeout=900)
    stage.show(told.stdout + (told.stderr if told.returncode else ""))
    if told.returncode:
        raise DemoFailed(f"that ended with exit code {told.returncode} on {machine.name}")
    return told.stdout


def install(stage: Stage, site: Lab, fingerprint: str) -> None:
    stage.step("On the site: three bare boards, one more for the crate, a switch, and no internet")
    for machine in site.machines:
        told = machine.run("uname -n; . /etc/os-release; echo $PRETTY_NAME; command -v python3 || echo no Python")
        stage.say(f"{machine.address}: {', '.join(told.stdout.split(chr(10)))}".rstrip(", "))
    crate = site.appliance
    shutil.copytree(stage.folder / "stick", crate.media / "stick")
    shutil.copy(site.key, crate.media / "key")
    stage.step("What a person writes: which boards there are")
    stage.write("site.toml", SITE)
    shutil.copy(stage.folder / "site.toml", crate.media / "site.toml")

    stage.step("One command")
    stage.say("The fingerprint stands on the card. Somebody says yes to each board's host key, as with any ssh.")
    words = f"sh /media/stick/install.sh --fingerprint {fingerprint} --site /media/site.toml"
    answers = "y\\n" * len(site.nodes)
    type_at(stage, crate, f"cd; printf '{answers}' | script -qec '{words}' /dev/null | cat", shown=words)


def look(stage: Stage, site: Lab) -> None:
    stage.step("What is there now")
    type_at(stage, site["n1"], "k3s kubectl get nodes,pods -A -o wide")
    for node in site.nodes:
        page = site.here(["curl", "-fsS", "-H", "Host: demo.apps.crate.internal", f"http://{node.address}/"]).stdout
        visits = next(line for line in page.splitlines() if "Visits" in line)
        stage.say(f"The guest book, asked at {node.name}: {re.sub('<[^>]+>', '', visits).strip()}")
    stage.say(f"Packets that wanted to leave, counted by nftables on every board and on the switch: {site.escaped()}.")
    stage.step("The same command again: nothing is left to do")
    type_at(stage, site.appliance, "crate-appliance deploy")
    stage.step("The receipt of the installation")
    type_at(stage, site.appliance, "cat $(ls /var/lib/crate/site/receipts/*.txt | head -1)")


def main() -> int:
    try:
        with workshop() as stage:
            stage.say("From bare boards to a running cluster, with a stick and without internet.")
            fingerprint = pack(stage)
            with lab(3, appliance=True) as site:
                install(stage, site, fingerprint)
                look(stage, site)
            stage.say(f"All of it took {stage.seconds():.0f} seconds and left nothing behind but caches.")
    except (DemoFailed, MissingToolError) as error:
        print(f"make demo-cluster: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, subprocess.CalledProcessError):
        print("\nmake demo-cluster: interrupted, and cleaned up", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

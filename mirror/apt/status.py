"""A dpkg status file (`/var/lib/dpkg/status`): which packages a node has, in which versions."""

from __future__ import annotations

from mirror.apt import stanza
from mirror.apt.packages import Origin, Package
from mirror.apt.universe import Base
from mirror.errors import BadSection

_ORIGIN = Origin("the base", "status", "installed")
_HELD = ("installed", "triggers-awaited", "triggers-pending")


def read_status(data: bytes, where: str, architecture: str) -> Base:
    """The installed packages of `architecture`. Raises `BadIndex`, or `BadSection` when it is of other nodes."""
    packages = {}
    others = set()
    for block in stanza.decode(data, where).split("\n\n"):
        if not block.strip():
            continue
        fields = stanza.parse(block.strip("\n"), where)
        if fields.get("status", "").split()[-1:] not in [[state] for state in _HELD]:
            continue
        if fields.get("architecture") not in {architecture, "all"}:
            others.add(fields.get("architecture", ""))
            continue
        package = Package.parse(block.strip("\n"), _ORIGIN)
        packages[package.name] = package
    if not packages or all(package.architecture == "all" for package in packages.values()):
        raise BadSection(
            f"{where} is the status of {' '.join(sorted(others)) or 'no'} nodes, not of {architecture}",
            hint="write {architecture} in the name of `base` and give one file for each",
        )
    return Base(packages, versions_known=True)


def write_status(base: Base) -> bytes:
    """A status file that says that the nodes have `base`."""
    blocks = []
    for package in base.packages.values():
        text = package.text if "status" in package.fields else f"{package.text}\nStatus: install ok installed"
        blocks.append(text.strip("\n") + "\n")
    return "\n".join(blocks).encode()

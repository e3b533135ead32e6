"""The command that fetches an item, for each client that could, with this crate's address in it. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from appliance.items import Held

_AUTHORITY = "/etc/buzzcrate/ca.pem"
_HOSTS = "/etc/containerd/certs.d"


@dataclass(frozen=True, slots=True)
class Command:
    """`setup` is the page below /setup/ that prepares a machine for it; empty when nothing has to be prepared."""

    client: str
    text: str
    setup: str


@dataclass(frozen=True, slots=True)
class _Where:
    held: Held
    address: str


def commands(held: Held, address: str) -> tuple[Command, ...]:
    """`address` is host:port of the crate as whoever reads this reaches it."""
    return tuple(_KINDS[held.kind](_Where(held, address))) if held.kind in _KINDS else ()


def _image(where: _Where) -> Iterator[Command]:
    held = where.held
    version = f"{'@' if ':' in held.version else ':'}{held.version}"
    here = f"{where.address}/{held.path}{version}"
    name = here if held.contributed else f"{held.name}{version}"
    yield _command("docker", "docker", "pull", here)
    yield _command("podman", "podman", "pull", name)
    yield _command("ctr", "containerd", "images", "pull", "--hosts-dir", _HOSTS, name)
    yield _command("skopeo", "podman", "inspect", f"docker://{here}")


def _chart(where: _Where) -> Iterator[Command]:
    held = where.held
    release = held.name.rpartition("/")[2]
    chart = f"oci://{where.address}/charts/{held.name}"
    words = ("--version", held.version, "--ca-file", _AUTHORITY)
    yield _command("helm", "helm", "install", release, chart, *words)
    yield _command("helm", "helm", "pull", chart, *words)


def _apt(where: _Where) -> Iterator[Command]:
    yield _command("apt-get", "apt", "install", f"{where.held.name}={where.held.version}")


def _pypi(where: _Where) -> Iterator[Command]:
    wanted = f"{where.held.name}=={where.held.version}"
    yield _command("pip", "pip", "install", wanted)
    yield _command("uv", "uv", "pip", "install", wanted)


def _npm(where: _Where) -> Iterator[Command]:
    yield _command("npm", "npm", "install", f"{where.held.name}@{where.held.version}")


def _file(where: _Where) -> Iterator[Command]:
    url = f"https://{where.address}/{where.held.path}"
    yield _command("curl", "", "-fO", "--cacert", _AUTHORITY, url)


def _command(client: str, setup: str, *words: str) -> Command:
    return Command(client, shlex.join([client, *words]), setup)


_KINDS: Mapping[str, Callable[[_Where], Iterator[Command]]] = {
    "image": _image,
    "chart": _chart,
    "apt": _apt,
    "pypi": _pypi,
    "npm": _npm,
    "file": _file,
}

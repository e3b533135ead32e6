"""What a client must know to trust the crate and to pull from it, as a shell script to run there as root.

Each client has its own files: docker daemon.json and certs.d, containerd hosts.toml (docs/hosts.md), podman and skopeo
registries.conf(5) and containers-certs.d(5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

_END = "END-OF-FILE"


@dataclass(frozen=True, slots=True)
class Crate:
    """The crate as clients see it: `address` host:port, `authority` its PEM, `hosts` the upstreams it stands in for."""

    address: str
    authority: str
    hosts: Sequence[str]


def client_script(client: str, crate: Crate) -> str:
    """A POSIX shell script for `client`, one of `CLIENTS`."""
    notes, files = CLIENTS[client](crate)
    lines = ["#!/bin/sh", f"# Makes {client} on this machine trust the crate at {crate.address} and pull from it."]
    lines += [f"# {note}" if note else "#" for note in notes]
    lines += ["set -eu", "umask 022"]
    for path, content in files.items():
        lines += [f"mkdir -p '{path.rpartition('/')[0]}'", f"cat > '{path}' <<'{_END}'", content.rstrip("\n"), _END]
    return "\n".join(lines) + "\n"


def client_files(client: str, crate: Crate) -> Mapping[str, str]:
    """What the script writes: absolute path to content."""
    return CLIENTS[client](crate)[1]


def _docker(crate: Crate) -> tuple[list[str], dict[str, str]]:
    notes = [
        "No restart is needed. Pull by the full name, for instance:",
        f"  docker pull {crate.address}/docker.io/library/busybox:1.36",
        f"  docker login {crate.address}      (to push: any user, a token as the password)",
        "For plain names of Docker Hub, add this to /etc/docker/daemon.json and restart docker:",
        f'  {{"registry-mirrors": ["https://{crate.address}"]}}',
        *_name_note(crate),
    ]
    return notes, {f"/etc/docker/certs.d/{crate.address}/ca.crt": crate.authority}


def _containerd(crate: Crate) -> tuple[list[str], dict[str, str]]:
    folder, ca = "/etc/containerd/certs.d", "/etc/containerd/buzzcrate-ca.pem"
    notes = [
        "Images keep their names: docker.io/library/busybox:1.36 is pulled from the crate, and from nowhere else.",
        "containerd reads this where /etc/containerd/config.toml says, once (then restart containerd):",
        '  [plugins."io.containerd.grpc.v1.cri".registry]',
        f'    config_path = "{folder}"',
        f"ctr wants it said: ctr images pull --hosts-dir {folder} docker.io/library/busybox:1.36",
        *_name_note(crate),
    ]

    def hosts_toml(capabilities: str) -> str:
        url = f"https://{crate.address}"
        return f'server = "{url}"\n\n[host."{url}"]\n  capabilities = [{capabilities}]\n  ca = "{ca}"\n'

    files = {ca: crate.authority, f"{folder}/{crate.address}/hosts.toml": hosts_toml('"pull", "resolve", "push"')}
    for host in (*crate.hosts, "_default"):
        files[f"{folder}/{host}/hosts.toml"] = hosts_toml('"pull", "resolve"')
    return notes, files


def _podman(crate: Crate) -> tuple[list[str], dict[str, str]]:
    notes = [
        "For podman, buildah, skopeo and CRI-O. Images keep their names: docker.io/library/busybox:1.36 is asked of",
        "the crate first, then of its own host.",
        f"  podman login {crate.address}      (to push: any user, a token as the password)",
        *_name_note(crate),
    ]
    mirrors = [
        f'[[registry]]\nprefix = "{host}"\nlocation = "{host}"\n\n'
        f'[[registry.mirror]]\nlocation = "{crate.address}/{host.replace(":", "_")}"\n'
        for host in crate.hosts
    ]
    return notes, {
        f"/etc/containers/certs.d/{crate.address}/ca.crt": crate.authority,
        "/etc/containers/registries.conf.d/buzzcrate.conf": "\n".join(mirrors) or "# the crate holds no images yet\n",
    }


def _name_note(crate: Crate) -> list[str]:
    host = crate.address.rpartition(":")[0]
    return [f"The name {host} must resolve to the crate, by DNS or a line in /etc/hosts."]


CLIENTS: Mapping[str, Callable[[Crate], tuple[list[str], dict[str, str]]]] = {
    "docker": _docker,
    "containerd": _containerd,
    "podman": _podman,
}

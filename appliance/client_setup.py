"""What a client must know to trust the crate and to pull from it, as a shell script to run there as root.

Each client has its own files: docker daemon.json and certs.d, containerd hosts.toml (docs/hosts.md), podman and skopeo
registries.conf(5) and containers-certs.d(5), apt sources.list(5), pip pip.conf, uv uv.toml, npm npmrc(5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

_END = "END-OF-FILE"
_AUTHORITY = "/etc/buzzcrate/ca.pem"


@dataclass(frozen=True, slots=True)
class Crate:
    """The crate as clients see it: `address` host:port, `authority` its PEM, `hosts` the upstreams it stands in for.

    `sources` are the apt sources that it offers, by repository.
    """

    address: str
    authority: str
    hosts: Sequence[str]
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"https://{self.address}"


@dataclass(frozen=True, slots=True)
class Setup:
    """`notes` for whoever reads the script, `files` by absolute path, `commands` to run once they are there."""

    notes: Sequence[str]
    files: Mapping[str, str]
    commands: Sequence[str] = ()


def client_script(client: str, crate: Crate) -> str:
    """A POSIX shell script for `client`, one of `CLIENTS`."""
    setup = CLIENTS[client](crate)
    lines = ["#!/bin/sh", f"# Makes {client} on this machine trust the crate at {crate.address} and pull from it."]
    lines += [f"# {note}" if note else "#" for note in (*setup.notes, *_name_note(crate))]
    lines += ["set -eu", "umask 022"]
    for path, content in setup.files.items():
        lines += [f"mkdir -p '{path.rpartition('/')[0]}'", f"cat > '{path}' <<'{_END}'", content.rstrip("\n"), _END]
    return "\n".join([*lines, *setup.commands]) + "\n"


def client_files(client: str, crate: Crate) -> Mapping[str, str]:
    """What the script writes: absolute path to content."""
    return CLIENTS[client](crate).files


def _docker(crate: Crate) -> Setup:
    notes = [
        "No restart is needed. Pull by the full name, for instance:",
        f"  docker pull {crate.address}/docker.io/library/busybox:1.36",
        f"  docker login {crate.address}      (to push: any user, a token as the password)",
        "For plain names of Docker Hub, add this to /etc/docker/daemon.json and restart docker:",
        f'  {{"registry-mirrors": ["https://{crate.address}"]}}',
    ]
    return Setup(notes, {f"/etc/docker/certs.d/{crate.address}/ca.crt": crate.authority})


def _containerd(crate: Crate) -> Setup:
    folder, ca = "/etc/containerd/certs.d", "/etc/containerd/buzzcrate-ca.pem"
    notes = [
        "Images keep their names: docker.io/library/busybox:1.36 is pulled from the crate, and from nowhere else.",
        "containerd reads this where /etc/containerd/config.toml says, once (then restart containerd):",
        '  [plugins."io.containerd.grpc.v1.cri".registry]',
        f'    config_path = "{folder}"',
        f"ctr wants it said: ctr images pull --hosts-dir {folder} docker.io/library/busybox:1.36",
    ]

    def hosts_toml(capabilities: str) -> str:
        return f'server = "{crate.url}"\n\n[host."{crate.url}"]\n  capabilities = [{capabilities}]\n  ca = "{ca}"\n'

    files = {ca: crate.authority, f"{folder}/{crate.address}/hosts.toml": hosts_toml('"pull", "resolve", "push"')}
    for host in (*crate.hosts, "_default"):
        files[f"{folder}/{host}/hosts.toml"] = hosts_toml('"pull", "resolve"')
    return Setup(notes, files)


def _podman(crate: Crate) -> Setup:
    notes = [
        "For podman, buildah, skopeo and CRI-O. Images keep their names: docker.io/library/busybox:1.36 is asked of",
        "the crate first, then of its own host.",
        f"  podman login {crate.address}      (to push: any user, a token as the password)",
    ]
    mirrors = [
        f'[[registry]]\nprefix = "{host}"\nlocation = "{host}"\n\n'
        f'[[registry.mirror]]\nlocation = "{crate.address}/{host.replace(":", "_")}"\n'
        for host in crate.hosts
    ]
    return Setup(
        notes,
        {
            f"/etc/containers/certs.d/{crate.address}/ca.crt": crate.authority,
            "/etc/containers/registries.conf.d/buzzcrate.conf": "\n".join(mirrors) or "# there are no images yet\n",
        },
    )


def _apt(crate: Crate) -> Setup:
    notes = [
        "apt-get update and apt-get install are all there is to do then. The packages are signed by the crate's own",
        "key, which is in these files, so they come over plain HTTP. To have nothing but the crate asked, move the",
        "other files in /etc/apt/sources.list.d and /etc/apt/sources.list away.",
    ]
    folder = "/etc/apt/sources.list.d"
    return Setup(notes, {f"{folder}/buzzcrate-{name}.sources": text for name, text in crate.sources.items()})


def _pip(crate: Crate) -> Setup:
    config = f"[global]\nindex-url = {crate.url}/pypi/simple/\ncert = {_AUTHORITY}\n"
    notes = [
        "pip install NAME, in virtual environments too, asks the crate and nobody else.",
        "Where REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE is set, pip goes by that instead of the certificate named here.",
    ]
    return Setup(notes, {_AUTHORITY: crate.authority, "/etc/pip.conf": config})


def _uv(crate: Crate) -> Setup:
    notes = [
        "uv asks the crate and nobody else. It takes the crate's authority from the system's certificates; where there",
        "is no update-ca-certificates, set SSL_CERT_FILE to that file instead.",
    ]
    index = f'system-certs = true\n\n[[index]]\nname = "crate"\nurl = "{crate.url}/pypi/simple/"\ndefault = true\n'
    files = {"/usr/local/share/ca-certificates/buzzcrate.crt": crate.authority, "/etc/uv/uv.toml": index}
    return Setup(notes, files, ["update-ca-certificates"])


def _npm(crate: Crate) -> Setup:
    notes = ["npm ci and npm install take everything from the crate, whatever registry a lock was made with."]
    settings = f"registry={crate.url}/npm/ cafile={_AUTHORITY}"
    return Setup(notes, {_AUTHORITY: crate.authority}, [f"npm config set --location=global {settings}"])


def _helm(crate: Crate) -> Setup:
    notes = [
        "Each user then adds the repository, or pulls from the registry without adding anything:",
        f"  helm repo add crate {crate.url}/helm --ca-file {_AUTHORITY}",
        f"  helm pull oci://{crate.address}/charts/NAME --ca-file {_AUTHORITY}",
    ]
    return Setup(notes, {_AUTHORITY: crate.authority})


def _name_note(crate: Crate) -> list[str]:
    host = crate.address.rpartition(":")[0]
    return [f"The name {host} must resolve to the crate, by DNS or a line in /etc/hosts."]


CLIENTS: Mapping[str, Callable[[Crate], Setup]] = {
    "docker": _docker,
    "containerd": _containerd,
    "podman": _podman,
    "apt": _apt,
    "pip": _pip,
    "uv": _uv,
    "npm": _npm,
    "helm": _helm,
}

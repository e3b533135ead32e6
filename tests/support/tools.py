"""The real programs that tests, demo and bench talk to, and the Debian package that brings each.

A missing program is an error, not a skip: `python -m tests.support.tools` prints the packages this machine lacks,
which is what the Makefile installs.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

PACKAGES = {
    "age": "age",
    "apt-get": "apt",
    "aptly": "aptly",
    "busybox": "busybox",
    "chromium": "chromium",
    "chroot": "coreutils",
    "containerd": "containerd",
    "ctr": "containerd",
    "curl": "curl",
    "dash": "dash",
    "debootstrap": "debootstrap",
    "dig": "bind9-dnsutils",
    "dnsmasq": "dnsmasq-base",
    "docker-registry": "docker-registry",
    "dpkg": "dpkg",
    "dpkg-deb": "dpkg",
    "env": "coreutils",
    "faketime": "faketime",
    "gcc": "gcc",
    "go": "golang-go",
    "gpg": "gpg",
    "gpgv": "gpgv",
    "ip": "iproute2",
    "jq": "jq",
    "kill": "procps",  # the unit reloads the daemon with it
    "make": "make",
    "mount": "mount",
    "nft": "nftables",
    "nginx": "nginx-light",
    "nice": "coreutils",
    "npm": "npm",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "podman": "podman",
    "qemu-aarch64-static": "qemu-user-static",
    "reprepro": "reprepro",
    "rsync": "rsync",
    "script": "bsdutils",
    "setpriv": "util-linux",
    "setsid": "util-linux",
    "shellcheck": "shellcheck",
    "skopeo": "skopeo",
    "sqv": "sqv",
    "ssh": "openssh-client",
    "ssh-add": "openssh-client",
    "ssh-agent": "openssh-client",
    "ssh-keygen": "openssh-client",
    "strip": "binutils",
    "systemd-analyze": "systemd",
    "systemd-nspawn": "systemd-container",
    "tar": "tar",
    "umount": "mount",
    "unshare": "util-linux",
    "update-binfmts": "binfmt-support",
    "wrk": "wrk",
    "zbarimg": "zbar-tools",
}
# Debian keeps some of them where a plain user's PATH does not look.
_SEARCH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


class MissingToolError(Exception):
    """A program that this machine lacks; the message names the package."""


def find(name: str) -> Path | None:
    found = shutil.which(name, path=_SEARCH)
    return Path(found) if found else None


def tool(name: str) -> str:
    """The full path of `name`. Raises `MissingToolError` naming the Debian package that brings it."""
    found = find(name)
    if found is None:
        raise MissingToolError(f"{name} is not installed; on Debian and Ubuntu: apt-get install {PACKAGES[name]}")
    return str(found)


def root(why: str) -> None:
    """Returns when this process is root. Raises `MissingToolError` saying `why` it has to be."""
    if os.getuid() != 0:
        raise MissingToolError(f"only root may do this: {why}")


def missing_packages() -> list[str]:
    return sorted({package for name, package in PACKAGES.items() if find(name) is None})


if __name__ == "__main__":
    sys.stdout.write(" ".join(missing_packages()) + "\n")

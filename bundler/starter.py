"""The recipe that `init` writes: small enough to build at once, with the rest explained where it would stand."""

from __future__ import annotations

import os
import re
from pathlib import Path

from bundler.errors import RecipeExists

_TEXT = """\
# What goes into the crate. Every key is explained in docs/recipe.md.
# Next: crate-bundle keygen release.key; crate-bundle build --stick /media/stick --key release.key

[crate]
name = "{name}"
# Who it is for; images and files are brought for every one of these unless they say otherwise.
platforms = ["linux/amd64", "linux/arm64"]
# serial = "auto"         # rises with every release: the UTC time, unless you count yourself
# channel = "stable"
# expires = 2027-12-31    # only warns: boards have no clock

# What sets up a board from the stick, for the Pythons of Debian 12 and 13, Ubuntu 24.04 and Raspberry Pi OS.
[appliance]
# python = ["3.11", "3.12", "3.13"]
# packages = ["dnsmasq-base", "chrony"]   # answer names and time; from the first [[apt]] below

# A Kubernetes of one binary: its releases are at https://github.com/k3s-io/k3s/releases
# [k3s]
# version = "v1.36.4+k3s1"
# airgap = false          # true takes the release's image tarballs instead of the images one by one

[[images]]
ref = "docker.io/library/busybox:1.36"
# platforms = ["linux/arm64"]
# referrers = true        # bring signatures and SBOMs along

# An image of this machine: an OCI layout folder, an oci-archive or what `docker save` writes.
# [[images]]
# layout = "app.tar"
# name = "ghcr.io/team/app:1.0"

# Served at /files/<name>. {{version}} and {{arch}} are filled in, the latter for each platform.
# [[files]]
# name = "tool-{{version}}-{{arch}}.tar.gz"
# version = "2.1.0"
# url = "https://github.com/team/tool/releases/download/v{{version}}/tool_{{arch}}.tar.gz"
# checksums = "https://github.com/team/tool/releases/download/v{{version}}/SHA256SUMS"

# [[files]]
# name = "notes.txt"
# path = "notes.txt"

# Debian packages with all they need, from this machine's apt sources unless a url is given.
# [[apt]]
# name = "debian"
# suites = ["bookworm", "bookworm-updates", "bookworm-security"]
# packages = ["nfs-common", "chrony"]

# Python packages, for every platform and Python, from this machine's index unless others are given.
# [[pypi]]
# requirements = ["aiohttp>=3.9"]
# python = ["3.11", "3.13"]

# Packages of Node.js, from a lock or by name.
# [[npm]]
# locks = ["package-lock.json"]

# A Helm chart: from a repository or a registry, or a folder of this machine with `path`.
# [[charts]]
# name = "podinfo"
# repository = "oci://ghcr.io/stefanprodan/charts"

# Another way to a host: a company's proxy or a pull-through cache. Credentials do not belong here:
# the recipe travels in the crate.
# [upstreams]
# "docker.io" = "https://mirror.example.org"
"""


def write(path: Path) -> None:
    """Writes a recipe named after its folder. Raises `RecipeExists`."""
    folder = path.resolve().parent.name.lower()
    name = re.sub(r"[^a-z0-9._-]+", "-", folder)[:64].strip("._-") or "site"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError as error:
        raise RecipeExists(f"{path} exists", hint="name another file, or change that one") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(_TEXT.format(name=name))

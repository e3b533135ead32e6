"""What a request that found nothing was for: the table of paths, images and names, noise among them."""

from __future__ import annotations

import pytest

from appliance import misses
from appliance.misses import Miss
from archive.requests import KINDS

OWN = frozenset({"crate.internal", "10.0.0.1"})
HEX = "a" * 64

PATHS: dict[str, tuple[str, tuple[str, str] | None]] = {
    "pip asks for a project": ("pypi/simple/flask/", ("pypi", "flask")),
    "a project in somebody's own spelling": ("pypi/simple/Zope.Interface", ("pypi", "zope-interface")),
    "a wheel that a lock names": (
        "pypi/files/aiohttp/aiohttp-3.9.0-cp311-cp311-manylinux_2_17_x86_64.whl",
        ("pypi", "aiohttp==3.9.0"),
    ),
    "a wheel with a build number": ("pypi/files/x/x-1.0-1-py3-none-any.whl", ("pypi", "x==1.0")),
    "a source distribution": ("pypi/files/zope-x/zope_x-1.0.tar.gz", ("pypi", "zope-x==1.0")),
    "what a wheel would say of itself": ("pypi/files/x/x-1.0-py3-none-any.whl.metadata", None),
    "the index itself": ("pypi/simple/", None),
    "pip looks for a newer pip": ("pypi/simple/pip/", None),
    "npm asks for a package": ("npm/esbuild", ("npm", "esbuild")),
    "npm asks for one of a scope": ("npm/@babel/core", ("npm", "@babel/core")),
    "a tarball": ("npm/esbuild/-/esbuild-0.25.1.tgz", ("npm", "esbuild@0.25.1")),
    "a tarball of a scope": ("npm/@babel/core/-/core-7.0.0-beta.1.tgz", ("npm", "@babel/core@7.0.0-beta.1")),
    "a tarball of a name with a number": ("npm/is-odd-2/-/is-odd-2-1.0.0.tgz", ("npm", "is-odd-2@1.0.0")),
    "one version of a package": ("npm/esbuild/0.25.1", ("npm", "esbuild@0.25.1")),
    "npm looks for a newer npm": ("npm/npm", None),
    "npm asks who it is": ("npm/-/whoami", None),
    "npm asks for advisories": ("npm/-/npm/v1/security/advisories/bulk", None),
    "npm searches": ("npm/-/v1/search", None),
    "a chart": ("helm/charts/metallb-0.15.2.tgz", ("chart", "metallb 0.15.2")),
    "a chart with dashes": (
        "helm/charts/kube-state-metrics-v1.2.3-rc.1.tgz",
        ("chart", "kube-state-metrics v1.2.3-rc.1"),
    ),
    "the provenance of a chart": ("helm/charts/metallb-0.15.2.tgz.prov", None),
    "a suite": ("apt/debian/dists/trixie/InRelease", ("suite", "debian/trixie")),
    "a suite with a slash": ("apt/debian/dists/stable/updates/InRelease", ("suite", "debian/stable/updates")),
    "the older form of a suite": ("apt/debian/dists/trixie/Release", None),
    "its signature": ("apt/debian/dists/trixie/Release.gpg", None),
    "an architecture": (
        "apt/debian/dists/bookworm/main/binary-riscv64/Packages.xz",
        ("suite", "debian/bookworm:riscv64"),
    ),
    "an index that another generation had": (f"apt/debian/dists/bookworm/main/binary-arm64/by-hash/SHA256/{HEX}", None),
    "translations": ("apt/debian/dists/bookworm/main/i18n/Translation-de.xz", None),
    "icons of a software centre": ("apt/debian/dists/bookworm/main/dep11/icons-64x64.tar.gz", None),
    "the list of contents": ("apt/debian/dists/bookworm/main/Contents-amd64.gz", None),
    "a package": ("apt/debian/pool/main/c/chrony/chrony_4.3-2+deb12u1_arm64.deb", ("apt", "debian/chrony")),
    "a package with an epoch": ("apt/debian/pool/main/libs/libstdc++6_1%3a12_all.deb", ("apt", "debian/libstdc++6")),
    "a repository's key": ("apt/team.asc", ("path", "apt/team.asc")),
    "a file": ("files/k3s/v1.36.4+k3s1/k3s-armhf", ("file", "k3s/v1.36.4+k3s1/k3s-armhf")),
    "a path that nobody knows": ("debian/dists/bookworm/InRelease", ("path", "debian/dists/bookworm/InRelease")),
    "a browser's icon": ("favicon.ico", None),
    "a browser's icon, deeper": ("files/favicon.ico", ("file", "favicon.ico")),
    "a telephone's icon": ("apple-touch-icon-120x120.png", None),
    "a crawler": ("robots.txt", None),
    "a scanner": ("admin/index.php", None),
    "another scanner": (".git/config", None),
    "docker's version 1": ("v1/_ping", None),
    "a name without an end": ("npm/" + "x" * 600, None),
    "letters that cannot be shown": ("npm/\x1b[31m", None),
}


@pytest.mark.parametrize(("path", "expected"), PATHS.values(), ids=PATHS)
def test_what_a_path_was_for(path: str, expected: tuple[str, str] | None) -> None:
    found = misses.of_path(path)
    assert found == (Miss(*expected) if expected else None)
    assert found is None or found.kind in KINDS


IMAGES: dict[str, tuple[tuple[str, str, str], tuple[str, str] | None]] = {
    "containerd, standing in for Docker Hub": (
        ("library/nginx", "1.27", "docker.io"),
        ("image", "docker.io/library/nginx:1.27"),
    ),
    "containerd, by another of its names": (
        ("library/nginx", "1.27", "registry-1.docker.io"),
        ("image", "docker.io/library/nginx:1.27"),
    ),
    "containerd, a host with a port": (("x/y", "1", "harbor.corp:8443"), ("image", "harbor.corp:8443/x/y:1")),
    "written out": (("ghcr.io/team/app", "2", ""), ("image", "ghcr.io/team/app:2")),
    "written out, with a port as paths have it": (("harbor.corp_8443/x", "1", ""), ("image", "harbor.corp:8443/x:1")),
    "docker, with a registry mirror": (("nginx", "1", ""), ("image", "docker.io/library/nginx:1")),
    "by digest": (("ghcr.io/a/b", f"sha256:{HEX}", ""), ("image", f"ghcr.io/a/b@sha256:{HEX}")),
    "a namespace of the crate's own": (("team/app", "1", "crate.internal:5000"), ("image", "docker.io/team/app:1")),
    "helm, a chart of the crate's": (("charts/podinfo", "6.9.2_b1", ""), ("chart", "podinfo 6.9.2+b1")),
    "helm, the versions of a chart": (("charts/podinfo", "", ""), ("chart", "podinfo")),
    "charts of somebody else": (("charts/podinfo", "1", "ghcr.io"), ("image", "ghcr.io/charts/podinfo:1")),
    "somebody lists tags": (("ghcr.io/team/app", "", ""), None),
    "cosign": (("ghcr.io/team/app", f"sha256-{HEX}.sig", ""), None),
    "the fallback of referrers": (("ghcr.io/team/app", f"sha256-{HEX}", ""), None),
    "a namespace that is none": (("x", "1", "a b"), None),
    "a tag that is none": (("ghcr.io/team/app", "-x", ""), None),
    "a digest that is none": (("ghcr.io/team/app", "sha256:00", ""), None),
    "this very machine": (("localhost/app", "1", ""), None),
}


@pytest.mark.parametrize(("asked", "expected"), IMAGES.values(), ids=IMAGES)
def test_what_the_registry_was_asked_for(asked: tuple[str, str, str], expected: tuple[str, str] | None) -> None:
    assert misses.of_image(*asked, OWN) == (Miss(*expected) if expected else None)


NAMES: dict[str, tuple[str, bool]] = {
    "a mirror that somebody uses": ("mirror.example.org.", True),
    "a registry": ("Registry-1.Docker.io", True),
    "a short name": ("printer", False),
    "a name of the site": ("nas.lan", False),
    "an address, backwards": ("1.0.0.10.in-addr.arpa", False),
    "multicast DNS": ("box.local", False),
    "a service": ("_http._tcp.example.org", False),
    "a proxy that finds itself": ("wpad.example.org", False),
    "is there an internet": ("connectivity-check.example.org", False),
    "what time is it": ("0.pool.ntp.org", False),
    "a cluster's own": ("kube-dns.kube-system.svc", False),
    "no name at all": ("a..b", False),
    "an attack": ("x" * 300 + ".example.org", False),
}


@pytest.mark.parametrize(("name", "kept"), NAMES.values(), ids=NAMES)
def test_what_a_name_was_for(name: str, kept: bool) -> None:
    assert misses.of_name(name) == (Miss("dns", name.rstrip(".").lower()) if kept else None)

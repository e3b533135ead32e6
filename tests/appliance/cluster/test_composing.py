"""What an order is made of: releases by their file names, package sources, profiles with the site's settings. Pure."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.cluster import contents, profiles
from appliance.cluster.composing import Keys, compose
from appliance.cluster.contents import Blob, CrateContents, K3sRelease
from appliance.published import Served
from appliance.site.model import Site
from archive.errors import Problem
from deploys.order import Order
from manifests.errors import SettingInvalid, UnknownProfile
from mirror.apt.publish import sources
from tests.appliance.cluster.runs import SITE, VERSION

KEYS = Keys("/key", "/known_hosts", "PEM", "token", "sesame")
RELEASE = K3sRelease({"linux/amd64": Blob("ab" * 32, 70)}, {"linux/amd64": Blob("cd" * 32, 900)})
METALLB = """
[cluster]
profiles = ["metallb"]
embedded-registry = true
[cluster.settings]
kubelet-arg = ["max-pods=50"]
[base]
packages = ["nfs-common"]
foreign-sources = "keep"
[profiles.metallb]
{settings}
"""


def site(more: str = "") -> Site:
    return Site.parse(Path("site.toml"), SITE.format(more=more))


def served(*paths: str) -> list[Served]:
    return [Served(path, (), f"{number:064x}", 10 + number, "", False, 0, None) for number, path in enumerate(paths)]


def chosen(there: Site) -> list[profiles.SiteProfile]:
    return profiles.of_site(there, {}, repository="https://10.77.0.1:5000/helm", authority="PEM", seed="token")


def composed(there: Site, carried: CrateContents) -> Order:
    return compose(there, carried, KEYS, k3s=VERSION, profiles=chosen(there))


def test_releases_are_known_by_their_files() -> None:
    found = contents.k3s_releases(
        served(
            "files/k3s/v1.36.4+k3s1/k3s",
            "files/k3s/v1.36.4+k3s1/k3s-arm64",
            "files/k3s/v1.36.4+k3s1/k3s-armhf",
            "files/k3s/v1.36.4+k3s1/k3s-airgap-images-arm64.tar.zst",
            "files/k3s/v1.35.9+k3s1/k3s",
            "files/k3s/v1.35.9+k3s1/notes.txt",
            "files/k3s/v1.34.1+k3s1/k3s-airgap-images-amd64.tar.zst",
            "files/k3s/readme",
        )
    )
    assert {version: sorted(release.binaries) for version, release in found.items()} == {
        "v1.36.4+k3s1": ["linux/amd64", "linux/arm", "linux/arm64"],
        "v1.35.9+k3s1": ["linux/amd64"],
    }
    assert found["v1.36.4+k3s1"].airgap == {"linux/arm64": Blob(f"{3:064x}", 13)}


def test_what_the_site_says_of_cluster_and_nodes_is_in_the_order() -> None:
    there = site(METALLB.format(settings='range = "10.77.0.200-10.77.0.220"'))
    text = sources("debian", {"bookworm": ["main"], "trixie": ["main", "contrib"]}, b"KEY").decode()
    order = composed(there, CrateContents(7, ("docker.io",), {VERSION: RELEASE}, {"debian": text}))
    assert order.k3s is not None
    assert order.k3s.embedded_registry
    assert order.k3s.settings == {"kubelet-arg": ["max-pods=50"]}
    assert order.k3s.disable == ("servicelb",)
    assert order.k3s.airgap["linux/amd64"].url.endswith("/blobs/sha256/" + "cd" * 32)
    assert (order.base.packages, order.base.foreign_sources) == (("nfs-common",), "keep")
    assert [(source.name, source.suites) for source in order.crate.apt] == [("debian", ("bookworm", "trixie"))]
    assert order.crate.apt[0].text == text
    assert (order.crate.created, order.crate.hosts) == (7, ("docker.io",))
    (profile,) = order.profiles
    assert profile.name == "metallb"
    assert any("10.77.0.200-10.77.0.220" in manifest for manifest in profile.manifests.values())


def test_waves_are_in_their_own_order_however_they_were_named() -> None:
    order = compose(site(), CrateContents(0), KEYS, k3s="", waves=("base", "preflight"))
    assert order.waves == ("preflight", "base")
    assert order.k3s is None


def test_secrets_are_in_the_document_and_in_nothing_that_is_printed() -> None:
    order = composed(site(), CrateContents(0, (), {VERSION: RELEASE}))
    assert "sesame" in order.model_dump_json()
    assert "sesame" not in repr(order)
    assert "sesame" not in str(order.model_dump())


WRONG: dict[str, tuple[str, type[Problem], str]] = {
    "a profile that there is not": ('[cluster]\nprofiles = ["metalb"]', UnknownProfile, "no profile is called metalb"),
    "a setting that it does not have": (
        METALLB.format(settings='range = "10.77.0.200-10.77.0.220"\nrnge = 1'),
        SettingInvalid,
        "site.toml: [profiles.metallb]",
    ),
}


@pytest.mark.parametrize(("more", "problem", "said"), WRONG.values(), ids=WRONG)
def test_what_a_site_cannot_ask_of_profiles(more: str, problem: type[Problem], said: str) -> None:
    with pytest.raises(problem) as told:
        chosen(site(more))
    assert said in told.value.what
    assert told.value.exit_code == 2

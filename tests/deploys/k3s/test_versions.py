"""Which step from one k3s to another is taken, and the order of releases."""

from __future__ import annotations

import pytest

from archive.errors import InvalidValue
from deploys.errors import UnfitRelease
from deploys.k3s import versions

IN_ORDER = (
    "v1.9.11+k3s1",
    "v1.31.0-rc1+k3s1",
    "v1.31.0+k3s1",
    "v1.31.0+k3s2",
    "v1.31.0+k3s10",
    "v1.31.4+k3s1",
    "v1.32.0-alpha.1+k3s1",
    "v1.32.0+k3s1",
    "v2.0.0+k3s1",
)

GOOD = {
    "the release that runs": ("v1.31.4+k3s1", "v1.31.4+k3s1"),
    "k3s's next release of one Kubernetes": ("v1.31.4+k3s1", "v1.31.4+k3s2"),
    "a patch": ("v1.31.0+k3s1", "v1.31.14+k3s1"),
    "the next minor version": ("v1.31.14+k3s1", "v1.32.0+k3s1"),
    "from a candidate to its release": ("v1.32.0-rc2+k3s1", "v1.32.0+k3s1"),
    "over a boundary of decimals": ("v1.9.1+k3s1", "v1.10.0+k3s1"),
}

REFUSED = {
    "an older patch": ("v1.31.4+k3s1", "v1.31.3+k3s1", "going back"),
    "an older release of one Kubernetes": ("v1.31.4+k3s2", "v1.31.4+k3s1", "going back"),
    "an older minor version": ("v1.32.0+k3s1", "v1.31.9+k3s1", "going back"),
    "from a release to its candidate": ("v1.32.0+k3s1", "v1.32.0-rc2+k3s1", "going back"),
    "two minor versions at once": ("v1.31.4+k3s1", "v1.33.0+k3s1", "too many minor"),
    "another major version": ("v1.31.4+k3s1", "v2.32.0+k3s1", "too many minor"),
}


def test_releases_are_ordered_by_kubernetes_and_then_by_k3s_own_number() -> None:
    assert sorted({*IN_ORDER}, key=versions.key) == list(IN_ORDER)
    assert versions.newest(IN_ORDER[2:6]) == "v1.31.4+k3s1"


@pytest.mark.parametrize(("has", "wanted"), GOOD.values(), ids=GOOD.keys())
def test_a_supported_step_is_taken(has: str, wanted: str) -> None:
    versions.check_step("n1", "server", has, wanted)


@pytest.mark.parametrize(("has", "wanted", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_a_step_that_kubernetes_does_not_support_is_refused_with_a_way_out(has: str, wanted: str, why: str) -> None:
    with pytest.raises(UnfitRelease, match=f"n1 runs k3s .*{why}") as refusal:
        versions.check_step("n1", "server", has, wanted)
    assert "reset" in refusal.value.hint


def test_the_way_over_two_minor_versions_names_the_one_between() -> None:
    with pytest.raises(UnfitRelease) as refusal:
        versions.check_step("n1", "server", "v1.31.4+k3s1", "v1.33.0+k3s1")
    assert "v1.32" in refusal.value.hint


@pytest.mark.parametrize(
    "text", ["", "latest", "v1.31", "1.31.4+k3s1 ", "v1.31.4+rke2r1", "v" + "1" * 200, "v1.31.4+k3s"]
)
def test_what_is_no_release_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        versions.key(text)


def test_an_agent_that_was_off_for_long_catches_up_with_three_minor_versions() -> None:
    versions.check_step("n2", "agent", "v1.31.4+k3s1", "v1.34.0+k3s1")
    with pytest.raises(UnfitRelease, match="too many minor"):
        versions.check_step("n2", "agent", "v1.31.4+k3s1", "v1.35.0+k3s1")

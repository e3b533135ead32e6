"""Which k3s is deployed, and when the way there is refused: the whole table, without a node."""

from __future__ import annotations

import pytest

from appliance.cluster.errors import NothingToDeploy, UpgradeRefused
from appliance.cluster.releases import Running, choose, decide
from deploys.order import Role

CARRIED = ("v1.35.9+k3s1", "v1.36.4+k3s1", "v1.36.4+k3s2", "v1.36.10+k3s1")

NEWEST = {
    "by number, not by text": (CARRIED, "v1.36.10+k3s1"),
    "by k3s' own count": (CARRIED[:3], "v1.36.4+k3s2"),
    "k3s' tenth after its ninth": (("v1.36.4+k3s10", "v1.36.4+k3s9"), "v1.36.4+k3s10"),
    "a release after its candidate": (("v1.36.11+k3s1", "v1.36.11-rc1+k3s1"), "v1.36.11+k3s1"),
    "what is no release does not count": (("latest", "v1.36.4+k3s1"), "v1.36.4+k3s1"),
}


@pytest.mark.parametrize(("carried", "chosen"), NEWEST.values(), ids=NEWEST)
def test_the_newest_release_is_deployed(carried: tuple[str, ...], chosen: str) -> None:
    assert choose(carried, "") == chosen


def test_the_site_file_has_the_last_word() -> None:
    assert choose(CARRIED, "v1.35.9+k3s1") == "v1.35.9+k3s1"
    for carried, wanted, said in (
        (CARRIED, "v1.34.1+k3s1", "asks for k3s v1.34.1+k3s1, and the active crates bring v1.35.9+k3s1, v1.36.4+k3s1"),
        ((), "", "no active crate brings a k3s"),
        ((), "v1.34.1+k3s1", "bring no k3s at all"),
    ):
        with pytest.raises(NothingToDeploy) as told:
            choose(carried, wanted)
        assert said in told.value.what
        assert told.value.exit_code == 2


# role, what runs, what is to run, what is refused (a word of it), a word of the hint
WAYS: dict[str, tuple[Role, str, str, str, str]] = {
    "nothing runs yet": ("server", "", "v1.36.4+k3s1", "", ""),
    "the same runs": ("server", "v1.36.4+k3s1", "v1.36.4+k3s1", "", ""),
    "a later revision": ("server", "v1.36.4+k3s1", "v1.36.4+k3s2", "", ""),
    "a later patch": ("server", "v1.36.4+k3s1", "v1.36.10+k3s1", "", ""),
    "the next minor release": ("server", "v1.35.9+k3s1", "v1.36.4+k3s1", "", ""),
    "a release from its candidate": ("server", "v1.36.4-rc2+k3s1", "v1.36.4+k3s1", "", ""),
    "a server that skips a minor release": (
        "server",
        "v1.34.1+k3s1",
        "v1.36.4+k3s1",
        "n1 runs",
        'k3s = "v1.35.9+k3s1"',
    ),
    "a server that skips two": (
        "server",
        "v1.33.1+k3s1",
        "v1.36.4+k3s1",
        "v1.33.1+k3s1; v1.36.4+k3s1",
        "v1.34 release",
    ),
    "an agent that was off during two upgrades": ("agent", "v1.34.1+k3s1", "v1.36.4+k3s1", "", ""),
    "an agent older than servers may have": ("agent", "v1.32.1+k3s1", "v1.36.4+k3s1", "ahead", 'k3s = "v1.35.9+k3s1"'),
    "another major release": ("server", "v1.36.4+k3s1", "v2.0.0+k3s1", "too many", "v1.37 release"),
    "an earlier minor release": (
        "server",
        "v1.36.4+k3s1",
        "v1.35.9+k3s1",
        "going back to v1.35.9+k3s1",
        "v1.36.4+k3s1",
    ),
    "an earlier patch": ("agent", "v1.36.10+k3s1", "v1.36.4+k3s2", "going back to v1.36.4+k3s2", "v1.36.10+k3s1"),
    "an earlier revision": ("server", "v1.36.4+k3s2", "v1.36.4+k3s1", "going back", ""),
    "something that is no k3s": ("agent", "unstable", "v1.36.4+k3s1", "not a release of k3s", "reset --node n1"),
}


@pytest.mark.parametrize(("role", "here", "target", "refused", "hint"), WAYS.values(), ids=WAYS)
def test_ways_from_one_release_to_another(role: Role, here: str, target: str, refused: str, hint: str) -> None:
    nodes = [Running("n1", role, here)]
    if refused:
        with pytest.raises(UpgradeRefused) as told:
            decide(nodes, target, CARRIED)
        assert refused in told.value.what
        assert hint in told.value.hint
        assert told.value.exit_code == 2
    else:
        upgrades = {} if here in {"", target} else {"n1": here}
        assert decide(nodes, target, CARRIED).upgrades == upgrades


def test_one_node_without_a_way_refuses_the_upgrade_of_all() -> None:
    nodes = [Running("n1", "server", "v1.35.9+k3s1"), Running("n2", "server", "v1.34.1+k3s1")]
    with pytest.raises(UpgradeRefused, match="n2 runs"):
        decide(nodes, "v1.36.4+k3s1")

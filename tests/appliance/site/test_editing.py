"""Nodes come and go in a site file, and everything else in it stays as its author wrote it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from appliance.site import editing, starter
from appliance.site.errors import UnknownNode
from appliance.site.model import Site
from appliance.site.starter import Answers, Machine
from tests.appliance.site.files import HEAD, site

FORMS = {
    "tables": "# ours\n" + site() + "# the blue box\n",
    "tables with others behind them": site() + "\n[base]\nreboot = false # no\n",
    "no nodes yet": HEAD + "# none yet\n",
    "an inline list": 'nodes = [\n  { name = "n1", address = "10.77.0.11", role = "server" }, # one\n]\n' + HEAD,
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_a_node_is_added_and_taken_out_again(tmp_path: Path, text: str) -> None:
    labels, taints = {"disk": "ssd"}, ["a=b:NoExecute"]
    added = editing.with_node(text, name="n9", address="10.77.0.19", port=2222, labels=labels, taints=taints)
    for line in text.rstrip("\n").splitlines():
        assert line in added
    node = Site.parse(tmp_path / "site.toml", added, draft=True).nodes[-1]
    assert (node.name, node.address, node.role, node.port) == ("n9", "10.77.0.19", "agent", 2222)
    assert (node.labels, node.taints) == (labels, ("a=b:NoExecute",))
    before = Site.parse(tmp_path / "site.toml", text, draft=True)
    after = Site.parse(tmp_path / "site.toml", editing.without_node(added, "n9"), draft=True)
    assert after.contents == before.contents
    assert "#" not in text or after.text.count("#") == text.count("#")


def test_a_node_that_is_not_there_cannot_be_taken_out() -> None:
    with pytest.raises(UnknownNode, match="no node n2"):
        editing.without_node(site(), "n2")


def test_a_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text("a")
    path.chmod(0o640)
    editing.replace(path, "b")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("b", 0o640)
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_that_somebody_laid_beside_is_not_written_through(tmp_path: Path) -> None:
    path, victim = tmp_path / "site.toml", tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / ".site.toml.part").symlink_to(victim)
    editing.replace(path, "b")
    assert (victim.read_text(), path.read_text(), path.is_symlink()) == ("mine", "b", False)


RANGES = {
    "high up in a room's network": ("10.77.0.0/24", [], "10.77.0.203-10.77.0.223"),
    "below whoever is there": ("10.77.0.0/24", ["10.77.0.210", "10.77.0.200"], "10.77.0.179-10.77.0.199"),
    "a small one in a small network": ("10.77.0.0/28", ["10.77.0.14"], "10.77.0.12-10.77.0.13"),
    "none in a network for two": ("10.77.0.0/30", [], ""),
}


@pytest.mark.parametrize(("network", "taken", "expected"), RANGES.values(), ids=RANGES)
def test_a_range_for_metallb_is_found(network: str, taken: list[str], expected: str) -> None:
    assert starter.spare_range(IPv4Network(network), [IPv4Address(one) for one in taken]) == expected


def test_a_file_to_begin_with_is_sound_and_teaches(tmp_path: Path) -> None:
    machines = [Machine("n1", "10.77.0.11", "server"), Machine("n2", "10.77.0.12", "agent")]
    spare = "10.77.0.200-10.77.0.220"
    answers = Answers(
        "workshop", "10.77.0.1", "10.77.0.0/24", "lab.example.org", "pi", True, ["metallb"], spare, machines
    )
    text = starter.text(answers)
    found = Site.parse(tmp_path / "site.toml", text)
    assert ([one.name for one in found.nodes], found.apps, found.ssh.sudo) == (["n1", "n2"], "10.77.0.200", True)
    assert (found.domain, found.ssh.user, str(found.network)) == ("lab.example.org", "pi", "10.77.0.0/24")
    assert max(map(len, text.splitlines())) <= 120
    # every key that the file only mentions may be uncommented as it stands
    for key in ("apps", "key", "k3s", "embedded-registry"):
        Site.parse(tmp_path / "site.toml", text.replace(f"# {key} = ", f"{key} = "))

"""`site init` asks whoever is at the terminal, takes what is usual otherwise, and overwrites nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.site.model import Site
from appliance.site.networks import own_addresses
from tests.appliance.commands import command, run
from tests.appliance.terminal import at_terminal

HERE = ["--address", "127.0.0.1", "--profile", "metallb", "--range", "127.0.0.200-127.0.0.220"]


def test_without_a_terminal_it_takes_what_is_usual(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    words: list[str | Path] = [
        "site",
        "init",
        file,
        *HERE,
        "--node",
        "n1=127.0.0.11",
        "--node",
        "n2=127.0.0.12",
        "--user",
        "pi",
        "--sudo",
    ]
    done = run(tmp_path / "root", *words)
    assert done.returncode == 0, done.stderr
    assert "2 nodes" in done.stdout
    site = Site.load(file)
    assert [(node.name, node.role) for node in site.nodes] == [("n1", "server"), ("n2", "agent")]
    assert (site.name, site.ssh.user, site.ssh.sudo) == ("site", "pi", True)
    text = file.read_text()
    again = run(tmp_path / "root", *words)
    assert again.returncode == 2
    assert "is there already" in again.stderr
    assert file.read_text() == text


def test_at_a_terminal_it_asks_and_enter_takes_what_is_usual(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    questions = [
        ("What is the site called [site]:", "workshop"),
        ("Its address on the nodes' network", str(own_addresses()[0])),
        ("Node 1:", f"left={own_addresses()[0] + 1}"),
        ("Node 2:", ""),
        ("Profiles, with spaces between", "-"),
    ]
    seen = at_terminal(command(tmp_path / "root", "site", "init", file), questions)
    assert seen.code == 0, seen.screen
    site = Site.load(file)
    assert (site.name, [node.name for node in site.nodes], site.cluster.profiles) == ("workshop", ["left"], ())


# words of the command line, words of the message
WRONG = {
    "a node without an address": (["--address", "127.0.0.1", "--node", "n1"], "'n1' is not a node"),
    "a node with a bad address": (["--address", "127.0.0.1", "--node", "n1=far"], "'far' is not an IPv4 address"),
    "a bad name": ([*HERE, "--node", "N1=127.0.0.11"], "'N1' cannot be the name"),
    "two servers": ([*HERE, "--servers", "2"], "Invalid value for '--servers'"),
    "a range with a node in it": ([*HERE, "--node", "n1=127.0.0.210"], "includes 127.0.0.210, which is n1"),
}


@pytest.mark.parametrize(("words", "said"), WRONG.values(), ids=WRONG)
def test_wrong_use_writes_nothing(tmp_path: Path, words: list[str], said: str) -> None:
    done = run(tmp_path / "root", "site", "init", tmp_path / "site.toml", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert not (tmp_path / "site.toml").exists()


def test_check_shows_what_a_file_comes_to(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    run(tmp_path / "root", "site", "init", file, *HERE, "--node", "n1=127.0.0.11")
    away = run(tmp_path / "root", "site", "check", file)
    assert away.returncode == 2
    assert "127.0.0.1, which is none of this machine's" in away.stderr
    done = run(tmp_path / "root", "site", "check", file, "--elsewhere")
    assert done.returncode == 0
    assert "*.apps.crate.internal at 127.0.0.200" in done.stdout


def test_verbs_of_nodes_need_a_site_file(tmp_path: Path) -> None:
    done = run(tmp_path / "root", "nodes", "list")
    assert done.returncode == 2
    assert "site init" in done.stderr

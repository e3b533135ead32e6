"""What a real dnsmasq answers with our configuration, asked by a real resolver, and what it writes down."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.names.queries import unanswered
from appliance.names.resolver import configuration
from appliance.site.model import Site
from tests.support.ports import free_port
from tests.support.processes import running
from tests.support.tools import tool

SITE = """\
[site]
name = "workshop"
address = "127.0.0.1"
network = "127.0.0.0/24"
apps = "127.0.0.200"

[[nodes]]
name = "n1"
address = "127.0.0.11"
role = "server"
"""


class Names:
    """The names of the site, asked with dig."""

    def __init__(self, address: str, port: int, log: Path) -> None:
        self._address, self.port, self._log = address, port, log

    def ask(self, *words: str) -> tuple[str, list[str]]:
        """The status and the answers to a question."""
        told = subprocess.run(
            [tool("dig"), f"@{self._address}", "-p", str(self.port), "+tries=1", "+time=5", "+noall", "+comments",
             "+answer", *words],
            check=False, capture_output=True, text=True,
        ).stdout  # fmt: skip
        status = told.partition("status: ")[2].partition(",")[0]
        return status, [line.split()[-1] for line in told.splitlines() if line and not line.startswith(";")]

    def misses(self) -> list[tuple[str, str]]:
        return [miss for line in self._log.read_text().splitlines() if (miss := unanswered(line))]


@contextmanager
def served(folder: Path, text: str = SITE, port: int = 0) -> Iterator[Names]:
    folder.mkdir(exist_ok=True)
    log, file = folder / "queries.log", folder / "names.conf"
    log.touch()
    site = Site.parse(folder / "site.toml", text)
    names = Names(site.address, port or free_port(), log)
    file.write_text(configuration(site, log=log, port=names.port))
    command = [tool("dnsmasq"), "--keep-in-foreground", f"--conf-file={file}", "--pid-file="]
    with running(command, ready=lambda: names.ask("crate.internal")[0] == "NOERROR", log=folder / "out"):
        yield names


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Names]:
    with served(tmp_path_factory.mktemp("names")) as running_:
        yield running_


ANSWERS: dict[str, tuple[list[str], str, list[str]]] = {
    "the crate": (["crate.internal"], "NOERROR", ["127.0.0.1"]),
    "a node": (["n1.crate.internal"], "NOERROR", ["127.0.0.11"]),
    "a node by its short name": (["n1"], "NOERROR", ["127.0.0.11"]),
    "a node in capitals": (["N1.Crate.Internal"], "NOERROR", ["127.0.0.11"]),
    "a node by its address": (["-x", "127.0.0.11"], "NOERROR", ["n1.crate.internal."]),
    "the crate by its address": (["-x", "127.0.0.1"], "NOERROR", ["crate.internal."]),
    "an application": (["shop.apps.crate.internal"], "NOERROR", ["127.0.0.200"]),
    "an application of an application": (["a.b.apps.crate.internal"], "NOERROR", ["127.0.0.200"]),
    # NXDOMAIN here would make clients that ask for both kinds give up on the address that there is
    "an application over IPv6, which there is not": (["shop.apps.crate.internal", "AAAA"], "NOERROR", []),
    "a node over IPv6, which there is not": (["n1.crate.internal", "AAAA"], "NOERROR", []),
    "a node that is not": (["n9.crate.internal"], "NXDOMAIN", []),
    "the internet": (["registry-1.docker.io"], "NXDOMAIN", []),
    "the internet's mail": (["example.org", "MX"], "NXDOMAIN", []),
    "an address of nobody": (["-x", "127.0.0.99"], "NXDOMAIN", []),
    "everything over TCP": (["+tcp", "n1.crate.internal"], "NOERROR", ["127.0.0.11"]),
}


@pytest.mark.parametrize(("question", "status", "answers"), ANSWERS.values(), ids=ANSWERS)
def test_names(names: Names, question: list[str], status: str, answers: list[str]) -> None:
    assert names.ask(*question) == (status, answers)


def test_what_was_not_found_is_written_down_with_who_asked(names: Names) -> None:
    names.ask("Once.Example.Org")
    assert ("once.example.org", "127.0.0.1") in names.misses()
    found = {name for name, _ in names.misses()}
    assert not {"crate.internal", "n1.crate.internal", "shop.apps.crate.internal"} & found


def test_the_internet_is_not_asked_even_where_a_nameserver_is_known(tmp_path: Path) -> None:
    """/etc/resolv.conf and /etc/hosts of this machine are none of its business."""
    text = configuration(Site.parse(tmp_path / "site.toml", SITE))
    assert {"no-resolv", "no-hosts", "local=/#/"} <= set(text.splitlines())
    assert "server=" not in text
    with served(tmp_path) as names:
        assert names.ask("localhost")[0] == "NXDOMAIN"


def test_it_lives_beside_a_resolver_on_the_loopback_address(tmp_path: Path) -> None:
    """As systemd-resolved does: another address of the same machine, the same port."""
    beside = SITE.replace('"127.0.0.1"', '"127.0.0.53"').replace("n1", "n5")
    with served(tmp_path / "other") as other, served(tmp_path / "ours", beside, other.port) as ours:
        assert (other.ask("n1")[1], other.ask("n5")[1]) == (["127.0.0.11"], [])
        assert (ours.ask("n1")[1], ours.ask("n5")[1]) == ([], ["127.0.0.11"])

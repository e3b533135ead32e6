"""What every wave builds on: operations on real machines, and the rules of a run."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploys.events import Ended, Progressed
from deploys.order import Order
from tests.deploys.runs import SECRET, Told, order, run, tree
from tests.support.lab import Lab


@pytest.fixture(autouse=True)
def unchanged(site: Lab) -> Iterator[None]:
    before = {node.name: tree(node).splitlines() for node in site.nodes}
    yield
    touched = [node.name for node in site.nodes if node.exists("/var/lib/buzzcrate")]
    if touched:
        assert run(site, order(site, task="reset", limit=touched)).code == 0
    for node in site.nodes:
        node.run("rm -f /run/trial*")
        assert tree(node).splitlines() == before[node.name]


def trial(site: Lab, *waves: str, **changes: object) -> Told:
    return run(site, order(site, **changes), module="tests.deploys.trial", arguments=waves)


def _with(site: Lab, *, text: str, url: str = "http://x") -> dict[str, object]:
    check = {"name": "trial", "url": url, "text": text}
    return {"limit": ["n1"], "profiles": [{"name": "x", "namespaces": [], "manifests": {}, "checks": [check]}]}


def test_files_are_kept_as_told_once_and_put_back(site: Lab) -> None:
    n1 = site["n1"]
    n1.run("ln -s nowhere /etc/motd.new; mv /etc/motd /run/motd; mv /etc/motd.new /etc/motd")
    before = tree(n1)
    planned = trial(site, "files", task="plan", limit=["n1"])
    assert set(planned.changes()) == {"One", "Secret", "Gone", "By input"}
    assert "+one\n" in planned.operations()["One"].diff
    assert planned.operations()["Gone"].diff == "--- /etc/motd\n+++ /dev/null\n@@ -1 +0,0 @@\n--> nowhere\n"
    assert tree(n1) == before
    told = trial(site, "files", limit=["n1"])
    assert told.code == 0, told
    modes = n1.run("stat -c '%a %U:%G' /etc/trial/deep/one /etc/trial/secret").stdout
    assert modes.splitlines() == ["640 root:daemon", "600 root:root"]
    assert n1.read("/etc/trial/secret") == n1.read("/run/trial-input") == SECRET
    assert not n1.exists("/etc/motd")
    assert trial(site, "files", limit=["n1"]).changes() == []
    for each in (planned, told):
        assert SECRET not in each.log + "".join(event.model_dump_json() for event in each.events)
    assert run(site, order(site, task="reset", limit=["n1"])).code == 0
    assert tree(n1) == before
    n1.run("rm /etc/motd; mv /run/motd /etc/motd")


@pytest.fixture
def artifact(site: Lab, tmp_path: Path) -> Iterator[tuple[str, bytes]]:
    """A file that the hub serves: its address and content."""
    content = b"#!/bin/sh\necho fetched\n" * 1000
    (tmp_path / "file").write_bytes(content)
    words = site.words(sys.executable, "-m", "http.server", "-d", str(tmp_path), "-b", site.address, "8080")
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        site["n1"].until(f"bash -c 'exec 3<>/dev/tcp/{site.address}/8080'")
        yield f"http://{site.address}:8080/file", content
        server.terminate()


def test_a_file_is_fetched_once_by_what_a_bare_debian_has(site: Lab, artifact: tuple[str, bytes]) -> None:
    n1 = site["n1"]
    url, content = artifact
    wanted = _with(site, url=url, text=hashlib.sha256(content).hexdigest())
    told = trial(site, "fetching", **wanted)
    assert (told.code, told.changes()) == (0, ["Fetch"]), told
    assert n1.run("stat -c %a /usr/local/bin/trial").stdout == "750\n"
    assert n1.read("/usr/local/bin/trial").encode() == content
    assert trial(site, "fetching", **wanted).changes() == []
    n1.run("chmod 600 /usr/local/bin/trial")
    assert trial(site, "fetching", **wanted).changes() == ["Fetch"]
    run(site, order(site, task="reset", limit=["n1"]))
    assert not n1.exists("/usr/local/bin/trial")


FETCHERS = {
    "curl": 'for w; do case $p in -o) o=$w ;; esac; p=$w; done; cp /run/trial-file "$o"',
    "wget": 'for w; do case $p in -O) o=$w ;; esac; p=$w; done; cp /run/trial-file "$o"',
}


@pytest.mark.parametrize("program", FETCHERS)
def test_a_node_s_own_downloader_is_preferred(site: Lab, program: str) -> None:
    """The stub takes the words that the program takes, and the file from nearby."""
    n1 = site["n1"]
    n1.write("/run/trial-file", "near\n")
    n1.write(f"/usr/local/bin/{program}", f"#!/bin/sh\n{FETCHERS[program]}\n", 0o755)
    told = trial(site, "fetching", **_with(site, text=hashlib.sha256(b"near\n").hexdigest()))
    n1.run(f"rm /usr/local/bin/{program}")
    assert told.code == 0, told


def test_what_arrives_with_another_digest_is_not_kept(site: Lab, artifact: tuple[str, bytes]) -> None:
    n1 = site["n1"]
    n1.write("/usr/local/bin/trial", "old\n", 0o755)
    told = trial(site, "fetching", **_with(site, url=artifact[0], text="0" * 64))
    assert told.code == 1
    assert "arrived as sha256" in told.end("n1").what
    missing = trial(site, "fetching", **_with(site, url=f"{artifact[0]}-none", text="0" * 64))
    assert "404" in missing.operations()["Fetch"].output
    assert n1.run("cd /usr/local/bin && cat trial && ls trial*").stdout == "old\ntrial\n"
    n1.run("rm /usr/local/bin/trial")


def test_an_undoing_that_ended_in_its_last_step_is_ended_by_the_next(site: Lab) -> None:
    site["n1"].run("mkdir -p /var/lib/buzzcrate/kept/files && touch /var/lib/buzzcrate/kept/files/left")
    again = run(site, order(site, task="reset", limit=["n1"]))
    assert (again.code, site["n1"].exists("/var/lib/buzzcrate")) == (0, False)


def test_a_unit_is_started_once_and_again_when_its_text_changes(site: Lab) -> None:
    n1 = site["n1"]
    for text, said in (("one", "one\n"), ("one", "one\n"), ("two", "one\ntwo\n")):
        assert trial(site, "service", **_with(site, text=text)).code == 0
        assert n1.read("/run/trial") == said
    assert n1.run("systemctl is-enabled buzzcrate-trial.service").stdout == "enabled\n"
    run(site, order(site, task="reset", limit=["n1"]))
    assert n1.run("systemctl show -p LoadState buzzcrate-trial.service").stdout == "LoadState=not-found\n"


def test_a_unit_whose_start_was_cut_off_is_started_by_the_next_run(site: Lab) -> None:
    n1 = site["n1"]
    trial(site, "service", **_with(site, text="one"))
    # as a run leaves it that dies after writing the unit's new text
    n1.run("sed -i s/one/two/ /etc/systemd/system/buzzcrate-trial.service; systemctl daemon-reload")
    n1.write("/var/lib/buzzcrate/pending/etc+systemd+system+buzzcrate-trial.service", "")
    assert trial(site, "service", **_with(site, text="two")).changes() == ["Service"]
    assert n1.read("/run/trial") == "one\ntwo\n"
    assert trial(site, "service", **_with(site, text="two")).changes() == []


def test_a_wave_that_halts_goes_no_further_than_the_first_that_fails(site: Lab) -> None:
    told = trial(site, "one-by-one", "elsewhere")
    assert told.code == 1
    ends = told.ends("one-by-one")
    assert {name: end.state for name, end in ends.items()} == {"n1": "done", "n2": "failed", "n3": "skipped"}
    assert (ends["n2"].what, ends["n2"].hint) == ("n2: had enough", "let it rest")
    assert ends["n3"].what == "n2 failed before it"
    # both nodes of the next wave have left the run
    assert {end.state for end in told.ends("elsewhere").values()} == {"skipped"}
    assert [(each.wave, each.ok) for each in told.events if isinstance(each, Ended)] == [
        ("one-by-one", False),
        ("elsewhere", False),
    ]


def test_a_mistake_of_ours_on_one_node_does_not_cost_the_others_their_run(site: Lab) -> None:
    told = trial(site, "mistake", "elsewhere")
    assert told.end("n1").what == "n1: KeyError: 'a mistake'"
    assert "Traceback" in told.log
    assert told.end("n3").state == "done"


def test_something_can_be_asked_and_done_on_another_node(site: Lab) -> None:
    told = trial(site, "elsewhere")
    assert told.code == 0, told
    assert told.learned("n2") == {"there": "n1", "here": "n2"}
    assert told.learned("n3") == {"there": "n1", "here": "n3"}
    assert sorted(site["n1"].read("/run/trial-mark").split()) == ["n2", "n3"]
    assert site["n2"].read("/run/trial-mark") == "here\n"
    assert told.findings("")["met"].what == "n2, n3"


def test_what_does_not_come_in_time_is_named(site: Lab) -> None:
    told = trial(site, "waiting", limit=["n1"])
    assert told.end("n1").what == "n1: after 1 seconds still not: the file"
    assert any(isinstance(each, Progressed) and each.what == "waiting: the file" for each in told.events)


def test_only_the_nodes_in_the_limit_are_touched(site: Lab) -> None:
    wanted: Order = order(site, limit=["n2"], waves=["preflight"])
    told = run(site, wanted)
    assert set(told.ends("preflight")) == {"n2"}

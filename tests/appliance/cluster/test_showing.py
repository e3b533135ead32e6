"""What is read of a run: lines as it goes on, a plan, the line in `status`, a kubeconfig. All of it without a node."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from appliance.cluster.display import Plain
from appliance.cluster.errors import NoCluster
from appliance.cluster.journal import Journal, watch
from appliance.cluster.kubeconfig import kubeconfig
from appliance.cluster.lines import plan_text
from appliance.cluster.record import Outcome, Record
from appliance.cluster.summary import summary
from appliance.site.folder import SiteFolder
from appliance.site.model import Site
from deploys.events import EVENT, Event, Operation
from tests.appliance.cluster.runs import SITE, wave
from tests.support.fakechild import Step

K3S_YAML = """\
apiVersion: v1
clusters:
- cluster: {certificate-authority-data: QUJD, server: "https://127.0.0.1:6443"}
  name: default
contexts:
- context: {cluster: default, user: default}
  name: default
current-context: default
kind: Config
users:
- name: default
  user: {client-certificate-data: REVG, client-key-data: R0hJ}
"""


def events(*steps: Step) -> list[Event]:
    return [EVENT.validate_python(step) for step in steps]


def lines(*steps: Step) -> list[str]:
    said: list[str] = []
    plain = Plain(said.append)
    for event in events(*steps):
        plain.see(event)
    return said


@pytest.fixture
def folder(tmp_path: Path) -> SiteFolder:
    made = SiteFolder(tmp_path)
    made.keep(Site.parse(tmp_path / "site.toml", SITE.format(more="")))
    return made


def test_a_run_in_plain_lines(tmp_path: Path) -> None:
    assert lines(*wave("base", "n1", "n2", changed=1)) == [
        "base: n1, n2",
        "  n1: step 0",
        "  n2: step 0",
        "base: done in 1.5 s",
    ]


def test_a_trouble_is_told_once_though_a_finding_and_the_end_of_the_node_both_tell_it() -> None:
    fatal = {"event": "finding", "wave": "preflight", "node": "n1", "check": "disk", "level": "fatal"}
    steps: list[Step] = [
        {"event": "began", "wave": "preflight", "nodes": ["n1"]},
        {**fatal, "what": "it has no room", "hint": "make room"},
        {
            "event": "node",
            "wave": "preflight",
            "node": "n1",
            "state": "failed",
            "what": "n1: no room",
            "hint": "make room",
        },
        {"event": "ended", "wave": "preflight", "ok": False, "seconds": 1},
    ]
    assert lines(*steps) == [
        "preflight: n1",
        "  n1: fatal: it has no room",
        "    hint: make room",
        "  n1: failed: no room",
        "preflight: not done everywhere in 1.0 s",
    ]


def test_something_long_is_told_after_a_while_and_what_is_fine_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr("time.monotonic", lambda: next(clock) / 2)
    began = {"event": "began", "wave": "base", "nodes": ["n1"]}
    progressed = [{"event": "progressed", "wave": "base", "node": "n1", "what": f"{part} %"} for part in range(30)]
    fine = {"event": "finding", "wave": "base", "node": "n1", "check": "all", "level": "fine", "what": "nothing"}
    assert lines(began, *progressed, fine) == ["base: n1", "  n1: 9 % ...", "  n1: 19 % ...", "  n1: 29 % ..."]


def test_a_plan_shows_diffs_and_where_there_are_none_commands() -> None:
    would = {"event": "operation", "wave": "base", "node": "n1", "state": "would change"}
    steps: list[Step] = [
        {**would, "name": "Hosts", "diff": "-old\n+new\n", "commands": ["tee /etc/hosts"]},
        {**would, "name": "Restart", "commands": ["systemctl restart it"]},
        *wave("base", "n1", "n2", "n3", failed="n3", state="unreachable"),
    ]
    record = Record()
    for event in events(*steps):
        record.take(event)
    assert plan_text([event for event in events(*steps[:2]) if isinstance(event, Operation)], record).splitlines() == [
        "n1: 2 changes",
        "  base: Hosts",
        "      -old",
        "      +new",
        "  base: Restart",
        "      $ systemctl restart it",
        "n2: nothing would change",
        "n3: unreachable in base: n3 has no room",
        "  hint: make room",
    ]


RUN = {"task": "deploy", "site": "workshop", "began": "2026-11-23T09:00:00+00:00", "k3s": "v1.36.4+k3s1"}
LAST: dict[str, tuple[list[Step], Outcome | None, str]] = {
    "all is well": ([*wave("base", "n1", "n2")], "done", "deploy of 2026-11-23T09:00:00+00:00: done"),
    "a node was off": (
        [*wave("base", "n1", "n2", failed="n2", state="unreachable")],
        "failed",
        "deploy of 2026-11-23T09:00:00+00:00: failed, without n2; crate-appliance deploy goes on",
    ),
    "the machine went off": ([*wave("base", "n1")], None, "deploy of 2026-11-23T09:00:00+00:00: died"),
}


@pytest.mark.parametrize(("steps", "outcome", "said"), LAST.values(), ids=LAST)
def test_the_line_in_status(folder: SiteFolder, steps: list[Step], outcome: Outcome | None, said: str) -> None:
    found = summary(folder)
    assert found is not None
    assert found.text() == "site workshop: 2 nodes; crate-appliance deploy comes next"
    with Journal(folder.journal, RUN) as journal:
        for event in events(*steps):
            journal.add(event)
        if outcome:
            journal.end(outcome)
    found = summary(folder)
    assert found is not None
    assert found.text().splitlines()[0] == "site workshop: 2 nodes, k3s v1.36.4+k3s1"
    assert said in found.text()


def test_a_journal_that_is_being_written_and_one_of_another_version_can_be_read(folder: SiteFolder) -> None:
    with Journal(folder.journal, RUN) as journal:
        for event in events(*wave("base", "n1")):
            journal.add(event)
    with folder.journal.open("a") as file:
        file.write('{"at": 9.0, "event": {"event": "dance"}}\n{"at": 9.5, "ev')
    watched = watch(folder)
    assert watched is not None
    assert ([wave.name for wave in watched.record.waves], watched.seconds) == (["base"], 9.0)


def test_what_a_power_cut_leaves_of_a_journal_can_be_read(folder: SiteFolder) -> None:
    with Journal(folder.journal, RUN) as journal:
        for event in events(*wave("base", "n1")):
            journal.add(event)
    with folder.journal.open("ab") as file:
        file.write(bytes(512) + b"\xff\n")
    watched = watch(folder)
    assert watched is not None
    assert ([wave.name for wave in watched.record.waves], watched.outcome) == (["base"], "died")


def test_a_kubeconfig_names_the_server_by_its_address_and_everything_by_the_site(folder: SiteFolder) -> None:
    folder.write(folder.kubeconfig, K3S_YAML.encode())
    made = yaml.safe_load(kubeconfig(folder))
    assert made["clusters"] == [
        {
            "name": "workshop",
            "cluster": {"certificate-authority-data": "QUJD", "server": "https://10.77.0.11:6443"},
        }
    ]
    assert made["users"][0]["user"] == {"client-certificate-data": "REVG", "client-key-data": "R0hJ"}
    assert made["contexts"] == [{"name": "workshop", "context": {"cluster": "workshop", "user": "workshop-admin"}}]
    assert made["current-context"] == "workshop"


def test_what_a_node_says_of_itself_is_shown_and_not_obeyed() -> None:
    said = lines({"event": "node", "wave": "base", "node": "n1", "state": "failed", "what": "n1: \x1b[2Jall is fine"})
    assert said == ["  n1: failed: \\x1b[2Jall is fine"]


def test_a_kubeconfig_runs_no_program_that_a_node_wrote_into_it(folder: SiteFolder) -> None:
    config = yaml.safe_load(K3S_YAML)
    config["users"][0]["user"]["exec"] = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/tmp/x"}
    config["clusters"][0]["cluster"] |= {"proxy-url": "http://10.77.0.66", "insecure-skip-tls-verify": True}
    folder.write(folder.kubeconfig, yaml.safe_dump(config).encode())
    made = yaml.safe_load(kubeconfig(folder))
    assert made["users"][0]["user"].keys() == {"client-certificate-data", "client-key-data"}
    assert made["clusters"][0]["cluster"].keys() == {"server", "certificate-authority-data"}


@pytest.mark.parametrize(
    "text", ["", "a: b", "clusters: []", "{"], ids=["empty", "something else", "no cluster", "no YAML"]
)
def test_what_is_no_kubeconfig(folder: SiteFolder, text: str) -> None:
    folder.write(folder.kubeconfig, text.encode())
    with pytest.raises(NoCluster, match="is no kubeconfig") as told:
        kubeconfig(folder)
    assert "deploy" in told.value.hint


def test_before_there_is_a_cluster_there_is_no_kubeconfig(folder: SiteFolder) -> None:
    with pytest.raises(NoCluster, match="no cluster of workshop is known"):
        kubeconfig(folder)

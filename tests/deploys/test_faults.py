"""Nodes in trouble: each is told with its name and what to do, and the others are fine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploys.order import Order
from tests.deploys.runs import Told, order, run, start, tree
from tests.support.lab import Lab, Node, Spec, lab
from tests.support.ports import wait_until

# On a bare node nobody refreshes authorities, so what stands here is run by base, and can take its time.
_SLOW = "/usr/local/sbin/update-ca-certificates"
_RUNNING = "/run/slow-command-runs"


@pytest.fixture(autouse=True)
def reset(site: Lab) -> Iterator[None]:
    yield
    assert run(site, order(site, task="reset")).code == 0


@contextmanager
def slow_command(node: Node) -> Iterator[None]:
    """Makes the operation that puts the crate's authority in place take a minute on `node`."""
    node.write(_SLOW, f"#!/bin/sh\n: >{_RUNNING}\nexec sleep 60\n", 0o755)
    try:
        yield
    finally:
        node.run(
            f"rm -f {_SLOW} {_RUNNING}; pkill -x sleep; rmdir -p /usr/local/share/ca-certificates 2>/dev/null; true"
        )


def _while_it_runs(site: Lab, wanted: Order, node: Node, then: Callable[[], object]) -> Told:
    """Carries `wanted` out, and does `then` as soon as the slow command runs on `node`."""
    with start(site) as child:
        assert child.stdin
        child.stdin.write(wanted.model_dump_json())
        child.stdin.flush()
        child.stdin.close()
        child.stdin = None
        wait_until(lambda: node.exists(_RUNNING), "the slow command", seconds=60)
        then()
        said, log = child.communicate(timeout=120)
    return Told.read(child.returncode, said, log)


@pytest.fixture(scope="module")
def troubled() -> Iterator[Lab]:
    """n1 is fine, n2 is off, n3 believes that it is 1970, the disk of n4 is full."""
    specs = [Spec("n1"), Spec("n2", off=True), Spec("n3", clock="1970-01-02 00:00:00"), Spec("n4", disk=64)]
    with lab(specs) as made:
        made["n4"].run("head -c 100M /dev/zero >/var/full", check=False)
        yield made


def test_a_node_that_is_off_a_clock_of_1970_and_a_full_disk(troubled: Lab) -> None:
    told = run(troubled, order(troubled))
    assert told.code == 1
    ends = {name: told.end(name) for name in ("n1", "n2", "n3", "n4")}
    assert {name: end.state for name, end in ends.items()} == {
        "n1": "done",
        "n2": "unreachable",
        "n3": "done",
        "n4": "failed",
    }
    assert ends["n2"].what == "n2 (10.77.0.12) does not answer: nothing listens on port 22"
    assert "is it on" in ends["n2"].hint
    assert ends["n4"].what == "n4: 0 MiB are free under /var/lib, of 2000 needed"
    assert "free some" in ends["n4"].hint
    assert told.ends("base")["n2"].state == "skipped"
    assert told.findings("n3")["clock"].level == "fixable"
    assert "behind" in told.findings("n3")["clock"].what
    assert abs(int(troubled["n3"].ssh("date +%s").stdout) - time.time()) < 10


def test_a_node_is_picked_up_by_the_next_run_and_a_clock_is_set_once(troubled: Lab) -> None:
    troubled["n2"].start()
    told = run(troubled, order(troubled, limit=["n1", "n2", "n3"]))
    assert (told.code, told.changes("n1"), told.changes("n3")) == (0, [], [])
    assert told.end("n2").state == "done"
    assert "Resolver" in told.changes("n2")


def test_a_node_whose_plug_is_pulled_while_a_command_runs(troubled: Lab) -> None:
    node = troubled["n2"]
    run(troubled, order(troubled, task="reset", limit=["n2"]))
    with slow_command(node):
        told = _while_it_runs(troubled, order(troubled, waves=["base"], limit=["n1", "n2"]), node, node.stop)
        node.start()
    assert told.code == 1
    assert told.end("n1").state == "done"
    assert told.end("n2").state == "unreachable"
    assert "n2 (10.77.0.12) stopped answering" in told.end("n2").what
    assert "the next run picks it up" in told.end("n2").hint
    again = run(troubled, order(troubled, waves=["base"], limit=["n1", "n2"]))
    assert (again.code, again.end("n2").state) == (0, "done")


def test_another_host_key_than_the_one_pinned(site: Lab, tmp_path: Path) -> None:
    lines = site.known_hosts.read_text().splitlines()
    pinned = tmp_path / "known_hosts"
    n1, n2, n3 = (line.split(" ", 1) for line in lines)
    pinned.write_text(f"{n1[0]} {n2[1]}\n{n3[0]} {n3[1]}\n")
    told = run(site, order(site, ssh={"key": str(site.key), "known_hosts": str(pinned)}))
    assert told.code == 1
    for name in ("n1", "n2"):
        assert told.end(name).state == "unreachable"
        assert f"nodes pin {name}" in told.end(name).hint
    assert "n1 (10.77.0.11) has another host key than the one pinned" in told.end("n1").what
    assert "n2 (10.77.0.12) has a host key that nobody has confirmed" in told.end("n2").what
    assert told.end("n3").state == "done"
    assert pinned.read_text().count("\n") == 2


def test_a_key_that_is_not_admitted(site: Lab) -> None:
    n1 = site["n1"]
    n1.run("mv /root/.ssh/authorized_keys /root/")
    told = run(site, order(site, waves=["preflight"], limit=["n1", "n2"]))
    n1.run("mv /root/authorized_keys /root/.ssh/")
    assert "does not admit root with the site's key" in told.end("n1").what
    assert told.end("n2").state == "done"


def test_a_missing_module_a_wrong_architecture_and_no_nameserver(site: Lab) -> None:
    n1 = site["n1"]
    n1.run("mount -t tmpfs none /proc/sys/net/bridge")
    told = run(site, order(site))
    n1.run("umount /proc/sys/net/bridge")
    assert told.code == 1
    assert "no br_netfilter" in told.end("n1").what
    assert "linux-image-amd64" in told.end("n1").hint
    assert "Resolver" not in told.operations("n1")
    assert told.end("n2").state == told.end("n3").state == "done"
    assert told.findings("n2")["nameserver"].level == "fixable"

    crate = {**order(site).crate.model_dump(mode="json"), "platforms": ["linux/arm64"]}
    told = run(site, order(site, crate=crate, waves=["preflight"]))
    assert told.code == 1
    for name in ("n1", "n2", "n3"):
        assert f"{name}: it is linux/amd64, and the crate is for linux/arm64" in told.end(name).what


def test_a_disk_that_fills_in_the_middle_loses_nothing(site: Lab) -> None:
    n1 = site["n1"]
    before = tree(n1)
    n1.run("mkdir /var/lib/buzzcrate && mount -t tmpfs -o size=8k none /var/lib/buzzcrate")
    told = run(site, order(site, waves=["base"], limit=["n1", "n2"]))
    n1.run("umount /var/lib/buzzcrate && rmdir /var/lib/buzzcrate")
    assert told.end("n1").state == "failed"
    assert "No space left on device" in told.end("n1").what
    assert next(each.output for each in told.operations("n1").values() if each.state == "failed").strip()
    assert told.end("n2").state == "done"
    changed = {line.split()[0] for line in set(tree(n1).splitlines()) ^ set(before.splitlines())}
    assert not any("buzzcrate." in path for path in changed), "half a file was left"


def test_a_connection_that_ends_while_a_command_runs(site: Lab) -> None:
    n1 = site["n1"]
    wanted = order(site, waves=["base"], limit=["n1", "n2"])
    with slow_command(n1):
        told = _while_it_runs(site, wanted, n1, lambda: n1.run("pkill -f '[s]shd.*root@notty'"))
        assert told.end("n1").state == "unreachable"
        assert told.end("n2").state == "done"
        # the change was made, what was to follow it was not: the next run does it again
        n1.write(_SLOW, '#!/bin/sh\necho "$*" >/run/authorities-refreshed\n', 0o755)
        assert "Authority, for all programs" in run(site, wanted).changes("n1")
        assert n1.exists("/run/authorities-refreshed")
        assert run(site, wanted).changes() == []
        assert run(site, order(site, task="reset")).code == 0
        # Debian's program leaves links to an authority that is gone, unless it is told to begin afresh
        assert n1.read("/run/authorities-refreshed") == "--fresh\n"


def test_a_command_that_does_not_end_is_ended_on_the_node_too(site: Lab) -> None:
    n1 = site["n1"]
    with slow_command(n1):
        told = run(site, order(site, waves=["base"], limit=["n1"], timeout=2))
        assert n1.run("pgrep -x sleep", check=False).stdout == ""
    assert told.end("n1").state == "failed"
    assert told.end("n1").what == "n1: Authority, for all programs: no end within 2 seconds"


SUDO = {
    "without a password": ("NOPASSWD: ALL", "", "done", ""),
    "with the password": ("ALL", "open sesame", "done", ""),
    "with a password that is not asked for": ("NOPASSWD: ALL", "open sesame", "done", ""),
    "with a wrong password": ("ALL", "closed", "unreachable", "sudo refuses ada"),
    "with a password that is not given": ("ALL", "", "unreachable", "sudo wants a password of ada"),
    "not allowed": ("/bin/true", "open sesame", "unreachable", "sudo refuses ada"),
}


@pytest.fixture(scope="module")
def ada(site: Lab) -> Iterator[Node]:
    """n2, with a user who has the site's key and a password."""
    node = site["n2"]
    kept = "/etc/passwd- /etc/shadow- /etc/group- /etc/gshadow- /etc/subuid- /etc/subgid-"
    node.run(f"mkdir /run/kept; cp -a {kept} /run/kept/ 2>/dev/null; useradd -m -s /bin/sh ada")
    node.run("chpasswd", given="ada:open sesame\n")
    node.run("install -d -o ada /home/ada/.ssh; install -o ada /root/.ssh/authorized_keys /home/ada/.ssh/")
    yield node
    node.run(f"userdel -r ada 2>/dev/null; rm -f /etc/sudoers.d/ada {kept}; cp -a /run/kept/* /etc/; rm -r /run/kept")


@pytest.mark.parametrize(("allowed", "password", "state", "what"), SUDO.values(), ids=SUDO)
def test_sudo(site: Lab, ada: Node, *, allowed: str, password: str, state: str, what: str) -> None:
    ada.write("/etc/sudoers.d/ada", f"ada ALL=(ALL) {allowed}\n", 0o440)
    told = run(site, _as_ada(site, password))
    assert told.end("n2").state == state
    assert what in told.end("n2").what


def test_a_password_stands_in_no_process_list_log_or_event(site: Lab, ada: Node) -> None:
    ada.write("/etc/sudoers.d/ada", "ada ALL=(ALL) ALL\n", 0o440)
    seen: list[str] = []

    def look() -> None:
        seen.append(ada.run("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'").stdout)
        seen.extend(_own_processes())

    with slow_command(ada):
        wanted = _as_ada(site, "open sesame").model_copy(update={"timeout": 4})
        told = _while_it_runs(site, wanted, ada, look)
    assert "sudo" in seen[0]
    for text in (*seen, told.log, *(each.model_dump_json() for each in told.events)):
        assert "open sesame" not in text
    assert "open sesame" not in ada.run("journalctl -q -o cat --no-pager; cat /var/log/* 2>/dev/null; true").stdout


def _own_processes() -> Sequence[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
            if b"deploys" in line:
                found += [line.decode(errors="replace"), (process / "environ").read_text(errors="replace")]
        except OSError:
            continue
    return found


def _as_ada(site: Lab, password: str) -> Order:
    ssh = {"key": str(site.key), "known_hosts": str(site.known_hosts), "user": "ada", "sudo": True}
    return order(site, waves=["base"], limit=["n2"], ssh={**ssh, "password": password})


ORDERS = {
    "no JSON": ("{", "the order cannot be read"),
    "an unknown field, whose value is not repeated": ('{"token": "secret-value"}', "token"),
}


@pytest.mark.parametrize(("text", "what"), ORDERS.values(), ids=ORDERS)
def test_an_order_that_cannot_be_read(site: Lab, text: str, what: str) -> None:
    with start(site) as child:
        said, log = child.communicate(text, timeout=60)
    assert (child.returncode, said) == (2, "")
    assert what in log
    assert "secret-value" not in log


def test_an_order_whose_key_file_is_not_there(site: Lab, tmp_path: Path) -> None:
    document = json.loads(order(site).model_dump_json())
    document["ssh"]["key"] = str(tmp_path / "none")
    with start(site) as child:
        said, log = child.communicate(json.dumps(document), timeout=60)
    assert (child.returncode, said) == (2, "")
    assert f"there is no key file at {tmp_path / 'none'}" in log


def test_a_reader_that_goes_away_ends_the_run(site: Lab) -> None:
    with start(site) as child:
        assert child.stdin
        assert child.stdout
        child.stdout.close()
        child.stdin.write(order(site, limit=["n1"]).model_dump_json())
        child.stdin.close()
        child.wait(timeout=60)
        assert child.stderr
        assert "Traceback" not in child.stderr.read()
    assert child.returncode == 1

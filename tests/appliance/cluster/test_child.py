"""The child process: what it is told and how, what is believed of it, and that it always ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance import locks
from appliance.cluster import child
from appliance.cluster.errors import RunFailed
from deploys.order import Order
from tests.appliance.cluster.runs import TOKEN, learned, order, wave
from tests.support import fakechild
from tests.support.fakechild import Step

ROOT = Path(__file__).resolve().parents[3]


def run(tmp_path: Path, *steps: Step) -> list[str]:
    """The kinds of the events that came."""
    command = fakechild.command(tmp_path / "script", steps)
    return [event.event for event in child.run(order(), tmp_path / "log", command=command)]


def test_the_order_arrives_whole_and_secrets_nowhere_else(tmp_path: Path) -> None:
    told, pid = tmp_path / "order", tmp_path / "pid"
    steps: list[Step] = [{"order": str(told)}, {"pid": str(pid)}, *wave("base", "n1"), {"sleep": 30}]
    events = child.run(order(), tmp_path / "log", command=fakechild.command(tmp_path / "script", steps))
    next(events)
    arrived = Order.model_validate_json(told.read_text())
    assert arrived.k3s is not None
    assert arrived.k3s.token.get_secret_value() == TOKEN
    assert arrived.ssh.password.get_secret_value() == "sesame"
    process = Path("/proc", pid.read_text())
    seen = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    events.close()
    assert TOKEN.encode() not in seen
    assert TOKEN not in str(arrived)
    assert not process.exists()


def test_events_come_as_they_are_said_and_a_good_run_ends(tmp_path: Path) -> None:
    assert run(tmp_path, *wave("base", "n1", "n2", changed=1)) == [
        *("began", "operation", "node", "operation", "node", "ended"),
    ]


def test_a_node_that_failed_is_not_a_child_that_failed(tmp_path: Path) -> None:
    assert run(tmp_path, *wave("base", "n1", failed="n1"), {"exit": 1})[-1] == "ended"


DEATHS: dict[str, tuple[list[Step], str]] = {
    "it says why in its log": (
        [{"log": "first"}, {"log": "no such module"}, {"exit": 2}],
        "2:\n  | first\n  | no such",
    ),
    "it says nothing": ([{"exit": 3}], "ended with 3 and said nothing"),
    "it fails though no node did": ([*wave("base", "n1"), {"exit": 1}], "ended with 1"),
    "it is killed": ([*wave("base", "n1"), {"log": "oh"}, {"kill": 9}], "was ended by SIGKILL:\n  | oh"),
    "it is killed in the middle of a line": ([{"raw": '{"event": "be'}, {"kill": 9}], "was ended by SIGKILL"),
    "it says what is no JSON": ([{"raw": "Traceback\n"}], "what is no event: Invalid JSON"),
    "it says an event that there is not": ([{"event": "dance"}], "what is no event: Input tag 'dance'"),
    "it leaves out a field": ([{"event": "ended", "wave": "base", "ok": True}], "no event: ended.seconds: Field req"),
    "it adds a field": ([{**learned("n1"), "more": 1}], "no event: learned.more: Extra inputs"),
}


@pytest.mark.parametrize(("steps", "said"), DEATHS.values(), ids=DEATHS)
def test_a_child_that_dies_or_babbles_is_told_with_the_end_of_its_log(
    tmp_path: Path, steps: list[Step], said: str
) -> None:
    with pytest.raises(RunFailed) as told:
        run(tmp_path, *steps)
    assert said in told.value.what
    assert "goes on from here" in told.value.hint


def test_what_cannot_be_read_is_not_repeated_for_it_may_be_a_secret(tmp_path: Path) -> None:
    with pytest.raises(RunFailed) as told:
        run(tmp_path, {**learned(token=TOKEN, secret=True), "node": 7})
    assert TOKEN not in str(told.value)


def test_of_a_long_log_the_end_is_shown(tmp_path: Path) -> None:
    with pytest.raises(RunFailed) as told:
        run(tmp_path, *[{"log": f"line {number} " + "x" * 100} for number in range(500)], {"exit": 2})
    assert "line 499" in told.value.what
    assert "line 480 " not in told.value.what
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_leaving_early_ends_the_child(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    steps: list[Step] = [{"pid": str(pid)}, *wave("base", "n1"), {"sleep": 60}]
    events = child.run(order(), tmp_path / "log", command=fakechild.command(tmp_path / "script", steps))
    next(events)
    events.close()
    assert not Path("/proc", pid.read_text()).exists()


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_GRACE", 0.3)
    pid = tmp_path / "pid"
    steps: list[Step] = [{"pid": str(pid)}, {"deaf": True}, *wave("base", "n1"), {"sleep": 60}]
    events = child.run(order(), tmp_path / "log", command=fakechild.command(tmp_path / "script", steps))
    next(events)
    events.close()
    assert not Path("/proc", pid.read_text()).exists()


def test_a_child_with_much_to_say_at_its_end_is_heard_out(tmp_path: Path) -> None:
    last = {"event": "progressed", "wave": "base", "node": "n1", "what": "x" * 200_000}
    steps: list[Step] = [{"last": last}, *wave("base", "n1"), {"sleep": 60}]
    events = child.run(order(), tmp_path / "log", command=fakechild.command(tmp_path / "script", steps))
    next(events)
    began = time.monotonic()
    events.close()
    assert time.monotonic() - began < child._GRACE


# The parent as a process of its own, so that it can be killed: it holds a lock, hands it on and waits for events.
_PARENT = """
import sys
from pathlib import Path
from appliance import locks
from appliance.cluster import child
from deploys.order import Order

order = Order.model_validate_json(Path(sys.argv[1]).read_text())
with locks.hold(Path(sys.argv[2]), "a run", RuntimeError) as lock, child.terminable():
    for event in child.run(order, Path(sys.argv[3]), hold=[lock], command=sys.argv[4:]):
        print(event.event, flush=True)
"""


def parent(tmp_path: Path, *steps: Step) -> subprocess.Popen[str]:
    """Started, and its child too."""
    (tmp_path / "order").write_text(order().model_dump_json())
    paths = [str(tmp_path / name) for name in ("order", "lock", "log")]
    command = fakechild.command(tmp_path / "script", [{"pid": str(tmp_path / "pid")}, *wave("base", "n1"), *steps])
    process = subprocess.Popen(
        [sys.executable, "-c", _PARENT, *paths, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "began\n"
    return process


def until(true: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


def gone(pid: int) -> bool:
    """Soon; a zombie that nobody has waited for yet counts."""
    return until(lambda: not Path(f"/proc/{pid}").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_whatever_ends_the_parent_ends_the_child(tmp_path: Path, number: signal.Signals) -> None:
    process = parent(tmp_path, {"sleep": 60})
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert gone(int((tmp_path / "pid").read_text()))
    assert until(lambda: not locks.held(tmp_path / "lock")), "a process lets go of memory before it does of files"
    assert (number is signal.SIGKILL) != ("KeyboardInterrupt" in said)


def test_a_lock_stays_taken_while_a_child_outlives_its_parent(tmp_path: Path) -> None:
    deaf = tmp_path / "deaf"
    process = parent(tmp_path, {"deaf": True}, {"pid": str(deaf)}, {"sleep": 60})
    until(deaf.exists)
    process.kill()
    process.communicate(timeout=30)
    child_pid = int((tmp_path / "pid").read_text())
    assert locks.held(tmp_path / "lock")
    os.kill(child_pid, signal.SIGKILL)
    assert gone(child_pid)
    assert until(lambda: not locks.held(tmp_path / "lock"))


def test_the_real_child_reads_orders_and_refuses_a_bad_one_by_exit_code(tmp_path: Path) -> None:
    with pytest.raises(RunFailed) as told:
        list(child.run(order(), tmp_path / "log"))  # its key is nowhere
    assert "ended with 2" in told.value.what
    assert "/nowhere/key" in told.value.what


def test_nothing_is_imported_from_where_somebody_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stick may hold a json.py, and whoever installs from it stands in it."""
    (tmp_path / "json.py").write_text("raise SystemExit(77)")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunFailed) as told:
        list(child.run(order(), tmp_path / "log"))
    assert "/nowhere/key" in told.value.what, "it came as far as the order"

"""What the daemon tells systemd: that it is ready, that its loop turns, that it stops."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from appliance.service import unit
from tests.appliance.daemon.serving import PROGRAM
from tests.support.ports import LOOPBACK, free_port

_PERIOD = 200_000  # microseconds


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[socket.socket]:
    """Stands for systemd's end of the notification socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(20)
        yield listening


@pytest.fixture
def daemon(tmp_path: Path, notified: socket.socket) -> Iterator[subprocess.Popen[bytes]]:
    words = ["--root", str(tmp_path / "store"), "serve", "--no-tls", "--no-plain", "--listen"]
    environment = {
        **os.environ,
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": str(_PERIOD),
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    environment.pop("WATCHDOG_PID", None)
    process = subprocess.Popen(
        [*PROGRAM, *words, f"{LOOPBACK}:{free_port()}"], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def rest_of(notified: socket.socket, silence: float) -> list[bytes]:
    """What is told until nothing is for `silence` seconds."""
    notified.settimeout(silence)
    told: list[bytes] = []
    with suppress(TimeoutError):
        while len(told) < 50:
            told.append(notified.recv(100))
    return told


def test_it_says_that_it_is_ready_and_then_that_its_loop_turns(
    daemon: subprocess.Popen[bytes], notified: socket.socket
) -> None:
    told = [notified.recv(100) for _ in range(6)]
    assert told.count(b"READY=1") == 1
    assert told.count(b"WATCHDOG=1") == 5
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(20) == 0
    assert b"STOPPING=1" in rest_of(notified, 0.1)


def test_a_daemon_that_hangs_says_nothing(daemon: subprocess.Popen[bytes], notified: socket.socket) -> None:
    while notified.recv(100) != b"WATCHDOG=1":
        pass
    daemon.send_signal(signal.SIGSTOP)
    assert len(rest_of(notified, 5 * _PERIOD / 1e6)) <= 1, "what was under way when it stopped"


def test_the_unit_has_it_started_again_when_it_says_nothing(tmp_path: Path) -> None:
    text = unit(tmp_path, [])
    assert "WatchdogSec=" in text
    assert "Restart=on-failure" in text, "which a watchdog's kill is (systemd.service(5))"

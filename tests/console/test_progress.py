"""What long work shows: plain lines now and then without a terminal, one line that redraws itself with one."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time

import pytest

from console import progress
from console.progress import Plain


class Clock:
    """Stands for time.monotonic; tests turn it by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    turned = Clock()
    monkeypatch.setattr(time, "monotonic", turned)
    return turned


def test_a_short_task_says_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Plain().task("importing", 100) as task:
        clock.now += 1.5
        task.advance(100)
    assert capsys.readouterr().err == ""


def test_a_long_task_says_how_far_it_is_how_fast_and_how_long_still(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Plain().task("importing", 40 * 2**20) as task:
        task.detail("layer 2")
        clock.now += 4
        task.advance(10 * 2**20)
        clock.now += 1
        task.advance(1)  # too soon after the last line
        clock.now += 11
        task.advance(30 * 2**20 - 1)
    assert capsys.readouterr().err.splitlines() == [
        "importing  10.0 MiB of 40.0 MiB (25 %)  2.5 MiB/s  12 s left  layer 2",
        "importing  40.0 MiB of 40.0 MiB (100 %)  2.5 MiB/s  layer 2",
        "importing  40.0 MiB of 40.0 MiB (100 %)  2.5 MiB/s  in 16 s",
    ]


def test_things_are_counted_without_a_rate(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Plain().task("resolving", 3, unit="images") as task:
        clock.now += 6
        task.advance(1)
    assert capsys.readouterr().err.splitlines() == [
        "resolving  1 of 3 images (33 %)  12 s left",
        "resolving  1 of 3 images (33 %)  in 6.0 s",
    ]


def test_a_task_without_a_total_still_counts(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Plain().task("reading") as task:
        clock.now += 4
        task.advance(2048)
        task.grow(4096)
        clock.now += 5
        task.advance(1024)
    assert [line.split("  ")[1] for line in capsys.readouterr().err.splitlines()] == [
        "2.0 KiB",
        "3.0 KiB of 4.0 KiB (75 %)",
        "3.0 KiB of 4.0 KiB (75 %)",
    ]


def test_a_task_that_fails_does_not_claim_an_end(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    def failing() -> None:
        with Plain().task("importing", 10):
            clock.now += 60
            raise OSError("the stick is gone")

    with pytest.raises(OSError, match="stick"):
        failing()
    assert capsys.readouterr().err == ""


def test_without_a_terminal_lines_are_plain() -> None:
    assert isinstance(progress.progress(), Plain)


_LIVE = """
from console.live import Live
from console.progress import progress
display = progress()
assert isinstance(display, Live)
with display.task("fetching", 4096) as task, display.task("unpacking", 2, unit="images") as other:
    task.advance(1024)
    other.advance(1)
    display.say("a line that stays [as it is]")
with display.task("again", 1) as task:
    task.advance(1)
"""


def test_on_a_terminal_the_bars_redraw_and_go() -> None:
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", _LIVE], stderr=follower, env={**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            shown += os.read(leader, 65536)
        except OSError:  # EIO is how a pseudo-terminal says that the other side has closed it
            break
    os.close(leader)
    assert child.wait() == 0
    assert b"a line that stays [as it is]" in shown
    assert b"fetching" in shown
    assert b"\x1b[?25h" in shown, "the cursor is back"

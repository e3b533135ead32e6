"""The display on a terminal, a real one as far as programs can tell."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path

from tests.appliance.cluster.runs import wave
from tests.support.fakechild import Step

_WATCH = """
import sys
from appliance.cluster.display import watching
from deploys.events import EVENT

with watching() as see:
    for line in sys.stdin:
        see(EVENT.validate_json(line))
print("after it")
"""
_SECONDS = 60.0  # for something to be drawn, on a machine with other things to do


def drawn(*steps: tuple[Step, str]) -> tuple[str, str]:
    """What a terminal is sent while these events come, each once the one before it is seen by what stands beside it;
    and what goes to standard output.
    """
    master, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _WATCH],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=terminal,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(terminal)
    assert process.stdin
    sent = b""
    try:
        for step, seen in steps:
            already, deadline = len(sent), time.monotonic() + _SECONDS
            process.stdin.write(f"{json.dumps(step)}\n".encode())
            process.stdin.flush()
            while seen.encode() not in sent[already:]:
                assert time.monotonic() < deadline, f"{seen!r} was not drawn"
                sent += os.read(master, 1 << 16)
        process.stdin.close()
        while piece := _rest(master):
            sent += piece
    finally:
        os.close(master)
        process.stdin = None
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    return sent.decode(), output.decode()


def _rest(master: int) -> bytes:
    """More of it; empty when nobody has the other end any more, which Linux says with an error."""
    try:
        return os.read(master, 1 << 16)
    except OSError:
        return b""


def test_each_node_is_drawn_with_what_it_is_at_and_what_is_over_stays_as_lines() -> None:
    long = {"event": "progressed", "wave": "base", "node": "n2", "what": "fetching [k3s]"}
    began, changed, *rest = wave("base", "n1", "n2", changed=1, failed="n1")
    steps = [
        (began, "base: n1, n2"),
        (long, "fetching [k3s]"),
        (changed, "step 0: changed"),
        *((it, "") for it in rest),
    ]
    sent, output = drawn(*steps)
    assert "  n1: failed: n1 has no room" in sent
    assert "base: not done everywhere in 1.5 s" in sent
    assert sent.count("base: n1, n2") == 1
    assert "\x1b[?25h" in sent, "the cursor is back"
    assert output == "after it\n"

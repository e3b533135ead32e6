"""The display on a terminal, a real one as far as programs can tell."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

from tests.appliance.cluster.runs import wave
from tests.support.fakechild import Step

_WATCH = """
import json, sys, time
from appliance.cluster.display import watching
from deploys.events import EVENT

with watching() as see:
    for line in open(sys.argv[1]):
        see(EVENT.validate_json(line))
        time.sleep(0.3)  # until it is drawn
print("after it")
"""


def drawn(tmp_path: Path, *steps: Step) -> tuple[str, str]:
    """What a terminal is sent while these events come, and what goes to standard output."""
    (tmp_path / "events").write_text("".join(f"{json.dumps(step)}\n" for step in steps))
    master, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _WATCH, str(tmp_path / "events")],
        stdout=subprocess.PIPE,
        stderr=terminal,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(terminal)
    sent = b""
    try:
        while piece := os.read(master, 1 << 16):
            sent += piece
    except OSError:  # how Linux says that nobody has the other end any more
        pass
    finally:
        os.close(master)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    return sent.decode(), output.decode()


def test_each_node_is_drawn_with_what_it_is_at_and_what_is_over_stays_as_lines(tmp_path: Path) -> None:
    long = {"event": "progressed", "wave": "base", "node": "n2", "what": "fetching [k3s]"}
    began, *rest = wave("base", "n1", "n2", changed=1, failed="n1")
    sent, output = drawn(tmp_path, began, long, *rest)
    assert "fetching [k3s]" in sent
    assert "step 0: changed" in sent
    assert "  n1: failed: n1 has no room" in sent
    assert "base: not done everywhere in 1.5 s" in sent
    assert sent.count("base: n1, n2") == 1
    assert "\x1b[?25h" in sent, "the cursor is back"
    assert output == "after it\n"

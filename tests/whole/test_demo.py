"""`make demo` is the first thing that people run: it ends well, without skopeo too, and cleans up when interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from demo.images import GREETING, hello_program
from tests.support.tools import tool

# All that the demo runs, but for skopeo.
PROGRAMS = ["bash", "cat", "chmod", "cp", "curl", "du", "ls", "mkdir", "sha256sum", "ssh-keygen", "tar"]


def start(environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "demo"],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def search_path_without_skopeo(folder: Path) -> str:
    folder.mkdir()
    for program in PROGRAMS:
        (folder / program).symlink_to(tool(program))
    return str(folder)


def test_the_demo_ends_well_and_leaves_nothing(tmp_path: Path) -> None:
    demo = start({"TMPDIR": str(tmp_path)})
    said, _ = demo.communicate(timeout=240)
    assert demo.returncode == 0, said
    assert "skopeo copy" in said
    assert "What you have seen" in said
    assert GREETING.decode() in said
    assert not list(tmp_path.iterdir())


def test_without_skopeo_the_demo_pulls_with_a_client_of_its_own(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    demo = start({"TMPDIR": str(temporary), "PATH": search_path_without_skopeo(tmp_path / "bin")})
    said, _ = demo.communicate(timeout=240)
    assert demo.returncode == 0, said
    assert "python -m demo.client" in said
    assert "skopeo copy" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_demo_cleans_up(tmp_path: Path, number: signal.Signals) -> None:
    demo = start({"TMPDIR": str(tmp_path)})
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("*/cache")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(demo.pid, number)
    said, _ = demo.communicate(timeout=60)
    assert demo.returncode == 130, said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_the_program_that_travels_runs(tmp_path: Path) -> None:
    program = tmp_path / "hello"
    program.write_bytes(hello_program({"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]))
    program.chmod(0o755)
    assert subprocess.run([program], check=True, capture_output=True).stdout == GREETING

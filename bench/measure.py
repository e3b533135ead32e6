"""How the bench measures: processes by wall time, CPU and peak memory; ours and the peer's in turns; medians."""

from __future__ import annotations

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
MIB = 2**20
GIB = 2**30


@dataclass(frozen=True)
class Row:
    """One line of the table. `ratio` is more than 1 where we are better; `goal` is the least it may be."""

    name: str
    ours: float
    peer: float
    peer_name: str
    unit: str
    ratio: float
    goal: float

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def less_is_better(name: str, ours: float, peer: float, *, peer_name: str, unit: str, goal: float = 1.0) -> Row:
    return Row(name, ours, peer, peer_name, unit, peer / max(ours, 1e-9), goal)


def more_is_better(name: str, ours: float, peer: float, *, peer_name: str, unit: str, goal: float = 1.0) -> Row:
    return Row(name, ours, peer, peer_name, unit, ours / max(peer, 1e-9), goal)


@dataclass(frozen=True)
class Cost:
    """What one run took: seconds by the clock, seconds of CPU, the peak of resident memory in MiB."""

    wall: float
    cpu: float
    memory: float


def run(
    command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Cost:
    """Runs `command` to its end. Raises `RuntimeError` with what it said when that is a failure."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **(environment or {})},
        cwd=cwd,
    )
    watch = PeakWatch(process.pid)
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{said.decode()}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, watch.stop())


class PeakWatch:
    """Follows the peak resident memory of a process.

    wait4's ru_maxrss would count the bench's own memory, which the child shares until it executes.
    """

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._peak = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        time.sleep(0.02)  # until then it may not have executed
        while not self._done.is_set():
            try:
                self._peak = max(self._peak, _kibibytes(self._status, "VmHWM") / 1024)
            except (OSError, ValueError):
                return
            self._done.wait(0.01)

    def stop(self) -> float:
        """The peak in MiB."""
        self._done.set()
        self._thread.join()
        return self._peak


def _kibibytes(status: Path, field: str) -> int:
    for line in status.read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise ValueError(field)


def resident(pid: int) -> float:
    """Resident memory of a running process, in MiB."""
    return _kibibytes(Path(f"/proc/{pid}/status"), "VmRSS") / 1024


def cpu_seconds(pid: int) -> float:
    """CPU that a running process has used so far, children that it waited for included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(field) for field in fields[11:15]) / TICKS


def timed(work: Callable[[], object]) -> float:
    """Seconds by the clock."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def medians(runs: int, *sides: Callable[[], Sequence[float]]) -> list[list[float]]:
    """Runs every side `runs` times in turns, so that a slow minute hits all of them; medians of each side's figures."""
    taken: list[list[Sequence[float]]] = [[] for _ in sides]
    for _ in range(runs):
        for side, figures in zip(sides, taken, strict=True):
            figures.append(side())
    return [[statistics.median(column) for column in zip(*figures, strict=True)] for figures in taken]

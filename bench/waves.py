"""A run on three machines: the first, one that finds nothing to do, and a plan. Needs root, for the machines.

They are booted Debians without a way out. The cluster is a light double of k3s, as large as the real one, and no
packages are installed, so what is measured is what a run costs by itself: connecting, looking, comparing, fetching.
A first run that also waits for apt and pods takes longer, and the orchestration's share of it is smaller.
"""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.measure import MIB, Row, less_is_better, medians
from bench.workload import Scale
from tests.appliance.cluster.machines import Machines, machines

_PAGE = os.sysconf("SC_PAGE_SIZE")
_BINARY, _BALLAST = 60 * MIB, 180 * MIB  # with it for two architectures, a crate of 300 MiB
_RUNS = 3


def rows(folder: Path, scale: Scale) -> Iterator[Row]:
    full = scale.runs > 1
    with machines(folder, weight=_BINARY * full, ballast=_BALLAST * full) as site:
        wall, cpu, memory = _run(site, "deploy")
        yield less_is_better("deploy: the first, 3 nodes", wall, 60, peer_name="goal", unit="s")
        yield less_is_better("deploy: the first, share of own CPU", cpu / wall, 0.2, peer_name="goal", unit="of 1")
        yield less_is_better("deploy: memory, child included", memory, 200, peer_name="goal", unit="MiB")
        deployed, planned = medians(min(scale.runs, _RUNS), lambda: _run(site, "deploy"), lambda: _run(site, "plan"))
        yield less_is_better("deploy: nothing to change, 3 nodes", deployed[0], 15, peer_name="goal", unit="s")
        yield less_is_better("plan: nothing to change, 3 nodes", planned[0], 10, peer_name="goal", unit="s")


def _run(site: Machines, verb: str) -> tuple[float, float, float]:
    """Seconds by the clock and of CPU, and the peak in MiB, of a command and its children together."""
    before, began = _spent(), time.perf_counter()
    process = subprocess.Popen(
        site.words(verb), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, _resident(process.pid))
        time.sleep(0.1)
    if process.returncode:
        raise RuntimeError(f"{verb} ended with {process.returncode}")
    return time.perf_counter() - began, _spent() - before, peak


def _spent() -> float:
    """CPU seconds of all that this process has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _resident(pid: int) -> float:
    """MiB of a process and its children now."""
    try:
        own = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / MIB
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # ended meanwhile
        return 0.0
    return own + sum(_resident(int(child)) for child in children)

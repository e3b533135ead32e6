"""`make bench`: measures, prints a table and writes bench/results.json.

    python -m bench [--quick] [--out FILE] [GROUP …]

A group is one of apt, building, importing, living, mirrors, requests, serving, starting, waves, wheels; without any,
all of them run (waves for root only). Ours and the peer's runs take turns, the figures are medians, a ratio of more
than 1 is in our favour.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench import apt, building, importing, living, mirrors, requests, serving, starting, waves, wheels, workload
from bench.measure import Row

GROUPS: dict[str, Callable[[Path, workload.Scale], Iterator[Row]]] = {
    "apt": apt.rows,
    "building": building.rows,
    "importing": importing.rows,
    "living": living.rows,
    "mirrors": mirrors.rows,
    "requests": requests.rows,
    "serving": serving.rows,
    "starting": starting.rows,
    "waves": waves.rows,
    "wheels": wheels.rows,
}
ROOT_ONLY = ("waves",)
RESULTS = Path(__file__).with_name("results.json")
_LINE = "{:<46} {:>10} {:>10} {:>6}  {:>6} {:>5}  {}"


def line(row: Row) -> str:
    met = "" if row.ratio >= row.goal else "  MISSED"
    figures = [f"{row.ours:,.4g}", f"{row.peer:,.4g}", row.unit, f"{row.ratio:.2f}", f"{row.goal:.2f}"]
    return _LINE.format(row.name, *figures, row.peer_name) + met


def _possible() -> list[str]:
    """All groups, but those that this user cannot run."""
    if os.getuid() == 0:
        return [*GROUPS]
    print(f"left out, for only root boots machines: {', '.join(ROOT_ONLY)}")
    return [name for name in GROUPS if name not in ROOT_ONLY]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Speed and memory beside our peers.")
    parser.add_argument(
        "groups", nargs="*", metavar="GROUP", help=f"one of {', '.join(GROUPS)}; all when none is named"
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one run each: proves that the bench runs")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the results go as JSON")
    options = parser.parse_args(arguments)
    if unknown := set(options.groups) - set(GROUPS):
        parser.error(f"there is no group {', '.join(sorted(unknown))}")
    scale = workload.QUICK if options.quick else workload.FULL
    print(_LINE.format("", "ours", "peer", "", "ratio", "goal", "beside"))
    rows: list[Row] = []
    for name in options.groups or _possible():
        with workload.workshop() as folder:
            for row in GROUPS[name](folder, scale):
                rows.append(row)
                print(line(row), flush=True)
    options.out.write_text(json.dumps([row.to_json() for row in rows], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

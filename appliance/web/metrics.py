"""What is counted as it happens, and what is measured when Prometheus asks, in its text format 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

AREAS = ("v2", "apt", "pypi", "npm", "helm", "files", "blobs", "api")
"""First parts of a path that are counted by name; the rest is people's pages and what leads nowhere."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})

Labels = tuple[tuple[str, str], ...]
Sample = tuple[str, str, str, Iterable[tuple[Labels, float]]]
"""Name, type, what it is, and values by labels."""


class Metrics:
    """Counters of one daemon. `count` belongs to the event loop's thread; anybody may read."""

    def __init__(self) -> None:
        self.began = time.time()
        self.unlogged = 0
        self._requests: dict[tuple[str, str, int], int] = {}
        self._sums: dict[str, list[float]] = {}

    def count(self, method: str, path: str, status: int, sent: int, seconds: float) -> None:
        """A request that was answered with `sent` bytes, `seconds` after it began."""
        end = path.find("/", 1)
        area = path[1:end] if end > 0 else path[1:]
        if area not in AREAS:
            area = "page"
        key = (area, method if method in _METHODS else "other", status)
        self._requests[key] = self._requests.get(key, 0) + 1
        sums = self._sums.get(area)
        if sums is None:
            sums = self._sums[area] = [0.0, 0.0, 0.0]
        sums[0] += 1
        sums[1] += seconds
        sums[2] += sent

    def samples(self) -> Iterator[Sample]:
        """Of what was counted, and of this process."""
        requests = [
            ((("area", area), ("method", method), ("status", str(status))), float(count))
            for (area, method, status), count in sorted(self._requests.items())
        ]
        sums = sorted(self._sums.items())
        yield "crate_http_requests_total", "counter", "Requests answered.", requests
        yield (
            "crate_http_request_seconds_total",
            "counter",
            "Seconds from the first byte of a request to the last of its answer, summed up.",
            [((("area", area),), values[1]) for area, values in sums],
        )
        yield (
            "crate_http_response_bytes_total",
            "counter",
            "Bytes of answers, headers aside.",
            [((("area", area),), values[2]) for area, values in sums],
        )
        yield "crate_access_log_left_out_total", "counter", "Requests without a line.", [((), self.unlogged)]
        yield from _process(self.began)


def text(samples: Iterable[Sample]) -> str:
    lines = []
    for name, kind, about, values in samples:
        lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
        lines += [f"{name}{_labels(labels)} {_number(value)}" for labels, value in values]
    return "\n".join([*lines, ""])


def gauge(name: str, about: str, value: float) -> Sample:
    return name, "gauge", about, [((), value)]


def by_label(name: str, about: str, label: str, values: Mapping[str, float]) -> Sample:
    return name, "gauge", about, [(((label, key),), value) for key, value in sorted(values.items())]


def _process(began: float) -> Iterator[Sample]:
    used = os.times()
    yield "process_cpu_seconds_total", "counter", "CPU time of the daemon.", [((), used.user + used.system)]
    yield gauge("process_start_time_seconds", "When the daemon began, in seconds since 1970.", began)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    yield gauge("process_resident_memory_bytes", "Memory of the daemon.", pages * os.sysconf("SC_PAGESIZE"))
    yield gauge("process_open_fds", "Open files and connections.", len(os.listdir("/proc/self/fd")))  # noqa: PTH208


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))

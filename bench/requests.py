"""What it costs to write down what is missing: rates with and without misses, and the memory that a flood takes."""

from __future__ import annotations

import http.client
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import workload
from bench.measure import Row, less_is_better, medians, more_is_better, resident
from bench.serving import Server, requests_per_second, serving_crate
from bench.workload import CRATE_APPLIANCE, Scale
from tests.support.registries import docker_registry
from tests.support.tools import tool

_HELD = "/v2/bench.example/image-0/manifests/1"
_BESIDE = 50  # requests a second that another client makes meanwhile
_NAMES = """
local asked = 0
request = function()
  asked = asked + 1
  return wrk.format("GET", "/v2/bench.example/absent-" .. asked .. "/manifests/1")
end
"""


def rows(folder: Path, scale: Scale) -> Iterator[Row]:
    (image,) = workload.images(folder / "images", 1, 1 << 20, layers=1)
    out = workload.make_crate(folder, [image])
    root = workload.trusting_root(folder / "root", folder / "key")
    workload.quietly([CRATE_APPLIANCE, "--root", root, "install", *sorted(out.iterdir())])
    script = folder / "names.lua"
    script.write_text(_NAMES)
    with docker_registry(folder / "peer") as peer, serving_crate(root, "--no-tls") as (ours, _):
        yield from _rates(ours, scale)
        before = resident(ours.pid)
        (rate,), (peer_rate,) = medians(scale.runs, _flood(ours.url, script, scale), _flood(peer.url, script, scale))
        yield more_is_better(
            "requests: misses a second, all of different names",
            rate,
            peer_rate,
            peer_name="docker-registry",
            unit="1/s",
        )
        grown = max(resident(ours.pid) - before, 0.1)
        yield less_is_better("requests: memory grown by a flood of names", grown, 20, peer_name="goal", unit="MiB")


def _rates(server: Server, scale: Scale) -> Iterator[Row]:
    """Manifests by tag, while another client misses things, and while it finds as many."""

    def beside(path: Callable[[int], str]) -> Callable[[], list[float]]:
        def once() -> list[float]:
            with _asking(server, path):
                return [requests_per_second(server.url + _HELD, scale.seconds)]

        return once

    missing = beside(lambda number: f"/v2/bench.example/missing-{number}/manifests/1")
    (rate,), (found,) = medians(scale.runs, missing, beside(lambda _: _HELD))
    yield more_is_better(
        f"requests: manifests a second, {_BESIDE} misses beside",
        rate,
        found,
        peer_name="as many finds beside",
        unit="1/s",
        goal=0.95,
    )


@contextmanager
def _asking(server: Server, path: Callable[[int], str]) -> Iterator[None]:
    """A client that asks for `path` of 0, 1, 2 …, `_BESIDE` times a second, for as long as the context lasts."""
    done = threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
        number, began = 0, time.monotonic()
        while not done.wait(max(0.0, began + number / _BESIDE - time.monotonic())):
            connection.request("GET", path(number))
            connection.getresponse().read()
            number += 1
        connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _flood(url: str, script: Path, scale: Scale) -> Callable[[], list[float]]:
    """404s a second out of wrk, over 16 connections."""
    command = [tool("wrk"), "-t1", "-c16", f"-d{max(1, round(scale.seconds))}s", "-s", str(script), url]

    def once() -> list[float]:
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = re.search(r"Requests/sec:\s+([0-9.]+)", said)
        assert found, said
        return [float(found[1])]

    return once

"""Serving, beside docker-registry with the same image: manifests a second, CPU a GiB, memory under many pulls."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import workload
from bench.measure import GIB, TICKS, Row, cpu_seconds, less_is_better, medians, more_is_better, resident
from bench.workload import CRATE_APPLIANCE, Scale
from tests.support.images import MadeImage
from tests.support.ports import LOOPBACK, free_port, listening
from tests.support.processes import running
from tests.support.registries import Registry, docker_registry
from tests.support.tools import tool

_REPOSITORY = "bench.example/image-0"
_ACCEPT = "application/vnd.oci.image.index.v1+json"  # docker-registry hides indexes from clients that do not say so


@dataclass(frozen=True)
class Server:
    """A registry that runs: its process and the address that a client is told."""

    pid: int
    url: str


def rows(folder: Path, scale: Scale) -> Iterator[Row]:
    (image,) = workload.images(folder / "images", 1, scale.served_blob, layers=1)
    out = workload.make_crate(folder, [image])
    root = workload.trusting_root(folder / "root", folder / "key")
    workload.quietly([CRATE_APPLIANCE, "--root", root, "install", *sorted(out.iterdir())])
    with docker_registry(folder / "plain") as plain, docker_registry(folder / "tls", tls=True) as tls:
        for registry in (plain, tls):
            registry.push(image.layout, image.digest, _REPOSITORY, "1")
        yield from _against_plain(root, scale, image, plain)
        yield from _against_tls(root, scale, image, tls)
        yield from _many_pulls(root, scale, image)


def _blob(image: MadeImage) -> str:
    """The path of the image's one layer for amd64."""
    manifest = image.manifests["linux/amd64"]["digest"]
    layer = re.findall(r'"digest":"(sha256:[0-9a-f]{64})"', image.layout.path(manifest).read_text())[1]
    return f"/v2/{_REPOSITORY}/blobs/{layer}"


@contextmanager
def serving_crate(root: Path, *options: str) -> Iterator[tuple[Server, Server]]:
    """The daemon at `--listen` (TLS, but for the option --no-tls) and on its plain port."""
    port, plain = free_port(), free_port()
    addresses = ["--listen", f"{LOOPBACK}:{port}", "--plain", f"{LOOPBACK}:{plain}"]
    command = [CRATE_APPLIANCE, "--root", str(root), "serve", *addresses, *options]

    def ready() -> bool:
        return listening(port) and listening(plain)

    with running(command, ready=ready, log=root.with_suffix(".log")) as process:
        scheme = "http" if "--no-tls" in options else "https"
        yield Server(process.pid, f"{scheme}://{LOOPBACK}:{port}"), Server(process.pid, f"http://{LOOPBACK}:{plain}")


def _peer(registry: Registry) -> Server:
    return Server(registry.pid, registry.url)


def requests_per_second(url: str, seconds: float) -> float:
    """What wrk gets out of `url` over 16 connections. Raises `RuntimeError` when answers were no success."""
    command = [tool("wrk"), "-t1", "-c16", f"-d{max(1, round(seconds))}s", "-H", f"Accept: {_ACCEPT}", url]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"{url}:\n{said}")
    found = re.search(r"Requests/sec:\s+([0-9.]+)", said)
    assert found, said
    return float(found[1])


def fetch(urls: Sequence[str], *, at_once: int = 1) -> None:
    """Downloads `urls` with curl and throws the bytes away; redirects are followed, certificates not checked."""
    asked = [word for url in urls for word in ("-o", "/dev/null", url)]
    parallel = ["--parallel", "--parallel-immediate", "--parallel-max", str(at_once)] if at_once > 1 else []
    command = [tool("curl"), "-fsSLk", *parallel, *asked]
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"curl ended with {done.returncode}:\n{done.stderr[-2000:]}")


def _cpu_per_gib(server: Server, path: str, scale: Scale) -> Callable[[], list[float]]:
    """Server CPU seconds a GiB of blobs."""
    times = max(1, round(3 * GIB / scale.served_blob)) if scale.runs > 1 else 2  # enough for a clock of 10 ms

    def once() -> list[float]:
        before = cpu_seconds(server.pid)
        fetch([server.url + path] * times)
        used = max(cpu_seconds(server.pid) - before, 1 / TICKS)  # the clock ticks no finer
        return [used * GIB / (times * scale.served_blob)]

    return once


def _manifests(server: Server, scale: Scale) -> Callable[[], list[float]]:
    """GETs of an index by its tag, a second."""
    return lambda: [requests_per_second(f"{server.url}/v2/{_REPOSITORY}/manifests/1", scale.seconds)]


def _against_plain(root: Path, scale: Scale, image: MadeImage, registry: Registry) -> Iterator[Row]:
    peer = _peer(registry)
    with serving_crate(root, "--no-tls") as (ours, plain):
        (rate,), (peer_rate,) = medians(scale.runs, _manifests(ours, scale), _manifests(peer, scale))
        yield more_is_better(
            "serve, plain: manifests a second",
            rate,
            peer_rate,
            peer_name="docker-registry",
            unit="1/s",
            goal=8,
        )
        path = _blob(image)
        (cpu,), (peer_cpu,) = medians(scale.runs, _cpu_per_gib(plain, path, scale), _cpu_per_gib(peer, path, scale))
        yield less_is_better(
            "serve, plain: CPU a GiB of blobs", cpu, peer_cpu, peer_name="docker-registry", unit="s/GiB"
        )


def _against_tls(root: Path, scale: Scale, image: MadeImage, registry: Registry) -> Iterator[Row]:
    peer, path = _peer(registry), _blob(image)
    with serving_crate(root, "--no-redirect") as (ours, _):
        (cpu,), (peer_cpu,) = medians(scale.runs, _cpu_per_gib(ours, path, scale), _cpu_per_gib(peer, path, scale))
        yield less_is_better(
            "serve, TLS: CPU a GiB of blobs", cpu, peer_cpu, peer_name="docker-registry, TLS", unit="s/GiB"
        )
        (rate,), (peer_rate,) = medians(scale.runs, _manifests(ours, scale), _manifests(peer, scale))
        yield more_is_better(
            "serve, TLS: manifests a second",
            rate,
            peer_rate,
            peer_name="docker-registry, TLS",
            unit="1/s",
            goal=8,
        )
    with serving_crate(root) as (redirecting, plain):
        (cpu,), (plain_cpu,) = medians(
            scale.runs, _cpu_per_gib(redirecting, path, scale), _cpu_per_gib(plain, path, scale)
        )
        yield less_is_better(
            "serve, TLS redirecting to plain: CPU a GiB",
            cpu,
            plain_cpu,
            peer_name="our own plain port",
            unit="s/GiB",
            goal=1 / 1.2,
        )


def _many_pulls(root: Path, scale: Scale, image: MadeImage) -> Iterator[Row]:
    with serving_crate(root) as (server, _):
        url = server.url + _blob(image)
        fetch([url])
        before, peak = resident(server.pid), 0.0
        pulls = threading.Thread(target=fetch, args=([url] * scale.pulls,), kwargs={"at_once": scale.pulls})
        pulls.start()
        while pulls.is_alive():
            peak = max(peak, resident(server.pid))
            time.sleep(0.02)
        pulls.join()
    name = f"serve: memory grown by {scale.pulls} pulls at once"
    yield less_is_better(name, max(peak - before, 1.0), 100, peer_name="goal", unit="MiB")

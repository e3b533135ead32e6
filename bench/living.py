"""Living with the crate: memory under everything at once, a page over 20,000 items, and what access control costs."""

from __future__ import annotations

import json
import ssl
import statistics
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from appliance.access import Role
from appliance.rules import close_name
from appliance.store import Store
from appliance.users import Users
from bench import workload
from bench.measure import Row, less_is_better, medians, more_is_better, resident
from bench.serving import Server, requests_per_second, serving_crate
from bench.workload import CRATE_APPLIANCE, Scale
from tests.support.mixed_load import Site, mixed_load

_HELD = "/v2/bench.example/image-0/manifests/1"
_PASSWORD = "a password of some length"  # noqa: S105 - a bench's
_ANSWERS = 50  # asked for one page, whose middle is taken
_AT_MOST = 0.050  # seconds for a page
_MOST = 100  # MiB
_UNCHANGED = 0.9  # of the rate without access control and log


def rows(folder: Path, scale: Scale) -> Iterator[Row]:
    (image,) = workload.images(folder / "images", 1, 1 << 20, layers=1)
    out = workload.make_crate(folder, [image])
    roots = [workload.trusting_root(folder / name, folder / "key") for name in ("living", "open")]
    for root in roots:
        workload.quietly([CRATE_APPLIANCE, "--root", root, "install", *sorted(out.iterdir())])
    living, unguarded = roots
    _people(living)
    yield from _rates(living, unguarded, scale)
    yield from _pages(living, scale)
    yield from _memory(living, scale)


def _people(root: Path) -> None:
    """Users, rights and private names, as a site has them."""
    with Store.open(root) as store:
        for number in range(20):
            Users(store.database).add(f"user-{number}", _PASSWORD, Role.PUBLISHER)
            close_name(store.database, f"team-{number}/*")


def _rates(living: Path, unguarded: Path, scale: Scale) -> Iterator[Row]:
    with (
        serving_crate(living, "--no-tls") as (ours, _),
        serving_crate(unguarded, "--no-tls", "--access-log", "0") as (other, _),
    ):

        def rate(server: Server) -> list[float]:
            return [requests_per_second(server.url + _HELD, scale.seconds)]

        (with_it,), (without,) = medians(scale.runs, lambda: rate(ours), lambda: rate(other))
    yield more_is_better(
        "living: manifests a second, private names and access log",
        with_it,
        without,
        peer_name="without",
        unit="1/s",
        goal=_UNCHANGED,
    )


def _pages(root: Path, scale: Scale) -> Iterator[Row]:
    with Store.open(root) as store, store.database.write() as connection:
        (generation,) = connection.execute("SELECT id FROM generations WHERE active = 1").fetchone()
        connection.executemany(
            "INSERT INTO items (generation, kind, name, version, platform, origin, size, brought_by, contributed, path)"
            " VALUES (?, 'pypi', ?, '1.0', '', 'https://mirror.example.org/simple/', 50000, 'bench', 0, ?)",
            [
                (generation, f"package-{number:05}", f"pypi/simple/package-{number:05}/")
                for number in range(scale.packages)
            ],
        )
    with serving_crate(root, "--no-tls") as (ours, _):
        for what, path in (
            ("the page", "/"),
            ("search", "/api/v1/items?q=package-19"),
            ("search for nothing", "/api/v1/items?q=nonsense"),
        ):
            taken = statistics.median(_seconds(ours.url + path) for _ in range(_ANSWERS))
            name = f"living: {what} over {scale.packages:,} items"
            yield less_is_better(name, taken * 1000, _AT_MOST * 1000, peer_name="goal", unit="ms")


def _seconds(url: str) -> float:
    began = time.perf_counter()
    with urllib.request.urlopen(url) as answer:
        answer.read()
    return time.perf_counter() - began


def _memory(root: Path, scale: Scale) -> Iterator[Row]:
    """Ten minutes of twenty clients over TLS; what is beyond the start's noise is growth."""
    seconds = scale.soak
    paths = (_HELD, "/files/", "/", "/api/v1/items?q=package-19", "/metrics", "/v2/bench.example/image-0/tags/list")
    with serving_crate(root, "--no-redirect") as (ours, _):
        context = ssl.create_default_context(cafile=str(root / "tls/ca.pem"))
        site = Site(int(ours.url.rpartition(":")[2]), paths, "user-0", _PASSWORD, context)
        samples = []
        with mixed_load(site) as done:
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                time.sleep(seconds / 600)
                samples.append(resident(ours.pid))
    if done.wrong:
        raise RuntimeError(json.dumps(done.wrong[:10]))
    half = len(samples) // 2
    name = f"living: memory in {seconds / 60:.0f} minutes of mixed load"
    yield less_is_better(name, max(samples), _MOST, peer_name="goal", unit="MiB")
    before, after = statistics.median(samples[half // 2 : half]), statistics.median(samples[half:])
    yield less_is_better(f"{name}: second half", after, before, peer_name="first half", unit="MiB", goal=0.95)

"""What the daemon holds in memory does not grow with what it does: twenty clients that do everything, watched."""

from __future__ import annotations

import ssl
import statistics
import time
from pathlib import Path

import pytest

from appliance.access import Role
from appliance.store import Store
from appliance.users import Users
from tests.appliance.daemon import serving
from tests.appliance.daemon.conftest import FILES, HELD
from tests.appliance.daemon.test_faults import resident
from tests.support.images import MadeImage
from tests.support.mixed_load import Done, Site, mixed_load

MIB = 1 << 20
WARM = 0.25  # of the time, until caches and threads are what they will be


def soak(folder: Path, held: MadeImage, seconds: float) -> tuple[Done, list[int]]:
    """What was answered, and the resident memory in bytes, sampled after the start has settled."""
    root = folder / "store"
    serving.hold(root, HELD, held.layout, {"1": held.digest}, FILES)
    with Store.open(root) as store:
        Users(store.database).add("ann", "a password of some length", Role.PUBLISHER)
    blob, _ = serving.largest_layer(held)
    paths = (
        f"/v2/{HELD}/manifests/1",
        f"/v2/{HELD}/blobs/{blob}",
        f"/v2/{HELD}/tags/list",
        "/files/tools/arm64/tool",
        "/files/",
        "/",
        "/api/v1/items?q=held",
        "/metrics",
    )
    with serving.crate(root, "--no-redirect", tls=True) as crate:
        context = ssl.create_default_context(cafile=str(crate.ca))
        site = Site(crate.port, paths, "ann", "a password of some length", context)
        samples = []
        with mixed_load(site) as done:
            began = time.monotonic()
            time.sleep(seconds * WARM)
            while time.monotonic() - began < seconds:
                samples.append(resident(crate.pid))
                time.sleep(min(1.0, seconds / 100))
        log = serving.log_of(root).read_text()
        assert "Traceback" not in log, log[-3000:]
    return done, samples


@pytest.mark.parametrize("seconds", [20, pytest.param(3600, marks=pytest.mark.long)], ids=["twenty seconds", "an hour"])
def test_memory_stays_what_it_is(tmp_path: Path, held: MadeImage, seconds: float) -> None:
    done, samples = soak(tmp_path, held, seconds)
    assert not done.wrong, done.wrong[:10]
    assert {what for what, _ in done.answers} == {"look", "miss", "push", "sign on"}
    half = len(samples) // 2
    first, second = statistics.median(samples[:half]), statistics.median(samples[half:])
    assert max(samples) < 100 * MIB, f"{max(samples) / MIB:.1f} MiB"
    assert second - first < 8 * MIB, f"from {first / MIB:.1f} to {second / MIB:.1f} MiB"

"""The loop: clients miss things, the crate writes them down, the next stick brings them and nothing that is there."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.requests import FLUSH
from tests.support.containerd import Containerd
from tests.support.images import make_layout
from tests.support.registries import Registry
from tests.whole.programs import Crate, Desk, Served, command, from_registry, skopeo_digest, upstreams

HERE = "docker.io/library/busybox:1.36"
MISSED = "ghcr.io/team/app:2.0"
LAYER = 3 << 20


@dataclass(frozen=True)
class Site:
    """A desk with a recipe of one large image, and a crate on which its first release is installed."""

    desk: Desk
    crate: Crate
    first: Path
    registry: Registry

    def requests(self, *words: str | Path) -> Any:
        return json.loads(self.crate.run("requests", "list", "--json", *words).out)

    def noted(self) -> set[tuple[str, str]]:
        """What is written down, once the daemon has had the time to."""
        time.sleep(FLUSH + 0.5)
        return {(it["kind"], it["name"]) for it in self.requests()}

    def export(self) -> Path:
        out = self.desk.folder.with_name("workshop.requests")
        self.crate.run("requests", "export", out, "--name", "workshop")
        return out

    def build(self, out: str, *options: str | Path) -> Any:
        words = self.desk.build_words(self.desk.folder / out, *map(str, options), "--json")
        return json.loads(command(words, self.desk.environment).out)


@pytest.fixture
def site(tmp_path: Path, registry: Registry) -> Site:
    desk = Desk.set_up(tmp_path / "desk")
    for reference, size in ((HERE, LAYER), (MISSED, 20_000)):
        made = make_layout(tmp_path / reference.replace("/", "_"), reference, layer_size=size)
        name, _, tag = reference.partition("/")[2].rpartition(":")
        registry.push(made.layout, made.digest, name, tag)
    desk.write_recipe(from_registry(HERE), upstreams(registry))
    desk.recipe.write_text(desk.recipe.read_text().replace("serial = 1\n", ""))
    (first,) = desk.build(tmp_path / "first")
    crate = Crate(tmp_path / "crate")
    crate.trust(desk)
    crate.run("install", first)
    return Site(desk, crate, first, registry)


def pull(containers: Containerd, served: Served, reference: str) -> None:
    for host in ("docker.io", "ghcr.io"):
        containers.add_host(host, served.url, ca=served.ca)
    containers.pull(reference, "linux/amd64")


def test_what_is_missed_comes_with_the_next_stick_and_nothing_else(
    tmp_path: Path, site: Site, container_daemon: Containerd
) -> None:
    with site.crate.serving() as served:
        with pytest.raises(AssertionError, match="failed to resolve"):
            pull(container_daemon, served, MISSED)
        pull(container_daemon, served, HERE)
        assert site.noted() == {("image", MISSED)}
        file = site.export()
        assert file.stat().st_size < 5_000

        built = site.build("second", "--requests", file, "--have", file)
        assert [(wish["kind"], wish["name"]) for wish in built["added"]] == [("image", MISSED)]
        (second,) = map(Path, built["paths"])
        assert second.name.endswith("-difference.crate")
        assert built["left_out"]["size"] > 2 * LAYER
        assert second.stat().st_size < LAYER / 10

        site.crate.run("install", second)
        pull(container_daemon, served, MISSED)
        assert skopeo_digest(served, HERE)
        assert site.noted() == set()
        assert [it["met"] for it in site.requests("--all")] == [True]
    site.crate.run("gc", "--keep", "1")
    fresh = Crate(tmp_path / "fresh")
    fresh.trust(site.desk)
    before = fresh.contents()
    refused = fresh.run("install", second, expect=1)
    serial = json.loads(site.crate.run("status", "--json").out)["crates"][0]["serial"]
    assert f"site {serial} is a difference" in refused.err
    first = json.loads(site.desk.bundle("inspect", site.first, "--json").out)
    assert f"site {first['serial']} brings them" in refused.err
    assert fresh.contents() == before
    fresh.run("install", second, site.first)
    with site.crate.serving() as served, fresh.serving() as other:
        for reference in (HERE, MISSED):
            assert skopeo_digest(served, reference) == skopeo_digest(other, reference)

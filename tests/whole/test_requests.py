"""The loop: clients miss things, the crate writes them down, the next stick brings them and nothing that is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.requests import FLUSH
from tests.mirror.helm.binary import helm_binary
from tests.mirror.helm.charts import chart, repository
from tests.mirror.npm.registry import package
from tests.mirror.npm.registry import registry as npm_registry
from tests.mirror.pypi.index import index, wheel
from tests.support.containerd import Containerd
from tests.support.images import make_layout
from tests.support.registries import Registry
from tests.support.tools import tool
from tests.whole.programs import Crate, Desk, Served, command, from_registry, skopeo_digest, upstreams

HERE = "docker.io/library/busybox:1.36"
MISSED = "ghcr.io/team/app:2.0"
LAYER = 3 << 20
HERE_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


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


def serial_of(desk: Desk, crate: Path) -> int:
    return int(json.loads(desk.bundle("inspect", crate, "--json").out)["serial"])


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

        shown = site.desk.bundle("inspect", second).out
        assert "a difference: leaves out" in shown
        assert f"site {serial_of(site.desk, site.first)} brought" in shown
        site.desk.bundle("verify", second)

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
    assert f"site {serial_of(site.desk, site.first)} brings them" in refused.err
    assert fresh.contents() == before
    fresh.run("install", second, site.first)
    with site.crate.serving() as served, fresh.serving() as other:
        for reference in (HERE, MISSED):
            assert skopeo_digest(served, reference) == skopeo_digest(other, reference)


@dataclass(frozen=True)
class Shop:
    """Upstreams of `mine`, which the recipe names, and `extra`, which it does not."""

    desk: Desk
    crate: Crate


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with (
        index(wheel("mine", "1.0"), wheel("extra", "1.0")) as pypi,
        npm_registry(package("mine", "1.0.0"), package("@team/extra", "2.0.0")) as npm,
        repository(chart("mine", "1.0.0"), chart("extra", "1.2.0")) as charts,
    ):
        desk = Desk.set_up(tmp_path / "desk")
        desk.write_recipe(
            f'[[pypi]]\nrequirements = ["mine"]\npython = ["{HERE_PYTHON}"]\nindexes = ["{pypi.url}"]',
            f'[[npm]]\npackages = ["mine"]\nregistry = "{npm.url}"',
            f'[[charts]]\nname = "mine"\nrepository = "{charts}"',
        )
        desk.recipe.write_text(desk.recipe.read_text().replace("serial = 1\n", ""))
        (first,) = desk.build(tmp_path / "first")
        crate = Crate(tmp_path / "crate")
        crate.trust(desk)
        crate.run("install", first)
        yield Shop(desk, crate)


def get(served: Served, folder: Path, *, works: bool) -> None:
    """pip, npm and helm ask for what was not in the first recipe."""
    folder.mkdir()
    foreign = ("pip_", "npm_", "ssl_", "requests_ca_", "curl_ca_", "node_extra_ca_")
    clean = {key: value for key, value in os.environ.items() if not key.lower().startswith(foreign)}
    settings = {
        "PIP_INDEX_URL": f"{served.url}/pypi/simple/",
        "PIP_CERT": str(served.ca),
        "PIP_CONFIG_FILE": os.devnull,
        "npm_config_registry": f"{served.url}/npm/",
        "npm_config_cafile": str(served.ca),
        "npm_config_userconfig": os.devnull,
        "npm_config_cache": str(folder / "cache"),
        "npm_config_fetch_retries": "0",
        "HOME": str(folder),
    }
    for words in (
        [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--target", "t", "extra"],
        [tool("npm"), "install", "--prefix", str(folder), "@team/extra"],
        [str(helm_binary()), "pull", f"oci://{served.address}/charts/extra", "--ca-file", str(served.ca)],
    ):
        done = subprocess.run(
            words, cwd=folder, env={**clean, **settings}, capture_output=True, text=True, timeout=120, check=False
        )
        assert (done.returncode == 0) is works, done.stderr


def test_packages_and_charts_that_are_missed_come_too(tmp_path: Path, shop: Shop) -> None:
    with shop.crate.serving() as served:
        get(served, tmp_path / "before", works=False)
        time.sleep(FLUSH + 0.5)
        file = tmp_path / "box.requests"
        shop.crate.run("requests", "export", file)
        words = shop.desk.build_words(tmp_path / "second", "--requests", str(file), "--have", str(file), "--json")
        built = json.loads(command(words, shop.desk.environment).out)
        assert {(it["kind"], it["name"]) for it in built["added"]} == {
            ("pypi", "extra"),
            ("npm", "@team/extra"),
            ("chart", "extra"),
        }
        assert built["unsatisfied"] == []
        shop.crate.run("install", *built["paths"])
        get(served, tmp_path / "after", works=True)
        assert json.loads(shop.crate.run("requests", "--json").out) == []

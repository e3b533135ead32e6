"""Charts that helm 4 itself made, and helm 4 as the client of what the crate publishes."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from archive.catalogue import Item
from mirror.helm.publish import publish
from mirror.helm.resolve import resolve
from mirror.helm.section import ChartSection
from mirror.openpgp import RepositoryKey
from tests.mirror.helm.binary import helm
from tests.mirror.helm.charts import Made, chart_yaml, folder, pushed, registry, repository
from tests.mirror.helm.test_resolve import signed
from tests.mirror.serve import Blobs, Served, crate
from tests.mirror.transport import context

KEY = RepositoryKey.generate("charts")


@dataclass(frozen=True)
class Built:
    items: tuple[Item, ...]
    blobs: Blobs
    upstream: str


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """`web`, made and packed by helm, from a repository; `api` from a registry; `site`, a folder that needs `web`."""
    base = tmp_path_factory.mktemp("charts")
    (base / "blobs").mkdir()
    for name in ("web", "api"):
        assert helm(base, "create", name).returncode == 0
        assert helm(base, "package", name).returncode == 0
    web, api = (Made(name, "0.1.0", (base / f"{name}-0.1.0.tgz").read_bytes()) for name in ("web", "api"))

    async def run(*sections: ChartSection) -> list[Item]:
        async with context(base / "blobs", base) as given:
            return [item for section in sections for item in (await resolve(section, given)).items]

    there = pushed("team", api, base / "blobs")
    with repository(signed(web, KEY)) as url, registry(there, Blobs(base / "blobs")) as host:
        folder(base, "site", "1.0.0", [{"name": "web", "version": "~0.1", "repository": url}])
        items = asyncio.run(
            run(
                ChartSection(name="web", repository=url),
                ChartSection(name="api", repository=f"oci://{host}/team", version="^0.1"),
                ChartSection(path="site"),
            )
        )
    return Built(tuple(items), Blobs(base / "blobs"), host.replace(":", "_"))


@pytest.fixture
def served(built: Built) -> Iterator[Served]:
    with crate(publish(built.items, built.blobs), built.blobs) as served:
        yield served


@pytest.fixture
def host(built: Built) -> Iterator[str]:
    with registry(publish(built.items, built.blobs), built.blobs) as host:
        yield host


def added(served: Served, folder: Path) -> None:
    done = helm(folder, "repo", "add", "crate", f"{served.url}/helm")
    assert done.returncode == 0, done.stderr


def test_helm_finds_every_chart_in_the_repository(served: Served, tmp_path: Path) -> None:
    added(served, tmp_path)
    done = helm(tmp_path, "search", "repo", "crate/")
    assert {line.split()[0] for line in done.stdout.splitlines()[1:]} == {"crate/api", "crate/site", "crate/web"}


def test_helm_pulls_and_verifies_a_signed_chart(served: Served, tmp_path: Path) -> None:
    added(served, tmp_path)
    armor = [
        line for line in KEY.public_key().decode().splitlines() if line and line[0] not in "-=" and ":" not in line
    ]
    (tmp_path / "keys.gpg").write_bytes(base64.b64decode("".join(armor)))
    done = helm(tmp_path, "pull", "crate/web", "--verify", "--keyring", "keys.gpg")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "web-0.1.0.tgz").is_file()
    assert served.missed == []


@pytest.mark.parametrize("name", ["web", "api", "site"])
def test_helm_renders_from_the_repository(name: str, served: Served, tmp_path: Path) -> None:
    added(served, tmp_path)
    done = helm(tmp_path, "template", "demo", f"crate/{name}")
    assert done.returncode == 0, done.stderr
    assert f"demo-{name}" in done.stdout


def test_a_packed_folder_renders_with_what_it_depends_on(served: Served, tmp_path: Path) -> None:
    done = helm(tmp_path, "template", "demo", "site", "--repo", f"{served.url}/helm", "--version", "^1")
    assert "demo-web" in done.stdout, done.stderr


@pytest.mark.parametrize("name", ["web", "api", "site"])
def test_helm_pulls_and_renders_from_the_registry(name: str, host: str, tmp_path: Path) -> None:
    done = helm(tmp_path, "pull", f"oci://{host}/charts/{name}", "--plain-http")
    assert done.returncode == 0, done.stderr
    done = helm(tmp_path, "template", "demo", f"oci://{host}/charts/{name}", "--plain-http")
    assert f"demo-{name}" in done.stdout, done.stderr


def test_a_chart_of_a_registry_is_where_it_was_with_its_digest(built: Built, host: str, tmp_path: Path) -> None:
    (api,) = (item for item in built.items if item.name == "api")
    manifest = api.publish["artifact"]["manifest"]
    place = f"oci://{host}/{built.upstream}/team/api"
    for reference in (place, f"{place}@sha256:{manifest}"):
        done = helm(tmp_path, "pull", reference, "--plain-http")
        assert done.returncode == 0, done.stderr
        assert manifest in done.stdout + done.stderr


def test_helm_builds_dependencies_from_the_crate(served: Served, tmp_path: Path) -> None:
    added(served, tmp_path)
    needs = [{"name": "web", "version": "^0.1", "repository": f"{served.url}/helm"}]
    place = folder(tmp_path, "mine", "1.0.0", needs)
    done = helm(tmp_path, "dependency", "update", "mine")
    assert done.returncode == 0, done.stdout + done.stderr
    (place / "charts" / "web-0.1.0.tgz").unlink()
    done = helm(tmp_path, "dependency", "build", "mine")
    assert done.returncode == 0, done.stderr
    assert (place / "charts" / "web-0.1.0.tgz").is_file()


def test_helm_agrees_about_what_lies_in_the_crate(built: Built, tmp_path: Path) -> None:
    for item in built.items:
        packed = tmp_path / item.files[0].path
        packed.write_bytes((built.blobs.folder / item.files[0].sha256).read_bytes())
        assert helm(tmp_path, "lint", str(packed)).returncode == 0
        shown = helm(tmp_path, "show", "chart", str(packed))
        assert f"name: {item.name}" in shown.stdout
        assert f"version: {item.version}" in shown.stdout


def test_a_flipped_byte_in_a_chart_is_refused_by_helm(built: Built, tmp_path: Path) -> None:
    (api,) = (item for item in built.items if item.name == "api")
    damaged = tmp_path / "blobs"
    damaged.mkdir()
    for blob in built.blobs.folder.iterdir():
        (damaged / blob.name).symlink_to(blob)
    content = bytearray((damaged / api.files[0].sha256).read_bytes())
    content[len(content) // 2] ^= 1
    (damaged / api.files[0].sha256).unlink()
    (damaged / api.files[0].sha256).write_bytes(content)
    with crate(publish(built.items, built.blobs), Blobs(damaged)) as served:
        added(served, tmp_path)
        done = helm(tmp_path, "template", "demo", "crate/api")
    assert done.returncode != 0
    assert "demo-api" not in done.stdout


def test_the_chart_yaml_of_the_tests_is_json_that_helm_takes(tmp_path: Path) -> None:
    folder(tmp_path, "mine", "1.0.0")
    assert helm(tmp_path, "show", "chart", "mine").returncode == 0
    assert chart_yaml("mine", "1.0.0").startswith("{")

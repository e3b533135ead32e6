"""The first whole path: registry and layouts, recipe, archive on sticks, store, clients; then the next release."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.containerd import Containerd
from tests.support.images import BOTH, make_layout
from tests.support.registries import Registry
from tests.support.tools import tool
from tests.whole.programs import (
    Crate,
    Desk,
    command,
    from_layout,
    from_registry,
    podman,
    skopeo_digest,
    skopeo_pull,
    upstreams,
)

BUSYBOX = "docker.io/library/busybox:1.36"
APP = "ghcr.io/team/app:2.0"
LOCAL = "registry.example.org/team/local:1"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk.set_up(tmp_path / "desk")


@pytest.fixture
def crate(tmp_path: Path, desk: Desk) -> Crate:
    made = Crate(tmp_path / "crate")
    made.trust(desk)
    return made


def test_every_client_pulls_every_platform_from_the_crate(
    tmp_path: Path, registry: Registry, container_daemon: Containerd, desk: Desk, crate: Crate
) -> None:
    busybox = make_layout(tmp_path / "busybox", BUSYBOX)
    app = make_layout(tmp_path / "app", APP, docker=True, layers=3, common_layers=1)
    local = make_layout(tmp_path / "local", LOCAL, attestations=True)
    registry.push(busybox.layout, busybox.digest, "library/busybox", "1.36")
    registry.push(app.layout, app.digest, "team/app", "2.0")
    (desk.folder / "notes-amd64").write_text("for amd64\n")
    (desk.folder / "notes-arm64").write_text("for arm64\n")
    desk.write_recipe(
        from_registry(BUSYBOX),
        from_registry(APP),
        from_layout(local),
        '[[files]]\nname = "notes-{arch}"\npath = "notes-{arch}"',
        upstreams(registry),
    )
    parts = desk.build(tmp_path / "out", "--split", "64K")
    assert len(parts) > 3

    sticks = [tmp_path / "stick-a", tmp_path / "stick-b"]
    for number, part in enumerate(parts):
        sticks[number % 2].mkdir(exist_ok=True)
        shutil.move(part, sticks[number % 2])
    desk.bundle("verify", *sticks[::-1])
    crate.run("install", *sticks[::-1])

    images = {BUSYBOX: busybox, APP: app, LOCAL: local}
    with crate.serving() as served:
        for reference, image in images.items():
            assert skopeo_digest(served, reference) == image.digest
            for platform in BOTH:
                architecture = platform.split("/")[1]
                folder = tmp_path / "pulled" / image.folder.name / architecture
                skopeo_pull(served, reference, architecture, folder)
                pulled = (folder / "manifest.json").read_bytes()
                assert pulled == image.layout.path(image.manifests[platform]["digest"]).read_bytes()
            container_daemon.add_host(reference.split("/")[0], served.url, ca=served.ca)
            for platform in BOTH:
                container_daemon.pull(reference, platform)
        with podman() as words:
            pull = [*words, "pull", "--quiet", *served.trusting("--cert-dir")]
            command([*pull, f"docker://{served.address}/{BUSYBOX}"])
        for architecture in ("amd64", "arm64"):
            url = f"{served.url}/files/notes-{architecture}"
            assert command([tool("curl"), "-fsS", "--cacert", served.ca, url]).out == f"for {architecture}\n"
    listed = container_daemon.ctr("images", "list").stdout
    assert all(image.digest in listed for image in images.values())


def test_a_release_that_shares_most_takes_only_the_rest_and_can_be_left_again(
    tmp_path: Path, desk: Desk, crate: Crate
) -> None:
    shared = make_layout(tmp_path / "shared", "registry.example.org/team/shared:1", layers=4, layer_size=512 * 1024)
    old = make_layout(tmp_path / "old", "registry.example.org/team/moving:1", seed="old")
    new = make_layout(tmp_path / "new", "registry.example.org/team/moving:1", seed="new")

    desk.write_recipe(from_layout(shared), from_layout(old), serial=1)
    first = desk.build(tmp_path / "first")
    desk.write_recipe(from_layout(shared), from_layout(new), serial=2)
    second = desk.build(tmp_path / "second")

    crate.run("install", *first)
    before = sum(blocks for _, blocks in crate.contents().values()) * 512
    crate.run("install", *second)
    after = sum(blocks for _, blocks in crate.contents().values()) * 512
    assert after - before < second[0].stat().st_size / 5

    with crate.serving() as served:
        assert skopeo_digest(served, new.reference) == new.digest
        crate.run("rollback")
        assert skopeo_digest(served, old.reference) == old.digest
        assert skopeo_digest(served, shared.reference) == shared.digest
        crate.run("install", *second)
        assert skopeo_digest(served, new.reference) == new.digest
        crate.run("gc", "--keep", "1")
        for image in (shared, new):
            skopeo_pull(served, image.reference, "arm64", tmp_path / f"pulled-{image.folder.name}")
    collected = sum(blocks for name, (_, blocks) in crate.contents().items() if name.startswith("packs/")) * 512
    assert collected < after - 64 * 1024


def test_a_pushed_image_stays_when_releases_come_and_go(tmp_path: Path, desk: Desk, crate: Crate) -> None:
    image = make_layout(tmp_path / "image", LOCAL)
    mine = make_layout(tmp_path / "mine", "mine:1", ["linux/amd64"])
    desk.write_recipe(from_layout(image))
    crate.run("install", *desk.build(tmp_path / "out"))
    token = crate.run("tokens", "create", "--role", "publisher").out.split()[-1]
    with crate.serving() as served:
        copy = [tool("skopeo"), "copy", "--quiet", "--all", *served.trusting("--dest-cert-dir")]
        source = f"oci:{mine.folder}:mine:1"
        target = f"docker://{served.address}/people/mine:1"
        command([*copy, source, target], expect=1)
        command([*copy, "--dest-creds", f"somebody:{token}", source, target])
        crate.run("gc")
        skopeo_pull(served, "people/mine:1", "amd64", tmp_path / "pulled")
        taken = f"docker://{served.address}/{LOCAL}"
        command([*copy, "--dest-creds", f"somebody:{token}", source, taken], expect=1)
        assert skopeo_digest(served, LOCAL) == image.digest


def test_a_private_registry_gives_images_with_what_is_attached_and_keeps_its_secrets(
    tmp_path: Path, tls_registry: Registry, desk: Desk, crate: Crate
) -> None:
    host = "harbor.example.org"
    image = make_layout(tmp_path / "image", f"{host}/team/app:1", referrers=["application/spdx+json"])
    tls_registry.push(image.layout, image.digest, "team/app", "1")
    (artifact,) = image.referrers
    tls_registry.push(image.layout, artifact["digest"], "team/app")
    # docker-registry 2.8 has no referrers API: clients keep an index under the subject's digest as a tag
    listing = image.layout.index([artifact])
    tls_registry.push(image.layout, listing["digest"], "team/app", image.digest.replace(":", "-"))
    desk.write_recipe(
        from_registry(image.reference, referrers="true"),
        f'[upstreams]\n"{host}" = {{ url = "{tls_registry.url}", ca = "{tls_registry.ca}" }}',
    )
    refused = command(desk.build_words(tmp_path / "out"), desk.environment, expect=1)
    assert "log in" in refused.err
    login = Path(desk.environment["DOCKER_CONFIG"])
    login.mkdir(parents=True)
    (login / "config.json").write_text(
        json.dumps({"auths": {tls_registry.address: {"auth": tls_registry.credentials}}})
    )
    (archive,) = desk.build(tmp_path / "out")
    for secret in (tls_registry.credentials, tls_registry.password):
        assert secret.encode() not in archive.read_bytes()
        assert secret not in desk.lock.read_text()

    crate.run("install", archive)
    with crate.serving() as served:
        url = f"{served.url}/v2/{host}/team/app/referrers/{image.digest}"
        found = json.loads(command([tool("curl"), "-fsS", "--cacert", served.ca, url]).out)
        assert [entry["digest"] for entry in found["manifests"]] == [artifact["digest"]]
        skopeo_pull(served, f"{host}/team/app@{artifact['digest']}", "amd64", tmp_path / "pulled")


def test_status_and_inspect_tell_a_script_what_is_there(tmp_path: Path, desk: Desk, crate: Crate) -> None:
    image = make_layout(tmp_path / "image", LOCAL)
    desk.write_recipe(from_layout(image), serial=7)
    parts = desk.build(tmp_path / "out", "--split", "64K")
    inspected = json.loads(desk.bundle("inspect", tmp_path / "out", "--json").out)
    assert LOCAL.removesuffix(":1") in json.dumps(inspected)
    crate.run("install", *parts)
    status = crate.run("status", "--json").out
    assert json.loads(status)
    assert '"site"' in status
    assert "7" in status


def test_other_peoples_tools_open_a_finished_crate(tmp_path: Path, container_daemon: Containerd, desk: Desk) -> None:
    one = make_layout(tmp_path / "one", "docker.io/library/one:1")
    two = make_layout(tmp_path / "two", "docker.io/library/two:1")
    desk.write_recipe(from_layout(one), from_layout(two))
    (archive,) = desk.build(tmp_path / "out")
    raw = command([tool("skopeo"), "inspect", "--raw", f"oci-archive:{archive}:{two.reference}"]).out
    assert json.loads(raw) == json.loads(two.layout.path(two.digest).read_text())
    container_daemon.ctr("images", "import", "--no-unpack", "--all-platforms", archive)
    listed = container_daemon.ctr("images", "list").stdout
    assert one.reference in listed
    assert two.reference in listed
    with podman() as words:
        command([*words, "pull", "--quiet", f"oci-archive:{archive}:{one.reference}"])


def test_the_same_lock_makes_the_same_archive(tmp_path: Path, desk: Desk) -> None:
    image = make_layout(tmp_path / "image", LOCAL, layers=3)
    desk.write_recipe(from_layout(image))
    (first,) = desk.build(tmp_path / "first")
    shutil.rmtree(desk.folder / "cache")
    (second,) = desk.build(tmp_path / "second", "--locked")
    split = desk.build(tmp_path / "split", "--locked", "--split", "64K")
    assert first.read_bytes() == second.read_bytes()
    assert b"".join(part.read_bytes() for part in split) == first.read_bytes()

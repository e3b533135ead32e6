"""Profiles in a recipe: what they bring along, and the images of charts, which helm alone can tell."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from bundler import inspection
from manifests.profiles import OWN
from tests.bundler.workshop import Workshop
from tests.mirror.helm.binary import helm_binary
from tests.mirror.helm.charts import Made, repository
from tests.mirror.helm.charts import folder as chart_folder
from tests.support.images import make_layout
from tests.support.registries import Registry
from tests.support.tools import tool

HEAD = '[crate]\nname = "lab"\nserial = 7\nplatforms = ["linux/amd64"]\n'
DEMO = ("web", "postgres")
TOML = """\
[profile]
name = "mine"
about = "one pod"
namespaces = ["mine"]
[[images]]
ref = "registry.example.org/mine:1"
layout = "image"
"""
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: app, namespace: mine}
spec: {containers: [{name: app, image: "registry.example.org/mine:1"}]}
"""
APP, INIT = "registry.example.org/app:1", "registry.example.org/init:1"
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec:
  template:
    spec:
      initContainers: [{name: first, image: "registry.example.org/init:1"}]
      containers: [{name: app, image: "{{ .Values.image }}"}]
"""


def workshop(folder: Path, recipe: str) -> Workshop:
    """With images for the demo beside the recipe, in place of those that a registry would have."""
    made = Workshop.make(folder, recipe)
    for name in DEMO:
        make_layout(folder / name, f"ghcr.io/buzzcrate/demo-{name}:1.0", ["linux/amd64"])
    return made


def own_images() -> str:
    return "".join(f'[[images]]\nlayout = "{name}"\nname = "ghcr.io/buzzcrate/demo-{name}:1.0"\n' for name in DEMO)


def mine(folder: Path) -> None:
    """A profile of one's own, with its image beside it."""
    make_layout(folder / "mine" / "image", "registry.example.org/mine:1", ["linux/amd64"])
    (folder / "mine" / "profile.toml").write_text(TOML)
    (folder / "mine" / "pod.yaml").write_text(POD)


def kinds(made: Workshop) -> set[str]:
    return {f"{item['kind']} {item['name']}" for item in made.lock["items"]}


def test_a_profile_brings_exactly_what_it_names_and_itself(tmp_path: Path) -> None:
    made = workshop(tmp_path, f'{HEAD}profiles = ["demo", "./mine"]\n{own_images()}')
    mine(tmp_path)
    made.succeed("lock")
    assert kinds(made) == {
        "image ghcr.io/buzzcrate/demo-web",
        "image ghcr.io/buzzcrate/demo-postgres",
        "image registry.example.org/mine",
        "profile demo",
        "profile mine",
    }
    carried = {item["name"]: item for item in made.lock["items"] if item["kind"] == "profile"}
    assert carried["mine"]["origin"] == "file:mine"
    for name, folder in {"demo": OWN / "demo", "mine": tmp_path / "mine"}.items():
        assert {file["path"]: file["sha256"] for file in carried[name]["files"]} == {
            f"profiles/{name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.iterdir()
            if path.suffix in {".toml", ".yaml"}
        }
    crate = made.crate(made.build())
    assert "profile" in inspection.inspect([crate]).kinds
    with tarfile.open(crate) as archive:
        blob = archive.extractfile(f"blobs/sha256/{hashlib.sha256(POD.encode()).hexdigest()}")
        assert blob is not None
        assert blob.read() == POD.encode()


def test_a_profile_of_this_program_is_packed_where_the_cache_has_lost_it(tmp_path: Path) -> None:
    made = workshop(tmp_path, f'{HEAD}profiles = ["demo"]\n{own_images()}')
    made.succeed("lock")
    [profile] = [item for item in made.lock["items"] if item["kind"] == "profile"]
    for file in profile["files"]:
        (made.cache / "blobs" / "sha256" / file["sha256"][:2] / file["sha256"]).unlink(missing_ok=True)
        for found in made.cache.rglob(file["sha256"]):
            found.unlink()
    assert made.build("--locked")


def test_a_profile_that_changed_since_the_lock_is_not_packed(tmp_path: Path) -> None:
    made = workshop(tmp_path, f'{HEAD}profiles = ["./mine"]\n')
    mine(tmp_path)
    made.succeed("lock")
    (tmp_path / "mine" / "pod.yaml").write_text(POD.replace("name: app", "name: appl"))
    made.keygen()
    done = made.run("build", "--key", "release.key", "--out", "out", "--locked")
    assert done.returncode == 1
    assert "mine/pod.yaml is not what was locked" in done.stderr
    made.succeed("lock", "--update", "mine")
    assert made.build("--locked")


def test_an_image_that_no_registry_has_is_told_with_the_profile_and_the_way_out(
    tmp_path: Path, registry: Registry
) -> None:
    made = workshop(tmp_path, f'{HEAD}profiles = ["demo"]\n[upstreams]\n"ghcr.io" = "{registry.url}"\n')
    done = made.run("lock")
    assert done.returncode == 1
    assert "the profile demo: " in done.stderr
    assert 'layout = … and name = "ghcr.io/buzzcrate/demo-' in done.stderr


WRONG = {
    "a name that is nearly right": ('["metalb"]', ":5: no profile is called metalb", "did you mean metallb?"),
    "a folder that is not there": ('["./nothing"]', "nothing is not a folder", "a folder with a profile.toml"),
    "one profile twice": ('["demo", "demo"]', ":5: the profile demo is there twice", "remove one"),
    "a folder that is no profile": ('["./web"]', "web is no profile: it has no profile.toml", "docs/profiles.md"),
    "packages that nothing brings": ('["./wants"]', "the profile wants needs nfs-common on every node", "[[apt]]"),
}


@pytest.mark.parametrize(("profiles", "what", "hint"), WRONG.values(), ids=WRONG)
def test_a_profile_that_cannot_be_meant_is_named_with_its_line(
    profiles: str, what: str, hint: str, tmp_path: Path
) -> None:
    made = workshop(tmp_path, f"{HEAD}profiles = {profiles}\n{own_images()}")
    (tmp_path / "wants").mkdir()
    (tmp_path / "wants" / "profile.toml").write_text(
        '[profile]\nname = "wants"\nabout = "a package"\npackages = ["nfs-common"]\n'
    )
    done = made.run("lock")
    assert done.returncode == 2, done.stderr
    assert what in done.stderr
    assert hint in done.stderr


@pytest.fixture
def path() -> str:
    """A PATH with helm on it."""
    return os.pathsep.join([str(helm_binary().parent), os.environ["PATH"]])


def charted(folder: Path, more: str = "", images: str = "") -> Workshop:
    """A recipe with one chart that runs two images, of which `images` (TOML) may bring some."""
    made = Workshop.make(folder, f'{HEAD}\n[[charts]]\npath = "chart"\n{more}\n{images}')
    chart = chart_folder(folder, "chart", "1.0.0")
    (chart / "templates" / "app.yaml").write_text(DEPLOYMENT)
    (chart / "values.yaml").write_text(f'image: "{APP}"\n')
    (folder / "other.yaml").write_text('image: "registry.example.org/other:1"\n')
    make_layout(folder / "image", "made-up", ["linux/amd64"])
    return made


def local(reference: str) -> str:
    return f'[[images]]\nlayout = "image"\nname = "{reference}"\n'


def test_a_chart_whose_images_are_all_there_is_taken(tmp_path: Path, path: str) -> None:
    made = charted(tmp_path, images=local(APP) + local(INIT))
    made.succeed("lock", PATH=path)
    assert kinds(made) >= {"chart chart", "image registry.example.org/app", "image registry.example.org/init"}


def test_an_image_that_a_chart_runs_and_the_recipe_lacks_fails_the_lock(tmp_path: Path, path: str) -> None:
    made = charted(tmp_path, images=local(APP))
    done = made.run("lock", PATH=path)
    assert done.returncode == 1
    assert f"the chart chart runs images that the recipe lacks: {INIT}" in done.stderr
    assert 'images = "add"' in done.stderr
    assert not (tmp_path / "bundle.lock").exists()


def test_values_decide_what_a_chart_runs(tmp_path: Path, path: str) -> None:
    made = charted(tmp_path, 'values = ["other.yaml"]', local(APP) + local(INIT))
    done = made.run("lock", PATH=path)
    assert "lacks: registry.example.org/other:1" in done.stderr


def test_nobody_looks_where_it_is_told_not_to_and_says_so_where_it_cannot(tmp_path: Path, path: str) -> None:
    charted(tmp_path / "ignored", 'images = "ignore"').succeed("lock", PATH=path)
    done = charted(tmp_path / "without").run("lock")
    assert done.returncode == 0
    assert "no helm on this machine, so its images were not looked for" in done.stderr


def test_a_chart_that_helm_cannot_render_is_told(tmp_path: Path, path: str) -> None:
    made = charted(tmp_path)
    (tmp_path / "chart" / "templates" / "app.yaml").write_text('{{ required "name the database" .Values.database }}')
    done = made.run("lock", PATH=path)
    assert done.returncode == 2
    assert "helm cannot render it, so its images are unknown" in done.stderr
    assert "name the database" in done.stderr
    assert 'values = ["values.yaml"]' in done.stderr


def test_the_images_of_a_chart_are_added_where_that_is_asked_for(tmp_path: Path, path: str, registry: Registry) -> None:
    for number, reference in enumerate((APP, INIT)):
        image = make_layout(tmp_path / f"pushed-{number}", reference, ["linux/amd64"])
        name = reference.removeprefix("registry.example.org/")
        words = ("copy", "--quiet", "--dest-tls-verify=false", f"oci:{image.folder}:{reference}")
        subprocess.run([tool("skopeo"), *words, f"docker://{registry.address}/{name}"], check=True)
    upstreams = f'[upstreams]\n"registry.example.org" = "http://{registry.address}"\n'
    made = charted(tmp_path / "work", 'images = "add"', upstreams)
    made.succeed("lock", PATH=path)
    assert kinds(made) == {"chart chart", "image registry.example.org/app", "image registry.example.org/init"}
    done = charted(tmp_path / "without", 'images = "add"', upstreams).run("lock")
    assert done.returncode == 1
    assert "only helm can tell its images" in done.stderr


def test_the_images_of_a_profiles_chart_are_looked_for_too(tmp_path: Path, path: str) -> None:
    chart = chart_folder(tmp_path, "chart", "1.0.0")
    (chart / "templates" / "app.yaml").write_text(DEPLOYMENT)
    packed = Made("chart", "1.0.0", pack(tmp_path / "chart"))
    with repository(packed) as url:
        made = Workshop.make(tmp_path, f'{HEAD}profiles = ["./charted"]\n{local(INIT)}')
        make_layout(tmp_path / "image", "made-up", ["linux/amd64"])
        (tmp_path / "charted").mkdir()
        (tmp_path / "charted" / "values.yaml").write_text(f'image: "{APP}"\n')
        (tmp_path / "charted" / "profile.toml").write_text(
            '[profile]\nname = "charted"\nabout = "a chart"\n[[charts]]\nname = "chart"\nversion = "1.0.0"\n'
            f'namespace = "charted"\nvalues = "values.yaml"\nrepository = "{url}"\n'
        )
        done = made.run("lock", PATH=path)
        assert f"the chart chart runs images that the recipe lacks: {APP}" in done.stderr
        made.write(f'{HEAD}profiles = ["./charted"]\n{local(INIT)}{local(APP)}')
        made.succeed("lock", PATH=path)
    assert "chart chart" in kinds(made)


def pack(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(folder, arcname=folder.name)
    return buffer.getvalue()

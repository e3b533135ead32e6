"""The demo's images: made of Debian packages alone, the same bytes each time, and doing their work under podman."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.application.images import POSTGRES, WEB, build, cached
from manifests.profiles import find
from tests.support.tools import root, tool

# Container hosts in CI may not raise limits, and podman asks for more than there is.
_LIMITS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", "--cgroup-manager=cgroupfs")


@pytest.fixture(scope="module")
def images() -> dict[str, Path]:
    """The layout of each, for both architectures."""
    return {made.reference: made.folder for made in asyncio.run(cached())}


def test_they_are_the_images_that_the_profile_names_for_both_architectures(images: dict[str, Path]) -> None:
    assert set(images) == {image.ref for image in find("demo").images}
    for folder in images.values():
        layout = json.loads((folder / "index.json").read_bytes())
        index = json.loads(_blob(folder, layout["manifests"][0]["digest"]))
        assert [member["platform"]["architecture"] for member in index["manifests"]] == ["amd64", "arm64"]


def test_both_share_a_layer_and_are_small(images: dict[str, Path]) -> None:
    def layers(reference: str, place: int) -> dict[str, int]:
        folder = images[reference]
        layout = json.loads((folder / "index.json").read_bytes())
        index = json.loads(_blob(folder, layout["manifests"][0]["digest"]))
        manifest = json.loads(_blob(folder, index["manifests"][place]["digest"]))
        return {layer["digest"]: layer["size"] for layer in manifest["layers"]}

    for place in (0, 1):
        web, postgres = layers(WEB, place), layers(POSTGRES, place)
        assert len(web.keys() & postgres.keys()) == 1
        assert sum(web.values()) < 32 << 20
        assert sum(postgres.values()) < 56 << 20


def test_the_programs_inside_are_of_the_architecture(images: dict[str, Path]) -> None:
    """ELF's e_machine: 0x3e is x86-64, 0xb7 is AArch64."""
    folder = images[POSTGRES]
    index = json.loads(_blob(folder, json.loads((folder / "index.json").read_bytes())["manifests"][0]["digest"]))
    found = {}
    for member in index["manifests"]:
        layer = json.loads(_blob(folder, member["digest"]))["layers"][1]["digest"]
        with tarfile.open(folder / "blobs" / layer.replace(":", "/")) as archive:
            program = next(it for it in archive if it.name.endswith("/bin/postgres"))
            content = archive.extractfile(program)
            assert content is not None
            found[member["platform"]["architecture"]] = content.read(20)[18]
            assert program.mode == 0o755
    assert found == {"amd64": 0x3E, "arm64": 0xB7}


@pytest.mark.long
def test_the_same_packages_are_the_same_bytes(images: dict[str, Path], tmp_path: Path) -> None:
    asyncio.run(build(tmp_path))
    for made in images.values():
        assert (tmp_path / made.name / "index.json").read_bytes() == (made / "index.json").read_bytes()


@dataclass(frozen=True)
class Pod:
    """Both containers in one network of their own, as the cluster runs them: no rights, nothing to write to."""

    folder: Path
    short: Path

    def podman(self, *words: str | Path) -> str:
        folders = ("--root", self.folder / "root", "--runroot", self.short, "--storage-driver", "vfs")
        command = [tool("podman"), *folders, _LIMITS[2], *words]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def start(self, name: str, layout: Path, reference: str, *options: str) -> None:
        image = f"localhost/{name}:1"
        store = f"containers-storage:[vfs@{self.folder}/root+{self.short}]{image}"
        subprocess.run([tool("skopeo"), "copy", "--quiet", f"oci:{layout}:{reference}", store], check=True)
        secret = f"{self.folder}/secret:/etc/demo:ro"
        rights = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--tmpfs=/tmp", *_LIMITS[:2])
        self.podman("run", "--detach", "--name", name, *rights, "--volume", secret, *options, image)

    def ask(self, path: str, *options: str) -> str:
        """What curl gets from the application, in its network."""
        pid = self.podman("inspect", "--format", "{{.State.Pid}}", "web")
        inside = [tool("nsenter"), "--target", pid, "--net", tool("curl"), "-sS", "--max-time", "10", *options]
        done = subprocess.run([*inside, f"http://127.0.0.1:8000{path}"], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def wait(self, path: str, text: str) -> None:
        end = time.monotonic() + 90
        while text not in (said := self.ask(path)):
            assert time.monotonic() < end, said
            time.sleep(0.2)


@pytest.fixture
def pod(tmp_path: Path, images: dict[str, Path]) -> Iterator[Pod]:
    root("podman sets up networks and read-only roots")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "password").write_text("123e45 with ' quotes")
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o1777)
    with tempfile.TemporaryDirectory(prefix="podman-", dir="/tmp") as short:  # podman wants a short name
        pod = Pod(tmp_path, Path(short))
        try:
            # a volume, which outlives the container
            data = f"--volume={tmp_path}/data:/var/lib/postgresql"
            pod.start("postgres", images[POSTGRES], POSTGRES, "--network=none", data)
            environment = ("--env=DATABASE_HOST=127.0.0.1", "--env=DATABASE_PASSWORD_FILE=/etc/demo/password")
            pod.start("web", images[WEB], WEB, "--network=container:postgres", *environment)
            yield pod
        finally:
            for name in ("web", "postgres"):
                pod.podman("rm", "--force", "--ignore", "--time", "0", name)


def test_the_guest_book_writes_to_postgres_and_reads_from_it(pod: Pod) -> None:
    pod.wait("/ready", '"ready":true')
    assert "Visits kept in Postgres: 1." in pod.ask("/")
    assert "303" in pod.ask("/", "--include", "--data-urlencode", "note=<b>hello & goodbye</b>").splitlines()[0]
    page = pod.ask("/")
    assert "Visits kept in Postgres: 2." in page
    assert "<li>&lt;b&gt;hello &amp; goodbye&lt;/b&gt;</li>" in page

    pod.podman("kill", "postgres")
    # the page says so and is up again by itself when the database is
    assert "the database does not answer" in pod.ask("/")
    assert '"alive":true' in pod.ask("/alive")


def test_a_first_start_that_was_cut_short_begins_again(pod: Pod) -> None:
    pod.wait("/ready", '"ready":true')
    pod.podman("kill", "postgres")
    data = pod.folder / "data"
    (data / "data").rename(data / "data.new")
    (data / "data.new" / "PG_VERSION").unlink()
    pod.podman("start", "postgres")
    end = time.monotonic() + 90
    while not (data / "data" / "PG_VERSION").exists():
        assert time.monotonic() < end
        time.sleep(0.2)
    pod.podman("exec", "postgres", "sh", "-c", "until pg_isready --host 127.0.0.1 --quiet; do :; done")
    assert not (data / "data.new").exists()


def _blob(folder: Path, digest: str) -> bytes:
    return (folder / "blobs" / digest.replace(":", "/")).read_bytes()

"""Real packages from this machine's own index, installed by real clients from what the crate publishes alone."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mirror.ecosystem import Resolution
from mirror.pypi.publish import publish
from mirror.pypi.resolve import resolve
from mirror.pypi.section import PypiSection
from mirror.pypi.uv import program
from tests.mirror.serve import Blobs, Served, crate
from tests.mirror.transport import AMD64, ARM64, context

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
PIP = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-cache-dir", "-q"]
WANTED = ("aiohttp", "pyinfra")


@dataclass(frozen=True)
class Built:
    resolution: Resolution
    blobs: Blobs


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    base = tmp_path_factory.mktemp("real")
    section = PypiSection(requirements=WANTED, python=tuple(sorted({"3.11", "3.13", HERE})))

    async def run() -> Resolution:
        async with context(base / "blobs", base, AMD64, ARM64) as given:
            return await resolve(section, given)

    return Built(asyncio.run(run()), Blobs(base / "blobs"))


@pytest.fixture
def served(built: Built) -> Iterator[Served]:
    with crate(publish(built.resolution.items, built.blobs), built.blobs) as served:
        yield served


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Without this machine's own pip and uv settings, which name other places to install from."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    environment |= {"UV_CACHE_DIR": str(cwd / "uv-cache"), "UV_NO_CONFIG": "1", "PIP_CONFIG_FILE": os.devnull}
    environment |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240, check=False)


def check_imports(target: Path) -> None:
    code = "import aiohttp, pyinfra, gevent, cryptography; print(aiohttp.__file__)"
    done = run(sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(target)!r}); {code}", cwd=target)
    assert done.returncode == 0, done.stderr
    assert str(target) in done.stdout


def check_from_the_crate_alone(done: subprocess.CompletedProcess[str], served: Served) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    assert served.missed == []
    assert any(target.endswith(".metadata") for target in served.answered)


def test_pip_installs_from_the_crate_alone(served: Served, tmp_path: Path) -> None:
    done = run(
        *PIP,
        "install",
        "--no-compile",
        "--index-url",
        f"{served.url}/pypi/simple/",
        "--target",
        "t",
        *WANTED,
        cwd=tmp_path,
    )
    check_from_the_crate_alone(done, served)
    check_imports(tmp_path / "t")


def test_uv_installs_from_the_crate_alone(served: Served, tmp_path: Path) -> None:
    index = ["--default-index", f"{served.url}/pypi/simple/"]
    done = run(program(), "pip", "install", *index, "--python", sys.executable, "--target", "t", *WANTED, cwd=tmp_path)
    check_from_the_crate_alone(done, served)
    check_imports(tmp_path / "t")


def test_pip_installs_with_hashes_that_upstream_promised(built: Built, served: Served, tmp_path: Path) -> None:
    pins: dict[str, set[str]] = {}
    for item in built.resolution.items:
        pins.setdefault(f"{item.name}=={item.version}", set()).update(file.sha256 for file in item.files)
    lines = [" ".join([pin, *(f"--hash=sha256:{digest}" for digest in found)]) for pin, found in pins.items()]
    (tmp_path / "pinned.txt").write_text("\n".join(lines))
    index = ["--index-url", f"{served.url}/pypi/simple/", "--require-hashes"]
    done = run(*PIP, "install", "--no-compile", *index, "--target", "t", "-r", "pinned.txt", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    check_imports(tmp_path / "t")


@pytest.mark.parametrize("python", ["3.11", "3.13"])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_pip_downloads_for_any_promised_machine(machine: str, python: str, served: Served, tmp_path: Path) -> None:
    levels = [f"--platform=manylinux_2_{minor}_{machine}" for minor in (17, 24, 26, 27, 28, 31)]
    target = ["--only-binary=:all:", *levels, "--platform", f"manylinux2014_{machine}", "--python-version", python]
    done = run(*PIP, "download", "--index-url", f"{served.url}/pypi/simple/", *target, *WANTED, cwd=tmp_path)
    check_from_the_crate_alone(done, served)
    assert list(tmp_path.glob(f"aiohttp-*-cp{python.replace('.', '')}-*_{machine}.whl"))


def test_uv_locks_for_every_platform_from_the_crate_alone(served: Served, tmp_path: Path) -> None:
    for machine in ("x86_64", "aarch64"):
        (tmp_path / "wanted.in").write_text("\n".join(WANTED))
        target = ["--python-platform", f"{machine}-manylinux_2_31", "--python-version", "3.13", "--only-binary=:all:"]
        index = ["--default-index", f"{served.url}/pypi/simple/"]
        done = run(program(), "pip", "compile", "wanted.in", "--python", sys.executable, *target, *index, cwd=tmp_path)
        check_from_the_crate_alone(done, served)


def test_a_flipped_byte_in_a_wheel_is_refused_by_pip(built: Built, tmp_path: Path) -> None:
    damaged = tmp_path / "blobs"
    damaged.mkdir()
    for blob in built.blobs.folder.iterdir():
        (damaged / blob.name).symlink_to(blob)
    (idna,) = (item for item in built.resolution.items if item.name == "idna")
    wheel = damaged / idna.files[0].sha256
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 1
    wheel.unlink()
    wheel.write_bytes(content)
    published = list(publish(built.resolution.items, built.blobs))
    with crate(published, Blobs(damaged)) as served:
        index = ["--index-url", f"{served.url}/pypi/simple/"]
        done = run(*PIP, "install", "--no-compile", *index, "--target", "t", "idna", cwd=tmp_path)
    assert done.returncode != 0
    assert "HASHES" in done.stderr.upper()


def test_pip_builds_a_source_distribution_with_what_the_crate_brings(tmp_path: Path) -> None:
    """Docopt has no wheel, and no word on what builds it: setuptools must come along all the same."""

    async def resolved() -> Resolution:
        async with context(tmp_path / "blobs", tmp_path, AMD64) as given:
            return await resolve(PypiSection(requirements=("docopt==0.6.2",), python=(HERE,), sdists=True), given)

    resolution, blobs = asyncio.run(resolved()), Blobs(tmp_path / "blobs")
    assert resolution.why["setuptools"][0].startswith("building docopt 0.6.2")
    with crate(publish(resolution.items, blobs), blobs) as served:
        done = run(
            *PIP, "install", "--index-url", f"{served.url}/pypi/simple/", "--target", "t", "docopt", cwd=tmp_path
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert served.missed == []
    assert (tmp_path / "t" / "docopt.py").is_file()


def test_what_was_asked_is_told_with_its_cost(built: Built) -> None:
    costs = {asked.what: asked for asked in built.resolution.asked}
    assert set(costs) == set(WANTED)
    assert "yarl" in costs["aiohttp"].pulled_in
    assert built.resolution.why["idna"][0] in WANTED
    assert all(costs[name].size > 1 << 20 for name in WANTED)

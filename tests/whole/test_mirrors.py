"""Packages of this machine's own indexes, through a crate, into clients that reach nothing but the crate."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.mirror.apt.archives import build_deb
from tests.mirror.apt.nodes import PORT, Node
from tests.mirror.helm.binary import helm
from tests.mirror.helm.charts import folder as chart_folder
from tests.support.ports import LOOPBACK
from tests.support.tools import tool
from tests.whole.programs import APPLIANCE, Crate, Desk, Served, command

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
STORAGE = "nfs-common open-iscsi chrony wireguard-tools"
PYTHON = ("aiohttp", "pyinfra")
PROJECT = {"name": "app", "version": "1.0.0", "private": True}
UPDATE = "apt-get -q update -o APT::Update::Error-Mode=any"
INSTALL = "apt-get -q -y install --no-install-recommends"
RECIPE = f"""
[[apt]]
name = "debian"
suites = ["bookworm", "bookworm-updates", "bookworm-security"]
packages = {json.dumps(STORAGE.split())}

[[pypi]]
requirements = {json.dumps(PYTHON)}
python = {json.dumps(sorted({"3.11", "3.13", HERE}))}

[[npm]]
locks = ["package-lock.json"]

[[charts]]
path = "web"
"""


@dataclass(frozen=True)
class Built:
    """A crate, and the store that it was installed in. `folder` is where it was built."""

    folder: Path
    stick: Path
    crate: Crate


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    base = tmp_path_factory.mktemp("mirrors")
    desk = Desk.set_up(base / "desk")
    (desk.folder / "package.json").write_text(json.dumps(PROJECT))
    options = ["--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"]
    wanted = ["esbuild", "@babel/code-frame@^7"]
    subprocess.run([tool("npm"), "install", *options, *wanted], cwd=desk.folder, check=True, capture_output=True)
    chart_folder(desk.folder, "web", "1.0.0")
    desk.write_recipe(RECIPE)
    (stick,) = desk.build(base / "stick")
    crate = Crate(base / "root")
    crate.trust(desk)
    crate.run("install", stick)
    return Built(desk.folder, stick, crate)


@pytest.fixture(scope="module")
def served(built: Built) -> Iterator[Served]:
    # a copy, because nodes run a daemon of their own over the store, in a network without ours
    copy = Crate(Path(shutil.copytree(built.crate.root, built.crate.root.with_name("served"))))
    with copy.serving() as running:
        yield running


def setup(crate: Crate, client: str, served: Served) -> dict[str, str]:
    """What `client-setup` has the client write, with the test's copy of the authority in its place."""
    told = crate.run("client-setup", client, "--address", served.address, "--plain", served.plain, "--json").out
    written: dict[str, str] = json.loads(told)
    return {path: text.replace("/etc/buzzcrate/ca.pem", str(served.ca)) for path, text in written.items()}


def run(folder: Path, *words: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Without any of this machine's own settings, which name other places to install from."""
    foreign = ("pip_", "uv_", "npm_", "ssl_", "requests_ca_", "curl_ca_", "node_extra_ca_")
    environment = {name: value for name, value in os.environ.items() if not name.lower().startswith(foreign)}
    environment |= {"HOME": str(folder), "UV_CACHE_DIR": str(folder / "uv-cache"), "PIP_NO_CACHE_DIR": "1"}
    return subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env={**environment, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_RETRIES": "0", **settings},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def worked(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


# apt


def node(folder: Path, crate: Crate, suite: str = "bookworm", clock: str = "") -> Node:
    """A node that has the crate's daemon on its loopback, and did what `client-setup apt` says."""
    addresses = ["--listen", f"{LOOPBACK}:{PORT + 1}", "--plain", f"{LOOPBACK}:{PORT}"]
    daemon = shlex.join([APPLIANCE, "--root", str(crate.root), "serve", *addresses])
    made = Node(folder / "node", suite, crate.root, clock, daemon)
    script = crate.run("client-setup", "apt", "--plain", f"{LOOPBACK}:{PORT}").out
    worked(made.run(script))
    return made


def test_a_node_without_a_network_installs_from_the_crate(built: Built, tmp_path: Path) -> None:
    there = node(tmp_path, built.crate)
    done = worked(there.run(f"{UPDATE} && {INSTALL} {STORAGE} && wg --version && apt-get -s dist-upgrade"))
    assert "wireguard-tools v" in done
    assert "0 upgraded, 0 newly installed, 0 to remove" in done


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_a_node_whose_clock_starts_in_1971_believes_the_crate(built: Built, tmp_path: Path, suite: str) -> None:
    there = node(tmp_path, built.crate, suite, "1971-01-01 00:00:00")
    done = worked(there.run(f"date +%Y && {UPDATE} && apt-cache policy wireguard-tools"))
    assert done.startswith("1971")
    assert f"http://{LOOPBACK}:{PORT}/apt/debian" in done


def small(folder: Path, version: str, serial: int) -> tuple[Crate, Path]:
    """A store, and a stick for it with two packages that dpkg-deb just built."""
    desk = Desk.set_up(folder / f"desk{serial}") if serial == 1 else Desk(folder / "desk1", _environment(folder))
    debs = desk.folder / f"debs{serial}"
    debs.mkdir()
    for control in (f"mine {version}; Depends: yours", "yours 1 [all]"):
        build_deb(debs, control)
    desk.write_recipe(f'[[apt]]\nname = "tests"\nsuites = ["bookworm"]\ndebs = ["debs{serial}/*.deb"]', serial=serial)
    (stick,) = desk.build(folder / f"stick{serial}")
    crate = Crate(folder / "root")
    if serial == 1:
        crate.trust(desk)
    return crate, stick


def _environment(folder: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(folder / "desk1/cache"), "XDG_CONFIG_HOME": str(folder / "desk1/config")}


def test_clients_follow_an_update_and_a_rollback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1793491200")
    crate, stick = small(tmp_path, "1.0", 1)
    crate.run("install", stick)
    there = node(tmp_path, crate)
    offered = f"{UPDATE} && apt-cache policy mine | grep Candidate"
    assert "Candidate: 1.0" in worked(there.run(offered))
    crate.run("install", small(tmp_path, "2.0", 2)[1])
    assert "Candidate: 2.0" in worked(there.run(offered))
    crate.run("rollback")
    assert "Candidate: 1.0" in worked(there.run(offered))
    assert "1.0" in worked(there.run(f"{INSTALL} mine && cat /usr/share/buzzcrate-tests/mine"))


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def blob(root: Path, pattern: str) -> tuple[Path, int, int]:
    """Where the blob lies that is served at a path: its file, offset and size."""
    with sqlite3.connect(root / "crate.db") as database:
        pack, offset, size = database.execute(
            "SELECT packs.digest, offset, blobs.size FROM published_files JOIN blobs USING (digest)"
            " JOIN packs ON packs.id = pack WHERE path GLOB ? ORDER BY blobs.size LIMIT 1",
            (pattern,),
        ).fetchone()
    return root / f"packs/{pack}.crate", offset, size


def damage_document(root: Path, pattern: str) -> None:
    with sqlite3.connect(root / "crate.db") as database:
        rows = database.execute(
            "SELECT DISTINCT id, body FROM documents JOIN published_files USING (digest) WHERE path GLOB ?", (pattern,)
        ).fetchall()
        assert rows
        for number, body in rows:
            middle = len(body) // 2
            changed = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
            database.execute("UPDATE documents SET body = ? WHERE id = ?", (changed, number))


def damage_blob(root: Path, pattern: str) -> None:
    path, offset, size = blob(root, pattern)
    flip(path, offset + size // 2)


FLIPPED: dict[str, tuple[Callable[[Path, str], None], str, str]] = {
    "in a package": (damage_blob, "apt/tests/pool/*.deb", "Hash Sum mismatch"),
    "in an index": (damage_document, "apt/tests/dists/*/Packages*", "Hash Sum mismatch"),
    "in the signed text": (damage_document, "apt/tests/dists/*/InRelease", "is not signed"),
}


@pytest.mark.parametrize(("spoil", "pattern", "words"), FLIPPED.values(), ids=FLIPPED)
def test_apt_refuses_a_flipped_byte(
    tmp_path: Path, spoil: Callable[[Path, str], None], pattern: str, words: str
) -> None:
    crate, stick = small(tmp_path, "1.0", 1)
    crate.run("install", stick)
    there = node(tmp_path, crate)
    spoil(crate.root, pattern)
    done = there.run(f"{UPDATE} && {INSTALL} mine")
    assert done.returncode
    assert words in done.stdout + done.stderr


@pytest.mark.parametrize("pattern", ["apt/*.deb", "pypi/files/*.whl", "npm/*.tgz", "helm/*.tgz"])
def test_the_import_refuses_a_flipped_byte_in_a_package(built: Built, tmp_path: Path, pattern: str) -> None:
    """A pack is the archive, so a blob lies at the same place in both."""
    _, offset, size = blob(built.crate.root, pattern)
    worn = tmp_path / built.stick.name
    shutil.copyfile(built.stick, worn)
    flip(worn, offset + size // 2)
    other = Crate(tmp_path / "root")
    other.run("trust", "add", built.folder / "release.key.pub", "--as", "release")
    refused = other.run("install", worn, expect=1)
    assert f"at byte {offset}" in refused.err or built.stick.name in refused.err
    assert json.loads(other.run("status", "--json").out)["generation"] is None


# Python


def pip(served: Served, built: Built, folder: Path) -> dict[str, str]:
    """Pip's settings, as `client-setup pip` has them."""
    (folder / "pip.conf").write_text(setup(built.crate, "pip", served)["/etc/pip.conf"])
    return {"PIP_CONFIG_FILE": str(folder / "pip.conf")}


def imports(folder: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(folder / 't')!r}); import aiohttp, pyinfra; print(aiohttp.__file__)"
    assert str(folder / "t") in worked(run(folder, sys.executable, "-I", "-c", code))


def pinned(built: Built) -> str:
    """Every distribution by the digests that upstream's index promised."""
    lock = json.loads(command([tool("tar"), "--occurrence=1", "-xOf", built.stick, "crate.json"]).out)
    catalogue = command([tool("tar"), "-xOf", built.stick, f"blobs/sha256/{lock['catalogue']['sha256']}"]).out
    pins: dict[str, set[str]] = {}
    for line in catalogue.splitlines()[1:]:
        item = json.loads(line)
        if item["kind"] == "pypi":
            pins.setdefault(f"{item['name']}=={item['version']}", set()).update(
                file["sha256"] for file in item["files"]
            )
    return "\n".join(" ".join([pin, *(f"--hash=sha256:{one}" for one in sorted(pins[pin]))]) for pin in sorted(pins))


INSTALLERS: dict[str, tuple[str, ...]] = {
    "pip by name": ("-m", "pip", "install", "-q", "--no-compile", "--target", "t", *PYTHON),
    "pip by hash": ("-m", "pip", "install", "-q", "--no-compile", "--target", "t", "--require-hashes", "-r", "pins"),
}


@pytest.mark.parametrize("words", INSTALLERS.values(), ids=INSTALLERS)
def test_pip_installs(built: Built, served: Served, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "pins").write_text(pinned(built))
    worked(run(tmp_path, sys.executable, *words, **pip(served, built, tmp_path)))
    imports(tmp_path)


@pytest.mark.parametrize("by", ["name", "hash"])
def test_uv_installs(built: Built, served: Served, tmp_path: Path, by: str) -> None:
    (tmp_path / "pins").write_text(pinned(built))
    (tmp_path / "uv.toml").write_text(setup(built.crate, "uv", served)["/etc/uv/uv.toml"])
    what = PYTHON if by == "name" else ("--require-hashes", "-r", "pins")
    # the system's certificates, which client-setup adds the authority to
    settings = {"UV_CONFIG_FILE": str(tmp_path / "uv.toml"), "SSL_CERT_FILE": str(served.ca)}
    uv = Path(sys.executable).with_name("uv")
    worked(run(tmp_path, uv, "pip", "install", "--python", sys.executable, "--target", "t", *what, **settings))
    imports(tmp_path)


@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_pip_downloads_for_the_other_machine(built: Built, served: Served, tmp_path: Path, python: str) -> None:
    levels = [f"--platform=manylinux_2_{minor}_aarch64" for minor in (17, 24, 26, 27, 28, 31)]
    target = ["--only-binary=:all:", *levels, "--platform=manylinux2014_aarch64", "--python-version", python]
    words = ["-m", "pip", "download", "-q", *target, *PYTHON]
    worked(run(tmp_path, sys.executable, *words, **pip(served, built, tmp_path)))
    assert list(tmp_path.glob(f"aiohttp-*-cp{python.replace('.', '')}-*_aarch64.whl"))


# Node.js


def npm(served: Served, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    settings = {
        "npm_config_userconfig": os.devnull,
        "npm_config_globalconfig": str(folder / "npmrc"),
        "npm_config_cache": str(folder / "cache"),
        "npm_config_fetch_retries": "0",
    }
    return run(folder, tool("npm"), *words, **settings)


def project(built: Built, served: Served, folder: Path, *, locked: bool) -> None:
    """A project whose npm was told by `client-setup npm` where the crate is."""
    (folder / "package.json").write_text(json.dumps(PROJECT))
    if locked:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(built.folder / name, folder / name)
    script = built.crate.run("client-setup", "npm", "--address", served.address).out
    line = next(line for line in script.splitlines() if line.startswith("npm config set"))
    words = shlex.split(line.replace("/etc/buzzcrate/ca.pem", str(served.ca)))
    worked(npm(served, folder, *words[1:]))


def bundles(folder: Path) -> bool:
    (folder / "x.json").write_text('"from the crate"')
    program = folder / "node_modules/.bin/esbuild"
    source = "import x from './x.json'; console.log(x)"
    done = subprocess.run([program, "--bundle"], input=source, cwd=folder, capture_output=True, text=True, check=False)
    return "from the crate" in done.stdout


def test_npm_ci_with_an_upstream_lock(built: Built, served: Served, tmp_path: Path) -> None:
    project(built, served, tmp_path, locked=True)
    worked(npm(served, tmp_path, "ci"))
    assert bundles(tmp_path)
    assert (tmp_path / "node_modules/@babel/code-frame/package.json").is_file()


def test_npm_ci_for_the_other_machine(built: Built, served: Served, tmp_path: Path) -> None:
    project(built, served, tmp_path, locked=True)
    worked(npm(served, tmp_path, "ci", "--ignore-scripts", "--cpu=arm64", "--os=linux"))
    assert {path.name for path in (tmp_path / "node_modules/@esbuild").iterdir()} == {"linux-arm64"}


def test_npm_install_by_name(built: Built, served: Served, tmp_path: Path) -> None:
    project(built, served, tmp_path, locked=False)
    worked(npm(served, tmp_path, "install", "esbuild", "@babel/code-frame"))
    assert bundles(tmp_path)


# Helm


def test_helm_takes_charts_from_the_repository(served: Served, tmp_path: Path) -> None:
    trust = ["--ca-file", str(served.ca)]
    worked(helm(tmp_path, "repo", "add", "crate", f"{served.url}/helm", *trust))
    worked(helm(tmp_path, "pull", "crate/web", *trust))
    assert (tmp_path / "web-1.0.0.tgz").is_file()
    assert "demo-web" in worked(helm(tmp_path, "template", "demo", "crate/web", *trust))


def test_helm_takes_charts_from_the_registry(served: Served, tmp_path: Path) -> None:
    trust = ["--ca-file", str(served.ca)]
    place = f"oci://{served.address}/charts/web"
    worked(helm(tmp_path, "pull", place, *trust))
    assert (tmp_path / "web-1.0.0.tgz").is_file()
    assert "demo-web" in worked(helm(tmp_path, "template", "demo", place, "--version", "^1", *trust))


# What clients check themselves


def test_clients_refuse_a_flipped_byte(built: Built, tmp_path: Path) -> None:
    """A wheel, a tarball and a chart that went bad in the store."""
    worn = Crate(Path(shutil.copytree(built.crate.root, tmp_path / "root")))
    for pattern in ("pypi/files/idna/*.whl", "npm/js-tokens/-/*.tgz", "helm/charts/*.tgz"):
        damage_blob(worn.root, pattern)
    told: Mapping[str, subprocess.CompletedProcess[str]]
    with worn.serving() as served:
        for name in ("pip", "npm", "helm"):
            (tmp_path / name).mkdir()
        project(built, served, tmp_path / "npm", locked=True)
        settings = pip(served, built, tmp_path / "pip")
        # over HTTP, helm does not look at the digest that the index names
        chart = [f"oci://{served.address}/charts/web", "--ca-file", str(served.ca)]
        told = {
            "HASHES": run(tmp_path / "pip", sys.executable, "-m", "pip", "install", "--target=t", "idna", **settings),
            "seems to be corrupted": npm(served, tmp_path / "npm", "ci", "--ignore-scripts"),
            "mismatch": helm(tmp_path / "helm", "template", "demo", *chart),
        }
    for words, done in told.items():
        assert done.returncode, words
        assert words in done.stdout + done.stderr

"""What real clients ask for when something is missing: what is written down of it, and what is only noise."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.access import Role
from appliance.installing import install
from appliance.requests import FLUSH, Requests
from appliance.store import Store
from tests.appliance import worlds
from tests.appliance.daemon import serving
from tests.appliance.daemon.serving import Crate
from tests.mirror.helm.binary import helm
from tests.support.containerd import Containerd
from tests.support.crates import Key
from tests.support.images import make_layout
from tests.support.stores import trusting
from tests.support.tools import tool
from tests.whole.programs import command, podman

Noted = set[tuple[str, str]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Path:
    """`mine` 1.0.0, which needs `yours` 1.0.0, in every ecosystem."""
    folder = tmp_path_factory.mktemp("requests")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UV_CACHE_DIR", str(folder / "uv-cache"))
        made = worlds.maker(folder)
    with trusting(folder / "root", key) as there:
        install(there, made.write(folder / "site.crate", [key]))
    return folder / "root"


@pytest.fixture(scope="module")
def served(store: Path) -> Iterator[Crate]:
    with serving.crate(store, tls=True) as running:
        yield running


@pytest.fixture
def crate(served: Crate) -> Crate:
    """Nothing was asked of it yet."""
    forget(served.root)
    return served


@pytest.fixture
def own(store: Path, tmp_path: Path) -> Path:
    """A copy of the store, for a daemon of the test's own."""
    root = Path(shutil.copytree(store, tmp_path / "root"))
    forget(root)
    return root


def forget(root: Path) -> None:
    with Store.open(root) as opened:
        Requests(opened.database).clear()


def noted(crate: Crate, *, token: str = "") -> Noted:
    """All that is written down; a last request of ours shows when everything before it is."""
    crate.request("GET", "/files/last", token=token)
    deadline = time.monotonic() + 10 * FLUSH
    with Store.open(crate.root) as opened:
        while time.monotonic() < deadline:
            found = {request.key for request in Requests(opened.database).all()}
            if ("file", "last") in found:
                return found - {("file", "last")}
            time.sleep(0.05)
    raise AssertionError("the daemon writes nothing down")


def run(folder: Path, *words: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """A client, without any of this machine's own settings, which name other places to ask."""
    foreign = ("pip_", "uv_", "npm_", "ssl_", "requests_ca_", "curl_ca_", "node_extra_ca_", "apt_")
    environment = {name: value for name, value in os.environ.items() if not name.lower().startswith(foreign)}
    environment |= {"HOME": str(folder), "UV_CACHE_DIR": str(folder / "uv-cache"), **settings}
    return subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def ca(crate: Crate) -> str:
    assert crate.ca is not None
    return str(crate.ca)


# Each of these does its work with a real client, and checks that the client met what it should.
Client = Callable[[Crate, Path], None]


def pip(crate: Crate, folder: Path, *wanted: str, works: bool) -> None:
    settings = {"PIP_INDEX_URL": f"{crate.url}/pypi/simple/", "PIP_CERT": ca(crate), "PIP_CONFIG_FILE": os.devnull}
    words = ["-m", "pip", "install", "--target", "t", "--no-cache-dir", *wanted]
    done = run(folder, sys.executable, *words, **settings)
    assert (done.returncode == 0) is works, done.stderr


def uv(crate: Crate, folder: Path, *wanted: str, works: bool) -> None:
    settings = {"UV_DEFAULT_INDEX": f"{crate.url}/pypi/simple/", "SSL_CERT_FILE": ca(crate), "UV_NO_CONFIG": "1"}
    words = ["pip", "install", "--python", sys.executable, "--target", "t", *wanted]
    done = run(folder, Path(sys.executable).with_name("uv"), *words, **settings)
    assert (done.returncode == 0) is works, done.stderr


def npm(crate: Crate, folder: Path, *words: str, works: bool) -> None:
    (folder / "package.json").write_text('{"name": "app", "version": "1.0.0"}')
    settings = {
        "npm_config_registry": f"{crate.url}/npm/",
        "npm_config_cafile": ca(crate),
        "npm_config_userconfig": os.devnull,
        "npm_config_cache": str(folder / "cache"),
        "npm_config_fetch_retries": "0",
        "npm_config_update_notifier": "true",
    }
    done = run(folder, tool("npm"), *words, **settings)
    assert (done.returncode == 0) is works, done.stderr


def apt(crate: Crate, folder: Path, *, suite: str, works: bool) -> None:
    """Update and install, with folders of its own; other languages than English, so that translations are wanted."""
    for name in (
        "etc/apt.conf.d",
        "etc/preferences.d",
        "etc/trusted.gpg.d",
        "state/lists/partial",
        "cache/archives/partial",
    ):
        (folder / name).mkdir(parents=True)
    (folder / "state/status").touch()
    plain = f"127.0.0.1:{crate.plain}"
    told = crate.request("GET", "/apt/tests.sources", headers={"Host": plain}, token="", port=crate.plain).body.decode()
    (folder / "etc/crate.sources").write_text(told.replace("Suites: stable", f"Suites: {suite}"))
    (folder / "apt.conf").write_text(
        f'Dir::Etc "{folder}/etc"; Dir::State "{folder}/state"; Dir::State::status "{folder}/state/status";\n'
        f'Dir::Cache "{folder}/cache"; Dir::Etc::sourcelist "{folder}/etc/crate.sources";\n'
        f'Dir::Etc::sourceparts "-"; Acquire::Languages {{ "de"; "en"; }}; APT::Sandbox::User "root";\n'
    )
    settings = {"APT_CONFIG": str(folder / "apt.conf")}
    updated = run(folder, tool("apt-get"), "update", "-o", "APT::Update::Error-Mode=any", **settings)
    assert (updated.returncode == 0) is works, updated.stderr
    if works:
        fetched = run(folder, tool("apt-get"), "download", "mine", **settings)
        assert fetched.returncode == 0, fetched.stderr
        shutil.rmtree(folder / "state/lists")


def charts(crate: Crate, folder: Path, *words: str, works: bool) -> None:
    done = helm(folder, *words, "--ca-file", ca(crate))
    assert (done.returncode == 0) is works, done.stderr


def skopeo(crate: Crate, folder: Path, reference: str) -> None:
    assert crate.ca is not None
    certificates = folder / "certs"
    certificates.mkdir()
    shutil.copy(crate.ca, certificates / "ca.crt")
    words = ["inspect", "--cert-dir", str(certificates), f"docker://{crate.address}/{reference}"]
    assert run(folder, tool("skopeo"), *words).returncode != 0


def skopeo_pushes(crate: Crate, folder: Path) -> None:
    """A push asks for every blob and for the tag before it sends them."""
    made = serving.make_token(crate.root, Role.PUBLISHER)
    (folder / "certs").mkdir()
    shutil.copy(ca(crate), folder / "certs/ca.crt")
    image = make_layout(folder / "image", "team/pushed:1")
    words = ["copy", "--all", "--dest-cert-dir", str(folder / "certs"), "--dest-creds", f"x:{made}"]
    place = f"docker://{crate.address}/team/pushed:1"
    done = run(folder, tool("skopeo"), *words, f"oci:{image.folder}:team/pushed:1", place)
    assert done.returncode == 0, done.stderr


def browser(crate: Crate, folder: Path) -> None:
    for path in ("/favicon.ico", "/apple-touch-icon.png", "/robots.txt", "/.well-known/security.txt", "/index.php"):
        assert crate.request("GET", path, token="").status == 404


def curl(crate: Crate, folder: Path) -> None:
    for path in ("/files/tool/arm64/absent", "/debian/dists/stable/InRelease"):
        words = ["-fsS", "--cacert", ca(crate), f"{crate.url}{path}"]
        assert run(folder, tool("curl"), *words).returncode == 22


CLIENTS: dict[str, tuple[Client, Noted]] = {
    "pip installs what is there, and looks for a newer pip": (lambda c, f: pip(c, f, "mine", works=True), set()),
    "pip misses a package": (lambda c, f: pip(c, f, "Flask_Login", works=False), {("pypi", "flask-login")}),
    "uv installs what is there": (lambda c, f: uv(c, f, "mine", works=True), set()),
    "uv misses a package": (lambda c, f: uv(c, f, "mine", "flask", works=False), {("pypi", "flask")}),
    "npm installs what is there, audits it and looks for a newer npm": (
        lambda c, f: npm(c, f, "install", "mine", works=True),
        set(),
    ),
    "npm misses a package": (lambda c, f: npm(c, f, "install", "left-pad", works=False), {("npm", "left-pad")}),
    "npm misses one of a scope": (
        lambda c, f: npm(c, f, "install", "@babel/core@7", works=False),
        {("npm", "@babel/core")},
    ),
    "npm views and searches": (lambda c, f: npm(c, f, "search", "left", works=False), set()),
    "apt installs what is there": (lambda c, f: apt(c, f, suite="stable", works=True), set()),
    "apt misses a suite": (lambda c, f: apt(c, f, suite="trixie", works=False), {("suite", "tests/trixie")}),
    "helm misses a chart of the repository, and asks nobody": (
        lambda c, f: charts(c, f, "pull", "absent", "--repo", f"{c.url}/helm", works=False),
        set(),
    ),
    "helm takes a chart of the registry": (
        lambda c, f: charts(c, f, "pull", f"oci://{c.address}/charts/mine", works=True),
        set(),
    ),
    "helm misses a chart of the registry": (
        lambda c, f: charts(c, f, "pull", f"oci://{c.address}/charts/podinfo", works=False),
        {("chart", "podinfo")},
    ),
    "helm misses a version": (
        lambda c, f: charts(c, f, "pull", f"oci://{c.address}/charts/mine", "--version", "9.0.0", works=False),
        {("chart", "mine 9.0.0")},
    ),
    "skopeo misses an image": (
        lambda c, f: skopeo(c, f, "ghcr.io/team/app:2"),
        {("image", "ghcr.io/team/app:2")},
    ),
    "skopeo misses an image of Docker Hub": (
        lambda c, f: skopeo(c, f, "library/nginx"),
        {("image", "docker.io/library/nginx:latest")},
    ),
    "skopeo pushes": (skopeo_pushes, set()),
    "a browser looks around": (browser, set()),
    "curl misses a file, and asks at a place of its own": (
        curl,
        {("file", "tool/arm64/absent"), ("path", "debian/dists/stable/InRelease")},
    ),
}


@pytest.mark.parametrize(("client", "expected"), CLIENTS.values(), ids=CLIENTS)
def test_what_a_client_misses_is_written_down(crate: Crate, tmp_path: Path, client: Client, expected: Noted) -> None:
    client(crate, tmp_path)
    assert noted(crate) == expected


def test_containerd_and_podman_miss_images(crate: Crate, tmp_path: Path, container_daemon: Containerd) -> None:
    container_daemon.add_host("registry.k8s.io", crate.url, ca=crate.ca)
    done = container_daemon.ctr(
        "images", "pull", "--hosts-dir", container_daemon.hosts, "registry.k8s.io/pause:3.10", check=False
    )
    assert done.returncode != 0
    (tmp_path / "certs").mkdir()
    shutil.copy(ca(crate), tmp_path / "certs/ca.crt")
    with podman() as program:
        certificates = ["--cert-dir", str(tmp_path / "certs")]
        command([*program, "pull", *certificates, f"{crate.address}/quay.io/team/tool:1"], expect=125)
    assert noted(crate) == {("image", "registry.k8s.io/pause:3.10"), ("image", "quay.io/team/tool:1")}


def test_the_list_says_how_often_by_whom_and_what_to_add(crate: Crate) -> None:
    for _ in range(3):
        crate.request("GET", "/v2/library/nginx/manifests/1.27?ns=docker.io", token="")
    noted(crate)
    words = [*serving.PROGRAM, "--root", str(crate.root), "requests"]
    listed = subprocess.run([*words, "list", "--json"], capture_output=True, text=True, check=True).stdout
    (found,) = (it for it in json.loads(listed) if it["name"] != "last")
    assert (found["count"], found["asked_by"], found["met"]) == (3, ["127.0.0.1"], False)
    assert found["recipe"] == '[[images]] ref = "docker.io/library/nginx:1.27"'
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    for part in ("docker.io/library/nginx:1.27", "3x", "127.0.0.1", "[[images]]"):
        assert part in shown
    assert "docker.io/library/nginx:1.27" in serving.log_of(crate.root).read_text()


def test_whoever_may_not_read_leaves_no_request(own: Path) -> None:
    with serving.crate(own, "--private") as private:
        assert private.request("GET", "/pypi/simple/secret/", token="").status == 401
        assert private.request("GET", "/v2/team/secret/manifests/1", token="").status == 401
        assert private.request("GET", "/pypi/simple/wanted/").status == 404
        assert noted(private, token=private.token) == {("pypi", "wanted")}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["told to end", "killed"])
def test_an_end_of_the_daemon_loses_no_more_than_seconds(own: Path, number: int) -> None:
    with serving.crate(own) as running:
        running.request("GET", "/files/early", token="")
        noted(running)
        running.request("GET", "/files/late", token="")
        os.kill(running.pid, number)
        time.sleep(1.0)
        with Store.open(own) as opened:
            found = {request.name for request in Requests(opened.database).all()} - {"last"}
    assert found == ({"early", "late"} if number == signal.SIGTERM else {"early"})

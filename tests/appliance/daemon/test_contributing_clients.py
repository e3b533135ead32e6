"""People publish with the tools that they have, over TLS, and everybody installs it the next moment."""

from __future__ import annotations

import base64
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.access import Rights, Role
from appliance.installing import install
from appliance.users import Users
from mirror.pypi.uv import program as uv
from tests.appliance import worlds
from tests.appliance.daemon import serving
from tests.appliance.daemon.serving import Crate
from tests.mirror.apt.archives import build_deb
from tests.mirror.helm.binary import helm
from tests.mirror.helm.charts import Made as Chart
from tests.mirror.helm.charts import chart
from tests.mirror.npm.registry import package
from tests.mirror.pypi.index import Made as Distribution
from tests.mirror.pypi.index import sdist, wheel
from tests.support.crates import Key
from tests.support.stores import trusting
from tests.support.tools import tool

PASSWORDS = {"ann": "anns four words here", "bob": "bob has four words", "gus": "gus reads all day", "": ""}
"""Ann publishes what is hers, bob what is his, gus nothing."""


@dataclass(frozen=True)
class Site:
    """A crate that brings `mine` and `yours` 1.0.0 of every ecosystem."""

    crate: Crate

    @property
    def ca(self) -> Path:
        assert self.crate.ca is not None
        return self.crate.ca

    def url(self, path: str) -> str:
        return f"{self.crate.url}/{path}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("contributing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UV_CACHE_DIR", str(folder / "uv-cache"))
        made = worlds.maker(folder)
    made.file("tool/notes", b"notes")
    with trusting(folder / "root", key) as store:
        install(store, made.write(folder / "site.crate", [key]))
        users = Users(store.database)
        names = ("pypi/anns", "pypi/mine", "npm/@anns/*", "npm/anns", "npm/mine", "charts/anns", "charts/mine")
        users.add("ann", PASSWORDS["ann"], Role.PUBLISHER, Rights(publish=names))
        users.add("bob", PASSWORDS["bob"], Role.PUBLISHER, Rights(publish=("pypi/bobs", "npm/bobs", "charts/bobs")))
        users.add("gus", PASSWORDS["gus"], Role.READER)
    with serving.crate(folder / "root", tls=True) as running:
        yield Site(running)


def run(folder: Path, *command: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Without this machine's own settings of pip, uv, npm and twine, which name other places."""
    own = ("pip_", "uv_", "npm_", "twine_", "ssl_cert", "requests_ca", "curl_ca", "node_extra")
    environment = {name: value for name, value in os.environ.items() if not name.lower().startswith(own)}
    environment |= {"PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1", "UV_CACHE_DIR": str(folder / "uv-cache")}
    environment |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "COLUMNS": "400", "HOME": str(folder), **more}
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


Upload = Callable[..., subprocess.CompletedProcess[str]]


def written(folder: Path, made: Distribution) -> Path:
    (folder / made.file).write_bytes(made.content)
    return folder / made.file


def twine(site: Site, folder: Path, who: str, *files: Path) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [sys.executable, "-m", "twine", "upload", "--repository-url", site.url("pypi/")]
    command += ["--non-interactive", "--disable-progress-bar", "--config-file", os.devnull, "--cert", site.ca]
    return run(folder, *command, "--username", who, "--password", PASSWORDS[who], *files)


def uv_publish(site: Site, folder: Path, who: str, *files: Path) -> subprocess.CompletedProcess[str]:
    command = [str(uv()), "publish", "--publish-url", site.url("pypi/legacy/"), "--trusted-publishing", "never"]
    command += ["--username", who, "--password", PASSWORDS[who]]
    return run(folder, *command, *files, SSL_CERT_FILE=str(site.ca))


def npm(site: Site, folder: Path, who: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """As somebody whose credentials npm keeps in its own way."""
    secret = base64.b64encode(f"{who}:{PASSWORDS[who]}".encode()).decode()
    kept = f"//{site.crate.address}/npm/:_auth={secret}\n" if who else ""
    (folder / ".npmrc").write_text(kept)
    options = ["--registry", site.url("npm/"), "--cafile", str(site.ca), "--no-audit", "--no-fund", "--fetch-retries=0"]
    own = {"npm_config_userconfig": str(folder / ".npmrc"), "npm_config_cache": str(folder / "npm-cache")}
    return run(folder, tool("npm"), *words, *options, "--no-update-notifier", **own)


def node_project(folder: Path, name: str, version: str, **more: object) -> Path:
    place = folder / f"{name.rpartition('/')[2]}-{version}"
    place.mkdir()
    (place / "package.json").write_text(json.dumps({"name": name, "version": version, **more}))
    (place / "index.js").write_text(f"module.exports = '{version}'\n")
    return place


def curl(site: Site, folder: Path, who: str, *words: str | Path) -> tuple[int, str]:
    """Status and body."""
    credentials = ["--user", f"{who}:{PASSWORDS[who]}"] if who else []
    done = run(folder, tool("curl"), "-s", "--cacert", site.ca, "-w", "\n%{http_code}", *credentials, *words)
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def push_chart(site: Site, folder: Path, who: str, file: Path) -> tuple[int, str]:
    """What the plugin cm-push sends."""
    return curl(site, folder, who, "-F", f"chart=@{file}", site.url("helm/api/charts"))


@pytest.mark.parametrize(("upload", "version"), [(twine, "1.1"), (uv_publish, "1.2")], ids=["twine", "uv"])
def test_a_wheel_and_an_sdist_are_uploaded_and_installed(
    site: Site, tmp_path: Path, upload: Upload, version: str
) -> None:
    files = [written(tmp_path, wheel("anns", version, ["yours"])), written(tmp_path, sdist("anns", version))]
    for _ in range(2):
        done = upload(site, tmp_path, "ann", *files)
        assert done.returncode == 0, done.stdout + done.stderr
    target = tmp_path / "pip"
    done = run(
        tmp_path,
        *(sys.executable, "-m", "pip", "install", "-q", "--no-cache-dir", "--target", target, "--cert", site.ca),
        *("--index-url", site.url("pypi/simple/"), f"anns=={version}"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (target / "anns.py").read_text() == f"VERSION = '{version}'\n"
    assert (target / "yours.py").exists(), "what it requires came with the crate"
    done = run(
        tmp_path,
        *(uv(), "pip", "install", "-q", "--target", tmp_path / "uv", "--index-url", site.url("pypi/simple/")),
        f"anns=={version}",
        SSL_CERT_FILE=str(site.ca),
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "uv/anns.py").exists()
    listed = json.loads(
        site.crate.request(
            "GET", "/pypi/simple/anns/", headers={"Accept": "application/vnd.pypi.simple.v1+json"}, token=""
        ).body
    )
    assert {file["filename"] for file in listed["files"]} >= {file.name for file in files}


REFUSED_UPLOADS: Mapping[str, tuple[str, Distribution, str]] = {
    "nobody": ("", wheel("anns", "2.0"), "401"),
    "a reader": ("gus", wheel("anns", "2.0"), "403"),
    "somebody else's project": ("bob", wheel("anns", "2.0"), "403"),
    "a version that a crate brings": ("ann", wheel("mine", "1.0.0"), "came with the crate site 1"),
    "another file of the same name": ("ann", wheel("anns", "1.9", ["other"]), "another anns-1.9-py3-none-any.whl"),
    "a wheel that says it is another": ("ann", wheel("anns", "2.0", says="bobs"), "says that it is 'bobs'"),
}


@pytest.mark.parametrize(("who", "made", "told"), REFUSED_UPLOADS.values(), ids=REFUSED_UPLOADS)
def test_twine_is_refused_in_words(site: Site, tmp_path: Path, who: str, made: Distribution, told: str) -> None:
    (tmp_path / "first").mkdir()
    known = twine(site, tmp_path, "ann", written(tmp_path / "first", wheel("anns", "1.9")))
    assert known.returncode == 0, known.stdout
    before = site.crate.request("GET", f"/pypi/simple/{made.project}/", token="").body
    if who:
        done = twine(site, tmp_path, who, written(tmp_path, made))
        assert done.returncode == 1
        assert told in done.stdout + done.stderr
    else:
        status, _ = curl(site, tmp_path, "", "-F", f"content=@{written(tmp_path, made)}", site.url("pypi/"))
        assert str(status) == told
    assert site.crate.request("GET", f"/pypi/simple/{made.project}/", token="").body == before


@pytest.mark.parametrize("name", ["anns", "@anns/tool"])
def test_npm_publishes_and_installs(site: Site, tmp_path: Path, name: str) -> None:
    place = node_project(tmp_path, name, "1.0.0", bin="index.js", dependencies={"@team/yours": "*"})
    done = npm(site, tmp_path, "ann", "publish", place)
    assert done.returncode == 0, done.stderr
    app = tmp_path / "app"
    app.mkdir()
    (app / "package.json").write_text(json.dumps({"name": "app", "version": "1.0.0", "private": True}))
    done = npm(site, app, "", "install", name)
    assert done.returncode == 0, done.stderr
    assert (app / f"node_modules/{name}/index.js").exists()
    assert (app / "node_modules/@team/yours/package.json").exists()
    again = npm(site, tmp_path, "ann", "publish", place)
    assert again.returncode != 0, "npm itself looks first, and knows that this version is there"


def test_npm_tags_what_it_is_told_to(site: Site, tmp_path: Path) -> None:
    for version, tag in (("3.0.0", "latest"), ("4.0.0-rc.1", "next")):
        place = node_project(tmp_path, "@anns/tagged", version)
        done = npm(site, tmp_path, "ann", "publish", "--tag", tag, place)
        assert done.returncode == 0, done.stderr
    done = npm(site, tmp_path, "", "view", "@anns/tagged", "dist-tags", "--json")
    assert json.loads(done.stdout) == {"latest": "3.0.0", "next": "4.0.0-rc.1"}


REFUSED_PACKAGES = {
    "nobody": ("", "need auth"),
    "a reader": ("gus", "gus reads here, and may not publish"),
    "somebody else's scope": ("bob", "bob may not publish npm/@anns/other"),
}


@pytest.mark.parametrize(("who", "told"), REFUSED_PACKAGES.values(), ids=REFUSED_PACKAGES)
def test_npm_is_refused_in_words(site: Site, tmp_path: Path, who: str, told: str) -> None:
    done = npm(site, tmp_path, who, "publish", node_project(tmp_path, "@anns/other", "1.0.0"))
    assert done.returncode != 0
    assert told in done.stderr
    assert site.crate.request("GET", "/npm/@anns/other", token="").status == 404


def test_a_package_that_a_crate_brings_is_the_crates(site: Site) -> None:
    """The client looks first and does not even try; others might."""
    made = package("mine", "1.0.0", description="not the crate's")
    data = base64.b64encode(made.tarball).decode()
    document = {"name": "mine", "versions": {"1.0.0": {}}, "_attachments": {"mine-1.0.0.tgz": {"data": data}}}
    secret = base64.b64encode(f"ann:{PASSWORDS['ann']}".encode()).decode()
    headers = {"Authorization": f"Basic {secret}", "Content-Type": "application/json"}
    before = site.crate.request("GET", "/npm/mine", token="").body
    body = json.dumps(document, separators=(",", ":")).encode()
    answer = site.crate.request("PUT", "/npm/mine", body, headers)
    assert answer.status == 409
    assert b"npm mine 1.0.0 came with the crate site 1" in answer.body
    assert site.crate.request("GET", "/npm/mine", token="").body == before


def npm_login(site: Site, folder: Path, name: str, password: str) -> str:
    """The settings that npm wrote, after asking somebody at a terminal."""
    settings = folder / ".npmrc"
    environment = {key: value for key, value in os.environ.items() if not key.lower().startswith("npm_")}
    environment |= {"npm_config_userconfig": str(settings), "npm_config_cache": str(folder / "npm-cache")}
    ours, theirs = pty.openpty()
    command = [tool("npm"), "login", "--auth-type=legacy", "--registry", site.url("npm/"), "--cafile", str(site.ca)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=folder) as process:
        os.close(theirs)
        said = b""
        for question, reply in ((b"Username:", name), (b"Password:", password)):
            while question not in said:
                said += os.read(ours, 1000)
            os.write(ours, f"{reply}\n".encode())
        with suppress(OSError):  # how a terminal ends
            while os.read(ours, 1000):
                pass
        process.wait(60)
    os.close(ours)
    return settings.read_text() if settings.exists() else ""


def test_npm_logs_in_publishes_with_what_it_was_given_and_says_who(site: Site, tmp_path: Path) -> None:
    kept = npm_login(site, tmp_path, "ann", PASSWORDS["ann"])
    assert "_authToken=" in kept
    assert PASSWORDS["ann"] not in kept
    place = node_project(tmp_path, "@anns/by-token", "1.0.0")
    for words in (["whoami"], ["publish", place]):
        (tmp_path / "kept").write_text(kept)
        options = ["--registry", site.url("npm/"), "--cafile", str(site.ca), "--no-update-notifier"]
        done = run(tmp_path, tool("npm"), *words, *options, npm_config_userconfig=str(tmp_path / "kept"))
        assert done.returncode == 0, done.stderr
        assert "ann" in done.stdout
    assert npm(site, tmp_path, "", "whoami").returncode != 0


def test_npm_does_not_log_in_with_another_password(site: Site, tmp_path: Path) -> None:
    assert "_authToken" not in npm_login(site, tmp_path, "gus", "is it this one?")


def test_a_chart_is_pushed_and_pulled(site: Site, tmp_path: Path) -> None:
    made = chart("anns", "1.0.0")
    (tmp_path / made.file).write_bytes(made.content)
    for _ in range(2):
        assert push_chart(site, tmp_path, "ann", tmp_path / made.file) == (201, '{"saved": true}')
    sources = (["anns", "--repo", site.url("helm")], [f"oci://{site.crate.address}/charts/anns"])
    for number, source in enumerate(sources):
        (tmp_path / str(number)).mkdir()
        done = helm(tmp_path, "pull", *source, "--ca-file", str(site.ca), "-d", str(number))
        assert done.returncode == 0, done.stderr
        assert (tmp_path / str(number) / made.file).read_bytes() == made.content


def test_helm_pushes_to_a_repository_of_the_registry(site: Site, tmp_path: Path) -> None:
    """And not to one of those that are made from the charts in the index, which would then disagree."""
    made = chart("pushed", "1.0.0")
    (tmp_path / made.file).write_bytes(made.content)
    options = ["--ca-file", str(site.ca), "--username", "token", "--password", site.crate.token]
    done = helm(tmp_path, "push", made.file, f"oci://{site.crate.address}/team-a", *options)
    assert done.returncode == 0, done.stderr
    (tmp_path / "pulled").mkdir()
    source = f"oci://{site.crate.address}/team-a/pushed"
    done = helm(tmp_path, "pull", source, "--ca-file", str(site.ca), "-d", "pulled")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "pulled" / made.file).read_bytes() == made.content
    other = chart("mine", "3.0.0")
    (tmp_path / other.file).write_bytes(other.content)
    done = helm(tmp_path, "push", other.file, f"oci://{site.crate.address}/charts", *options)
    assert done.returncode != 0
    assert "charts/mine is made from charts that are published as files" in done.stderr


REFUSED_CHARTS: dict[str, tuple[str, Chart, int, str]] = {
    "nobody": ("", chart("anns", "2.0.0"), 401, "publisher's name and password"),
    "a reader": ("gus", chart("anns", "2.0.0"), 403, "gus"),
    "somebody else's chart": ("bob", chart("anns", "2.0.0"), 403, "bob may not publish charts/anns"),
    "one that a crate brings": ("ann", chart("mine", "1.0.0", description="other"), 409, "came with the crate site 1"),
    "one that lacks what it needs": ("ann", chart("anns", "2.0.0", lacks="base"), 400, "helm dependency update"),
}


@pytest.mark.parametrize("case", REFUSED_CHARTS.values(), ids=REFUSED_CHARTS)
def test_a_chart_is_refused_in_words(site: Site, tmp_path: Path, case: tuple[str, Chart, int, str]) -> None:
    who, made, status, told = case
    (tmp_path / made.file).write_bytes(made.content)
    found = push_chart(site, tmp_path, who, tmp_path / made.file)
    assert found[0] == status, found
    assert told in found[1]


def apt(site: Site, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """An apt of its own in `folder`, that knows the crate's repositories alone."""
    for name in ("state/lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    for name in ("tests", "local"):
        found = site.crate.request("GET", f"/apt/{name}.sources", token="")
        if found.status == 200:
            (folder / f"{name}.sources").write_bytes(found.body)
    options = {
        "Dir": folder,
        "Dir::Etc": folder / "etc",
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourceparts": folder,
        "Dir::Etc::sourcelist": "/dev/null",
        "Acquire::https::CAInfo": site.ca,
        "APT::Architecture": "amd64",
        "APT::Sandbox::User": "root",
    }
    given = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    return run(folder, tool("apt-get"), *given, *words)


def add(site: Site, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return appliance(site, "add", *words)


def appliance(site: Site, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*serving.PROGRAM, "--root", str(site.crate.root), *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )


def test_debs_are_added_by_hand_and_fetched_by_apt(site: Site, tmp_path: Path) -> None:
    (tmp_path / "debs").mkdir()
    debs = [
        build_deb(tmp_path / "debs", control)
        for control in ("anns-tool 1:1.0-1; Depends: anns-data", "anns-data 2.0 [all]")
    ]
    done = add(site, *debs)
    assert done.returncode == 0, done.stderr
    (tmp_path / "apt").mkdir()
    done = apt(site, tmp_path / "apt", "update")
    assert done.returncode == 0, done.stderr
    done = apt(site, tmp_path / "apt", "download", "anns-tool", "anns-data")
    assert done.returncode == 0, done.stderr
    fetched = {path.name: path.read_bytes() for path in (tmp_path / "apt").glob("*.deb")}
    assert fetched == {path.name: path.read_bytes() for path in debs}


def test_everything_can_be_added_by_hand(site: Site, tmp_path: Path) -> None:
    made = {
        "hands-1.0-py3-none-any.whl": (wheel("hands", "1.0").content, "pypi/files/hands/hands-1.0-py3-none-any.whl"),
        "hands-1.1.tar.gz": (sdist("hands", "1.1").content, "pypi/files/hands/hands-1.1.tar.gz"),
        "hands-2.0.0.tgz": (chart("hands", "2.0.0").content, "helm/charts/hands-2.0.0.tgz"),
        "team-hands-3.0.0.tgz": (package("@team/hands", "3.0.0").tarball, "npm/@team/hands/-/hands-3.0.0.tgz"),
    }
    for name, (content, _) in made.items():
        (tmp_path / name).write_bytes(content)
    done = add(site, *(tmp_path / name for name in made))
    assert done.returncode == 0, done.stderr
    (tmp_path / "plan.pdf").write_bytes(b"a plan")
    assert add(site, tmp_path / "plan.pdf").returncode == 2, "nobody can tell where it is to be"
    done = add(site, "--as", "plans/roof.pdf", tmp_path / "plan.pdf")
    assert done.returncode == 0, done.stderr
    served = {path: content for content, path in made.values()} | {"files/plans/roof.pdf": b"a plan"}
    for path, content in served.items():
        assert site.crate.request("GET", f"/{path}", token="").body == content, path


def test_what_was_published_is_listed_and_removed(site: Site, tmp_path: Path) -> None:
    for version in ("1.0", "1.1"):
        assert add(site, written(tmp_path, wheel("listed", version))).returncode == 0
    told = json.loads(appliance(site, "contributions", "list", "--json").stdout)
    mine = [item for item in told if item["name"] == "listed"]
    assert [(item["kind"], item["version"], item["hidden"]) for item in mine] == [
        ("pypi", "1.0", False),
        ("pypi", "1.1", False),
    ]
    assert "listed" in appliance(site, "contributions", "list").stdout
    assert appliance(site, "contributions", "remove", "pypi", "listed", "1.0").returncode == 0
    page = site.crate.request("GET", "/pypi/simple/listed/", token="").body
    assert (b"listed-1.0" in page, b"listed-1.1" in page) == (False, True)
    assert appliance(site, "contributions", "remove", "pypi", "listed", "1.1").returncode == 0
    assert site.crate.request("GET", "/pypi/simple/listed/", token="").status == 404
    assert b"listed" not in site.crate.request("GET", "/pypi/simple/", token="").body
    assert appliance(site, "contributions", "remove", "pypi", "mine", "1.0.0").returncode == 2, "that is a crate's"

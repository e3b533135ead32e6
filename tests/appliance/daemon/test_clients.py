"""Real clients against the daemon as it is by default: TLS, a publisher's token, blobs redirected to the plain port."""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from tests.appliance.daemon.conftest import FILES, HELD
from tests.appliance.daemon.serving import PROGRAM, Answer, Crate, sha256
from tests.support.busybox import busybox_layout
from tests.support.containerd import Containerd
from tests.support.images import BOTH, MadeImage, make_layout
from tests.support.tools import tool

SHAPES: dict[str, dict[str, Any]] = {
    "an index of two platforms": {},
    "a single platform": {"platforms": ["linux/arm64"]},
    "Docker schema 2": {"docker": True},
    "buildkit's attestations": {"attestations": True},
    "layers worth a redirect": {"layer_size": 900_000},
}


Words = list[str | Path]


def attempt(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def run(*words: str | Path) -> str:
    done = attempt(*words)
    assert done.returncode == 0, f"{' '.join(map(str, words))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def trust(tmp_path: Path, tls_crate: Crate) -> Path:
    """A folder as --cert-dir wants it, with the authority that the plain port hands out."""
    folder = tmp_path / "trust"
    folder.mkdir()
    answer = tls_crate.request("GET", "/ca.pem", port=tls_crate.plain, token="")
    assert answer.status == 200
    (folder / "ca.crt").write_bytes(answer.body)
    return folder


@pytest.mark.parametrize("name", SHAPES)
def test_skopeo_pushes_and_pulls_everything(tmp_path: Path, tls_crate: Crate, trust: Path, name: str) -> None:
    shape = SHAPES[name]
    made = make_layout(tmp_path / "layout", "people/app:1", **shape)
    remote = f"docker://{tls_crate.address}/people/skopeo{list(SHAPES).index(name)}:1"
    copy: Words = [tool("skopeo"), "copy", "--all", "--quiet"]
    local = f"oci:{made.folder}:people/app:1"
    if shape.get("docker"):  # skopeo converts what it reads from an OCI layout; keep the bytes by a push of our own
        tls_crate.push(made.layout, made.digest, remote.split("/", 3)[3].removesuffix(":1"), "1")
    else:
        run(*copy, "--dest-cert-dir", trust, "--dest-creds", f"me:{tls_crate.token}", local, remote)
    run(*copy, "--src-cert-dir", trust, remote, f"dir:{tmp_path / 'pulled'}")
    manifest = (tmp_path / "pulled/manifest.json").read_bytes()
    assert sha256(manifest) == made.digest


def test_skopeo_without_a_token_is_told_so(tmp_path: Path, tls_crate: Crate, trust: Path) -> None:
    made = make_layout(tmp_path / "layout", "people/app:1")
    copy: Words = [tool("skopeo"), "copy", "--quiet", "--dest-cert-dir", trust]
    done = attempt(*copy, f"oci:{made.folder}:people/app:1", f"docker://{tls_crate.address}/people/nobody:1")
    assert done.returncode != 0
    assert "wants a token" in done.stderr


def test_podman_logs_in_pushes_and_pulls(tmp_path: Path, tls_crate: Crate, trust: Path) -> None:
    made = busybox_layout(tmp_path / "busybox", "people/busybox:1", ["linux/amd64"])
    remote = f"docker://{tls_crate.address}/people/podman:1"
    auth: Words = ["--authfile", tmp_path / "auth.json", "--cert-dir", trust]
    with tempfile.TemporaryDirectory(prefix="podman-", dir="/tmp") as run_root:  # podman wants a short name
        podman: Words = [tool("podman"), "--root", tmp_path / "root", "--runroot", run_root, "--storage-driver", "vfs"]
        local = run(*podman, "pull", "--quiet", f"oci:{made.folder}:people/busybox:1").strip()
        run(*podman, "login", *auth, "--username", "me", "--password", tls_crate.token, tls_crate.address)
        run(*podman, "push", "--quiet", *auth, local, remote)
        run(*podman, "rmi", "--force", local)
        assert run(*podman, "pull", "--quiet", "--cert-dir", trust, remote).strip() == local


def test_podman_does_not_log_in_with_a_wrong_token(tmp_path: Path, tls_crate: Crate, trust: Path) -> None:
    login: Words = [tool("podman"), "login", "--authfile", tmp_path / "auth.json", "--cert-dir", trust]
    done = attempt(*login, "--username", "me", "--password", "wrong", tls_crate.address)
    assert done.returncode != 0
    assert "invalid username/password" in done.stderr


def test_containerd_pulls_by_the_upstream_name(
    tmp_path: Path, tls_crate: Crate, trust: Path, container_daemon: Containerd, held: MadeImage
) -> None:
    """The crate stands in for docker.io, so `?ns=docker.io` is real, and Range requests with it."""
    container_daemon.add_host("docker.io", tls_crate.url, ca=trust / "ca.crt")
    for platform in BOTH:
        container_daemon.pull(f"{HELD}:1", platform)
    assert held.digest in container_daemon.ctr("images", "list").stdout


def test_containerd_follows_what_client_setup_prints(
    tls_crate: Crate, container_daemon: Containerd, held: MadeImage, tmp_path: Path
) -> None:
    """The files it names are written below the test's own folder, then used as they are."""
    words: Words = [
        *PROGRAM,
        "--root",
        tls_crate.root,
        "client-setup",
        "containerd",
        "--address",
        tls_crate.address,
        "--json",
    ]
    ca = tmp_path / "ca.pem"
    for path, content in json.loads(run(*words)).items():
        if path.endswith("hosts.toml"):
            target = container_daemon.hosts / Path(path).parent.name / "hosts.toml"
            target.parent.mkdir()
            target.write_text(content.replace("/etc/containerd/buzzcrate-ca.pem", str(ca)))
        else:
            ca.write_text(content)
    container_daemon.pull(f"{HELD}:1", "linux/arm64")
    assert held.digest in container_daemon.ctr("images", "list").stdout
    # a host that the crate holds nothing of is asked of the crate, too, and of nobody else
    refused = container_daemon.ctr(
        "images", "pull", "--hosts-dir", container_daemon.hosts, "ghcr.io/nobody/nothing:1", check=False
    )
    assert refused.returncode != 0
    assert f"{tls_crate.address}/v2/nobody/nothing/manifests/1?ns=ghcr.io" in refused.stdout + refused.stderr


def test_skopeo_follows_what_client_setup_prints(
    tmp_path: Path, tls_crate: Crate, trust: Path, held: MadeImage
) -> None:
    """registries.conf makes the crate a mirror of docker.io: the image keeps its name."""
    words: Words = [
        *PROGRAM,
        "--root",
        tls_crate.root,
        "client-setup",
        "podman",
        "--address",
        tls_crate.address,
        "--json",
    ]
    files = json.loads(run(*words))
    configuration = tmp_path / "registries.conf"
    configuration.write_text(files["/etc/containers/registries.conf.d/buzzcrate.conf"])
    assert (trust / "ca.crt").read_text() == files[f"/etc/containers/certs.d/{tls_crate.address}/ca.crt"]
    copy: Words = [
        tool("skopeo"),
        "--registries-conf",
        configuration,
        "copy",
        "--all",
        "--quiet",
        "--src-cert-dir",
        trust,
    ]
    run(*copy, f"docker://{HELD}:1", f"dir:{tmp_path / 'pulled'}")
    assert sha256((tmp_path / "pulled/manifest.json").read_bytes()) == held.digest


def test_curl_pulls_without_any_token(tmp_path: Path, tls_crate: Crate, trust: Path, held: MadeImage) -> None:
    curl: Words = [tool("curl"), "-fsS", "--cacert", trust / "ca.crt"]
    index = json.loads(run(*curl, f"{tls_crate.url}/v2/{HELD}/manifests/1"))
    child = run(*curl, f"{tls_crate.url}/v2/{HELD}/manifests/{index['manifests'][0]['digest']}")
    layer = json.loads(child)["layers"][0]
    run(*curl, "-L", f"{tls_crate.url}/v2/{HELD}/blobs/{layer['digest']}", "-o", tmp_path / "layer")
    assert (tmp_path / "layer").read_bytes() == held.layout.path(layer["digest"]).read_bytes()
    for name, data in FILES.items():
        assert run(*curl, f"{tls_crate.url}/files/{name}").encode() == data


def docker_token(crate: Crate, challenge: str, credentials: str, method: str) -> Answer:
    """What docker's client library does with a Bearer challenge: GET with Basic, or an OAuth 2 POST."""
    realm, service, *scope = (part.partition('="')[2].rstrip('"') for part in challenge.split(",", 2))
    path = urllib.parse.urlsplit(realm).path
    query = {"service": service, **({"scope": scope[0]} if scope else {})}
    if method == "GET":
        basic = base64.b64encode(credentials.encode()).decode()
        headers = {"Authorization": f"Basic {basic}"} if credentials else {}
        query = {"account": "me", "client_id": "docker", "offline_token": "true", **query}
        return crate.request("GET", f"{path}?{urllib.parse.urlencode(query)}", headers=headers, token="")
    user, _, password = credentials.partition(":")
    form = {"grant_type": "password", "username": user, "password": password, "client_id": "containerd", **query}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return crate.request("POST", path, urllib.parse.urlencode(form).encode(), headers, token="")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_dockers_login_push_and_pull(tls_crate: Crate, method: str) -> None:
    """Login needs a 401 from /v2/; the push asks for a scoped token; the pull, without credentials, for another."""
    ping = tls_crate.request("GET", "/v2/", token="")
    assert ping.status == 401
    challenge = ping.headers["www-authenticate"]
    assert challenge == f'Bearer realm="https://{tls_crate.address}/token",service="crate"'
    assert docker_token(tls_crate, challenge, "me:wrong", method).status == 401
    login = json.loads(docker_token(tls_crate, challenge, f"me:{tls_crate.token}", method).body)
    assert login["expires_in"] >= 60
    assert tls_crate.request("GET", "/v2/", token=login["token"]).status == 200

    push = f"/v2/people/docker-{method.lower()}/blobs/uploads/"
    refused = tls_crate.request("POST", push, token="")
    assert refused.status == 401
    scoped = json.loads(
        docker_token(tls_crate, refused.headers["www-authenticate"], f"me:{tls_crate.token}", method).body
    )
    assert tls_crate.request("POST", push, token=scoped["access_token"]).status == 202

    anonymous = json.loads(docker_token(tls_crate, challenge, "", "GET").body)
    assert tls_crate.request("GET", "/v2/", token=anonymous["token"]).status == 200
    assert tls_crate.request("GET", f"/v2/{HELD}/manifests/1", token=anonymous["token"]).status == 200


def test_blobs_are_redirected_to_the_plain_port(tls_crate: Crate, held: MadeImage) -> None:
    manifest = json.loads(held.layout.path(held.manifests["linux/amd64"]["digest"]).read_bytes())
    large, small = manifest["layers"][0]["digest"], manifest["config"]["digest"]
    path = f"/v2/{HELD}/blobs/{large}"
    moved = tls_crate.request("GET", f"/v2/library/held/blobs/{large}?ns=docker.io", token="")
    assert moved.status == 307
    assert moved.headers["location"] == f"http://127.0.0.1:{tls_crate.plain}{path}"
    whole = tls_crate.request("GET", path, token="", port=tls_crate.plain)
    assert whole.body == held.layout.path(large).read_bytes()
    part = tls_crate.request("GET", path, headers={"Range": "bytes=100-199"}, token="anonymous", port=tls_crate.plain)
    assert (part.status, part.body) == (206, whole.body[100:200])
    # not for what is small, not for HEAD, and not for whoever might send a token on in the clear
    assert tls_crate.request("GET", f"/v2/{HELD}/blobs/{small}", token="").status == 200
    assert tls_crate.request("HEAD", path, token="").status == 200
    assert tls_crate.request("GET", path).body == whole.body


def test_the_plain_port_has_nothing_but_what_a_digest_protects(tls_crate: Crate, held: MadeImage) -> None:
    cases = {
        ("GET", f"/v2/{HELD}/manifests/1"): 405,
        ("GET", f"/v2/{HELD}/manifests/{held.digest}"): 405,
        ("GET", "/v2/_catalog"): 405,
        ("GET", "/v2/"): 405,
        ("POST", "/v2/people/x/blobs/uploads/"): 405,
        ("GET", "/token"): 404,
        ("GET", "/files/tools/arm64/tool"): 404,
        ("GET", "/healthz"): 200,
        ("POST", "/ca.pem"): 405,
    }
    for (method, path), status in cases.items():
        assert tls_crate.request(method, path, token="", port=tls_crate.plain).status == status, path


def test_files_are_served_by_name(tls_crate: Crate) -> None:
    ((name, data),) = FILES.items()
    digest = f'"{sha256(data)}"'
    whole = tls_crate.request("GET", f"/files/{name}", token="")
    assert (whole.status, whole.body, whole.headers["etag"]) == (200, data, digest)
    part = tls_crate.request("GET", f"/files/{name}", headers={"Range": "bytes=-5"}, token="")
    assert (part.status, part.body) == (206, data[-5:])
    assert tls_crate.request("GET", f"/files/{name}", headers={"If-None-Match": digest}, token="").status == 304
    assert tls_crate.request("HEAD", f"/files/{name}", token="").headers["content-length"] == str(len(data))
    assert [entry["path"] for entry in json.loads(tls_crate.request("GET", "/files/", token="").body)] == [name]


@pytest.mark.parametrize(
    "path", ["tools/arm64/absent", "tools", "../crate.db", "%2e%2e/crate.db", "tools%2Farm64%2F..", "a%00b", "x" * 4096]
)
def test_files_that_are_not_there(tls_crate: Crate, path: str) -> None:
    assert tls_crate.request("GET", f"/files/{path}", token="").status == 404

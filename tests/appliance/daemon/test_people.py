"""People with passwords and rights, and names that are private: real clients, and the ways around that must be shut."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance import rules
from appliance.access import Rights, Role
from appliance.store import Store
from appliance.users import Users
from tests.appliance.daemon import serving
from tests.appliance.daemon.conftest import HELD
from tests.appliance.daemon.serving import Crate, largest_layer, sha256
from tests.support.images import MadeImage, make_layout
from tests.support.tools import tool

PASSWORDS = {"ann": "anns four words here", "gus": "gus has four words", "oda": "oda runs the crate"}


@dataclass(frozen=True)
class Site:
    crate: Crate
    trust: Path
    image: MadeImage


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, held: MadeImage) -> Iterator[Site]:
    """A crate with three people; team-a/* and the plans among the files are private."""
    folder = tmp_path_factory.mktemp("people")
    root = folder / "store"
    serving.hold(root, HELD, held.layout, {"1": held.digest}, {"plans/roof": b"a" * 300_000, "open": b"open"})
    with Store.open(root) as store:
        users = Users(store.database)
        users.add("ann", PASSWORDS["ann"], Role.PUBLISHER, Rights(publish=("team-a/*",)))
        users.add("gus", PASSWORDS["gus"], Role.READER, Rights(read=("files/plans/*",)))
        users.add("oda", PASSWORDS["oda"], Role.OPERATOR)
        rules.close_name(store.database, "team-a/*")
        rules.close_name(store.database, "files/plans/*")
    (folder / "trust").mkdir()
    image = make_layout(folder / "layout", "team-a/app:1", layer_size=710_000)
    with serving.crate(root, tls=True) as crate:
        assert crate.ca is not None
        (folder / "trust/ca.crt").write_bytes(crate.ca.read_bytes())
        crate.push(image.layout, image.digest, "team-a/app", "1")
        yield Site(crate, folder / "trust", image)


def as_user(name: str) -> dict[str, str]:
    if not name:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{PASSWORDS[name]}".encode()).decode()}


def skopeo(site: Site, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [tool("skopeo"), *map(str, words)]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120, cwd=site.trust
    )


@pytest.mark.parametrize(
    ("who", "repository", "taken"),
    [
        ("ann", "team-a/web", True),
        ("ann", "team-b/web", False),
        ("gus", "team-a/by-gus", False),
        ("oda", "team-b/web", True),
    ],
    ids=["a publisher where she may", "a publisher elsewhere", "a reader", "an operator"],
)
def test_pushing_with_a_password(site: Site, who: str, repository: str, *, taken: bool) -> None:
    target = f"docker://{site.crate.address}/{repository}:1"
    done = skopeo(
        site,
        *("copy", "--all", "--quiet", "--dest-cert-dir", site.trust, "--dest-creds", f"{who}:{PASSWORDS[who]}"),
        *(f"oci:{site.image.folder}:team-a/app:1", target),
    )
    assert (done.returncode == 0) is taken, done.stderr
    answer = site.crate.request("GET", f"/v2/{repository}/tags/list", headers=as_user("oda"))
    assert (answer.status == 200) is taken


@pytest.mark.parametrize(("who", "given"), [("ann", True), ("oda", True), ("gus", False), ("", False)])
def test_pulling_what_is_private(site: Site, tmp_path: Path, who: str, *, given: bool) -> None:
    credentials = ["--src-creds", f"{who}:{PASSWORDS[who]}"] if who else ["--src-no-creds"]
    source = f"docker://{site.crate.address}/team-a/app:1"
    done = skopeo(site, "copy", "--quiet", "--src-cert-dir", site.trust, *credentials, source, f"dir:{tmp_path / 'it'}")
    assert (done.returncode == 0) is given, done.stderr


def test_podman_logs_in_with_a_name_and_a_password(site: Site, tmp_path: Path) -> None:
    for password, code in (("wrong, wrong, wrong", 125), (PASSWORDS["ann"], 0)):
        done = subprocess.run(
            [
                *(tool("podman"), "login", "--authfile", tmp_path / "auth.json", "--cert-dir", site.trust),
                *("--username", "ann", "--password-stdin", site.crate.address),
            ],
            input=password,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == code, done.stderr


@pytest.mark.parametrize("who", ["", "gus"])
def test_no_way_leads_around(site: Site, who: str) -> None:
    """Neither the blobs nor the names of what is private are told to those without a right."""
    crate, (digest, _) = site.crate, largest_layer(site.image)
    sent = as_user(who)
    refused = {401} if not who else {403}

    def ask(method: str, path: str, *, port: int = 0) -> int:
        return crate.request(method, path, headers={} if port else sent, token="", port=port).status

    for path in (
        "/v2/team-a/app/manifests/1",
        f"/v2/team-a/app/manifests/{site.image.digest}",
        f"/v2/team-a/app/blobs/{digest}",
        "/v2/team-a/app/tags/list",
        f"/v2/team-a/app/referrers/{site.image.digest}",
    ):
        assert ask("GET", path) in refused, path
        assert ask("HEAD", path) in refused | {405}, path
    assert ask("GET", f"/v2/team-a/app/blobs/{digest}", port=crate.plain) in {401, 403, 404}
    assert ask("GET", f"/blobs/sha256/{digest.removeprefix('sha256:')}", port=crate.plain) == 404
    named = crate.request("GET", "/v2/_catalog", headers=sent, token="").body
    assert b"team-a" not in named
    assert HELD.encode() in named


def test_nobody_mounts_what_he_may_not_read(site: Site) -> None:
    crate = site.crate
    digest = crate.push_blob("team-a/secrets", b"known to team A alone")
    with Store.open(crate.root) as store:
        Users(store.database).add("eve", "eves four words", Role.PUBLISHER, Rights(publish=("team-e/*",)))
    eve = {"Authorization": "Basic " + base64.b64encode(b"eve:eves four words").decode()}
    for source in ("&from=team-a/app", ""):
        answer = crate.request("POST", f"/v2/team-e/app/blobs/uploads/?mount={digest}{source}", headers=eve)
        assert answer.status == 202, "not mounted, but asked to upload it"
        assert crate.request("GET", f"/v2/team-e/app/blobs/{digest}", headers=eve).status == 404


@pytest.mark.parametrize(("who", "status"), [("", 401), ("ann", 403), ("gus", 200), ("oda", 200)])
def test_private_files(site: Site, who: str, status: int) -> None:
    crate = site.crate
    answer = crate.request("GET", "/files/plans/roof", headers=as_user(who), token="")
    assert answer.status == status
    listed = json.loads(crate.request("GET", "/files/", headers=as_user(who), token="").body)
    assert [file["path"] for file in listed] == (["open", "plans/roof"] if status == 200 else ["open"])
    by_digest = f"/blobs/{sha256(b'a' * 300_000).replace(':', '/')}"
    assert crate.request("GET", by_digest, token="", port=crate.plain).status == 404
    by_digest = f"/blobs/{sha256(b'open').replace(':', '/')}"
    assert crate.request("GET", by_digest, token="", port=crate.plain).status == 200


def test_private_blobs_are_never_sent_to_the_plain_port(site: Site) -> None:
    digest, data = largest_layer(site.image)
    answer = site.crate.request("GET", f"/v2/team-a/app/blobs/{digest}", headers=as_user("ann"), token="")
    assert (answer.status, answer.body) == (200, data)


def test_docker_gets_a_session_for_a_password_and_uses_it(site: Site) -> None:
    """Docker's way: the challenge of /v2/, Basic at the realm, Bearer with what it gives."""
    crate = site.crate
    given = json.loads(crate.request("GET", "/token?service=crate", headers=as_user("ann"), token="").body)
    assert PASSWORDS["ann"] not in str(given)
    path = "/v2/team-a/app/manifests/1"
    assert crate.request("GET", path, token=given["token"]).status == 200
    form = f"grant_type=password&username=ann&password={PASSWORDS['ann'].replace(' ', '+')}&service=crate".encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    posted = crate.request("POST", "/token", form, headers, token="")
    assert crate.request("GET", path, token=json.loads(posted.body)["access_token"]).status == 200
    with Store.open(crate.root) as store:
        Users(store.database).change("ann", role=Role.PUBLISHER)
    assert crate.request("GET", path, token=given["token"]).status == 401, "what was given before a change is void"


def test_a_name_that_is_opened_again_is_open_at_once(site: Site) -> None:
    crate = site.crate
    with Store.open(crate.root) as store:
        rules.close_name(store.database, "files/open")
        assert crate.request("GET", "/files/open", token="").status == 401
        rules.open_name(store.database, "files/open")
    assert crate.request("GET", "/files/open", token="").status == 200


def test_a_guesser_is_told_to_wait(site: Site) -> None:
    wrong = {"Authorization": "Basic " + base64.b64encode(b"oda:is it this one?").decode()}
    statuses = [site.crate.request("GET", "/v2/", headers=wrong, token="").status for _ in range(7)]
    assert statuses == [401] * 5 + [429] * 2
    assert site.crate.request("GET", "/files/plans/roof", headers=as_user("gus"), token="").status == 200

"""docker's and podman's auth files, their helpers, and the tokens that are had with them."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from bundler.answers import basic
from bundler.cache import Cache
from bundler.credentials import Credentials, Login
from bundler.errors import AccessDenied, AuthFileInvalid, FetchFailed, MalformedAnswer, PlainHttpRefused, ServerFailed
from bundler.http import Http
from bundler.tokens import Authorizer, Challenge, Place
from bundler.transport import CachedTransport
from bundler.upstreams import Upstreams
from tests.bundler.clients import APP, client, login, password
from tests.support import faulty
from tests.support.faulty import Fault, FaultyRegistry, faulty_registry

SECRET = "s3cret:with/colon"


def found(credentials: Credentials, host: str, repository: str = "team/app") -> Login | None:
    return asyncio.run(credentials.find(host, repository))


ENTRIES: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "the host alone": ("ghcr.io", password("ann", SECRET), "ghcr.io", "ann"),
    "Docker Hub as docker files it": ("https://index.docker.io/v1/", password("ann", SECRET), "docker.io", "ann"),
    "Docker Hub as podman files it": ("docker.io", password("ann", SECRET), "registry-1.docker.io", "ann"),
    "a host with a scheme and a version": ("https://ghcr.io/v2/", password("ann", SECRET), "ghcr.io", "ann"),
    "a host with a port": ("ghcr.io:5000", password("ann", SECRET), "ghcr.io:5000", "ann"),
    "user and password in the clear": ("ghcr.io", {"username": "ann", "password": SECRET}, "ghcr.io", "ann"),
    "a namespace of podman's": ("ghcr.io/team", password("ann", SECRET), "ghcr.io", "ann"),
    "another namespace": ("ghcr.io/other", password("ann", SECRET), "ghcr.io", ""),
    "a namespace that only begins alike": ("ghcr.io/te", password("ann", SECRET), "ghcr.io", ""),
    "an empty entry": ("ghcr.io", {}, "ghcr.io", ""),
    "another host": ("ghcr.io", password("ann", SECRET), "quay.io", ""),
}


@pytest.mark.parametrize(("key", "entry", "host", "user"), ENTRIES.values(), ids=ENTRIES.keys())
def test_an_entry_is_found_by(tmp_path: Path, key: str, entry: dict[str, Any], host: str, user: str) -> None:
    known = found(login(tmp_path, {key: entry}), host)
    assert (known.user if known else "") == user
    assert known is None or known.password == SECRET


def test_the_longest_namespace_wins(tmp_path: Path) -> None:
    names = {"ghcr.io": "all", "ghcr.io/team": "team", "ghcr.io/team/app": "app"}
    credentials = login(tmp_path, {key: password(user, "x") for key, user in names.items()})
    users = [found(credentials, "ghcr.io", path) for path in ("team/app", "team/other", "else")]
    assert [known and known.user for known in users] == ["app", "team", "all"]


PLACES = {
    "REGISTRY_AUTH_FILE": ({"REGISTRY_AUTH_FILE": "{tmp}/mine.json"}, "mine.json"),
    "podman's runtime directory": ({"XDG_RUNTIME_DIR": "{tmp}/run"}, "run/containers/auth.json"),
    "podman's lasting file": ({}, "home/.config/containers/auth.json"),
    "podman's lasting file elsewhere": ({"XDG_CONFIG_HOME": "{tmp}/config"}, "config/containers/auth.json"),
    "docker's file": ({}, "home/.docker/config.json"),
    "docker's file elsewhere": ({"DOCKER_CONFIG": "{tmp}/docker"}, "docker/config.json"),
}


@pytest.mark.parametrize(("environment", "path"), PLACES.values(), ids=PLACES.keys())
def test_an_auth_file_is_looked_for_in(tmp_path: Path, environment: dict[str, str], path: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(json.dumps({"auths": {"ghcr.io": password("ann", SECRET)}}))
    set_to = {name: value.format(tmp=tmp_path) for name, value in environment.items()}
    known = found(Credentials.load({"HOME": str(tmp_path / "home"), **set_to}), "ghcr.io")
    assert known is not None
    assert known.source == str(tmp_path / path)


def test_no_auth_file_is_no_problem(tmp_path: Path) -> None:
    assert found(Credentials.load({"HOME": str(tmp_path)}), "ghcr.io") is None


BROKEN = {
    "no JSON": '{"auths": {"ghcr.io": {"auth": "aGVsbG86c2VjcmV0"',
    "a list": '["aGVsbG86c2VjcmV0"]',
    "a list of auths": '{"auths": ["aGVsbG86c2VjcmV0"]}',
    "an auth that is no base64": '{"auths": {"ghcr.io": {"auth": "aGVsbG86c2VjcmV0!"}}}',
    "an auth without a colon": '{"auths": {"ghcr.io": {"auth": "aGVsbG8="}}}',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_an_auth_file_that_cannot_be_read_is_named_and_not_quoted(tmp_path: Path, content: str) -> None:
    path = tmp_path / ".docker" / "config.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(AuthFileInvalid) as caught:
        found(Credentials.load({"HOME": str(tmp_path)}), "ghcr.io")
    assert str(path) in caught.value.what
    assert "aGVsbG8" not in f"{caught.value!r}{caught.value.__cause__!r}"


HELPER = """#!/bin/sh
read server
echo "$1 $server" >> {log}
case "$server" in
  https://index.docker.io/v1/) echo '{{"ServerURL":"x","Username":"hub","Secret":"{secret}"}}';;
  ghcr.io) echo '{{"ServerURL":"x","Username":"<token>","Secret":"{secret}"}}';;
  quay.io) echo 'this is not JSON {secret}';;
  *) echo "credentials not found in native keychain"; exit 1;;
esac
"""


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A credential helper `test` on the PATH; what it was asked is in the file that is returned."""
    log, program = tmp_path / "asked", tmp_path / "bin" / "docker-credential-test"
    program.parent.mkdir()
    program.write_text(HELPER.format(log=log, secret=SECRET))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return log


HELPED: dict[str, tuple[str, Login | None]] = {
    "a password": ("docker.io", Login("docker-credential-test", "hub", SECRET)),
    "an identity token": ("ghcr.io", Login("docker-credential-test", identity_token=SECRET)),
    "nonsense": ("quay.io", None),
    "that it knows nothing": ("other.example.org", None),
}


@pytest.mark.parametrize("setting", ["credsStore", "credHelpers"])
@pytest.mark.parametrize(("host", "expected"), HELPED.values(), ids=HELPED.keys())
def test_a_helper_says(tmp_path: Path, helper: Path, setting: str, host: str, expected: Login | None) -> None:
    value = "test" if setting == "credsStore" else {host: "test"}
    credentials = login(tmp_path, {host: {}}, **{setting: value})

    async def run() -> list[Login | None]:
        return await asyncio.gather(*(credentials.find(host, "team/app") for _ in range(5)))

    assert asyncio.run(run()) == [expected] * 5
    assert len(helper.read_text().splitlines()) == 1, "a host's helper is asked once"
    assert (host in credentials.notes) == (expected is None)
    assert SECRET not in str(credentials.notes)


def test_a_helper_that_is_missing_is_told_when_access_is_denied(tmp_path: Path) -> None:
    with faulty_registry() as server:
        server.basic = "never"
        credentials = login(tmp_path, {}, credsStore="nowhere-to-be-found")

        async def run() -> None:
            async with client(server.url, credentials=credentials) as registry:
                await registry.manifest(APP)

        with pytest.raises(AccessDenied) as caught:
            asyncio.run(run())
    assert "docker-credential-nowhere-to-be-found cannot be run" in caught.value.what


CHALLENGES: dict[str, tuple[list[str], Challenge | None]] = {
    "as Docker Hub writes it": (
        ['Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a:pull"'],
        Challenge("https://auth.docker.io/token", "registry.docker.io", "repository:a:pull"),
    ),
    "with spaces, another case and another order": (
        ['bearer scope="repository:a:pull" , SERVICE=plain, realm = "https://x/"'],
        Challenge("https://x/", "plain", "repository:a:pull"),
    ),
    "with a comma and an escaped quote inside": (
        [r'Bearer realm="https://x/",service="a, \"b\"",scope="repository:a:pull,push"'],
        Challenge("https://x/", 'a, "b"', "repository:a:pull,push"),
    ),
    "without a scope": (['Bearer realm="https://x/"'], Challenge("https://x/", "", "repository:team/app:pull")),
    "Basic": (['Basic realm="x"'], Challenge()),
    "Basic before Bearer in one header": (
        ['Basic realm="x", Bearer realm="https://x/",scope="s"'],
        Challenge("https://x/", "", "s"),
    ),
    "both in two headers": (
        ['Basic realm="x"', 'Bearer realm="https://x/",scope="s"'],
        Challenge("https://x/", "", "s"),
    ),
    "Bearer without a realm": (['Bearer service="x"'], None),
    "another scheme": (["Negotiate"], None),
    "nothing": ([], None),
}


@pytest.mark.parametrize(("values", "expected"), CHALLENGES.values(), ids=CHALLENGES.keys())
def test_a_challenge(values: list[str], expected: Challenge | None) -> None:
    assert Challenge.parse(values, "team/app") == expected


MANIFEST = b'{"schemaVersion":2}'


def pull(server: FaultyRegistry, credentials: Credentials | None = None, *, times: int = 1) -> None:
    async def run() -> None:
        async with client(server.url, credentials=credentials) as registry:
            await asyncio.gather(*(registry.manifest(APP) for _ in range(times)))

    server.manifest("team/app", MANIFEST, "1")
    asyncio.run(run())


def test_one_token_is_asked_for_however_many_requests_wait_for_it() -> None:
    with faulty_registry() as server:
        server.realm = f"{server.url}/token?account=keeps"
        pull(server, times=20)
        (asked,) = server.asked("/token")
    query = URL(asked.path, encoded=True).query
    assert dict(query) == {
        "account": "keeps",
        "service": "faulty, of course",
        "scope": "repository:team/app:pull",
    }


def test_the_password_goes_to_the_token_service_and_the_token_to_the_registry(tmp_path: Path) -> None:
    with faulty_registry() as server:
        server.realm = f"{server.url}/token"
        pull(server, login(tmp_path, {server.address: password("ann", SECRET)}))
        assert [seen.headers.get("Authorization") for seen in server.asked("/token")] == [basic("ann", SECRET)]
        sent = [seen.headers.get("Authorization", "none") for seen in server.asked("/manifests/")]
    assert [text.split("-")[0] for text in sent] == ["none", "Bearer token"]


def test_an_identity_token_is_exchanged(tmp_path: Path) -> None:
    with faulty_registry() as server:
        server.realm = f"{server.url}/token"
        pull(server, login(tmp_path, {server.address: {"identitytoken": SECRET}}))
        (asked,) = server.asked("/token")
    assert (asked.method, asked.path) == ("POST", "/token")
    form = URL(f"http://x/?{asked.body}", encoded=True).query
    assert form["grant_type"] == "refresh_token"
    assert form["refresh_token"] == SECRET
    assert form["scope"] == "repository:team/app:pull"


def test_a_registry_token_is_used_as_it_is(tmp_path: Path) -> None:
    with faulty_registry() as server:
        server.realm = f"{server.url}/token"
        server.accepted.add("Bearer given")
        pull(server, login(tmp_path, {server.address: {"registrytoken": "given"}}))
        assert not server.asked("/token")


def test_a_basic_challenge_is_answered(tmp_path: Path) -> None:
    with faulty_registry() as server:
        server.basic = basic("ann", SECRET)
        pull(server, login(tmp_path, {server.address: password("ann", SECRET)}))


def test_a_token_that_ends_is_replaced_before_anybody_complains() -> None:
    with faulty_registry() as server:
        server.realm, server.token_life = f"{server.url}/token", 1

        async def run() -> None:
            async with client(server.url) as registry:
                await registry.manifest(APP)
                await asyncio.sleep(1.1)
                await registry.manifest(APP)

        server.manifest("team/app", MANIFEST, "1")
        asyncio.run(run())
        paths = [seen.path.split("?")[0].rsplit("/", 1)[-1] for seen in server.seen]
    assert paths == ["1", "token", "1", "token", "1"]


def test_a_token_that_was_revoked_is_replaced_once() -> None:
    with faulty_registry() as server:
        server.realm = f"{server.url}/token"

        async def run() -> None:
            async with client(server.url) as registry:
                await registry.manifest(APP)
                server.accepted.clear()
                await registry.manifest(APP)

        server.manifest("team/app", MANIFEST, "1")
        asyncio.run(run())
        assert len(server.asked("/token")) == 2


def test_a_registry_that_refuses_its_own_tokens_is_asked_twice_and_no_more() -> None:
    with faulty_registry() as server:
        server.realm = f"{server.url}/token"
        server.always["token"] = faulty.answer(200, body=b'{"token":"worthless"}', media_type="application/json")
        with pytest.raises(AccessDenied):
            pull(server)
        assert len(server.asked("/manifests/")) == 2


TOKEN_SERVICE: dict[str, tuple[Fault, type[FetchFailed]]] = {
    "is broken": (faulty.answer(500), ServerFailed),
    "refuses": (faulty.answer(401), AccessDenied),
    "answers without JSON": (faulty.answer(200, body=SECRET.encode()), MalformedAnswer),
    "answers without a token": (faulty.answer(200, body=b'{"tokens":"%s"}' % SECRET.encode()), MalformedAnswer),
    "answers with a token that would break out of its header": (
        faulty.answer(200, body=b'{"token":"a\\r\\nX: %s"}' % SECRET.encode()),
        MalformedAnswer,
    ),
    "redirects a password elsewhere": (faulty.redirect("http://mirror.example.org:1"), FetchFailed),
}


@pytest.mark.parametrize(("fault", "problem"), TOKEN_SERVICE.values(), ids=TOKEN_SERVICE.keys())
def test_a_token_service_that(
    tmp_path: Path, fault: Fault, problem: type[FetchFailed], caplog: pytest.LogCaptureFixture
) -> None:
    with faulty_registry() as server:
        server.realm = f"{server.url}/token"
        server.always["token"] = fault
        with pytest.raises(problem) as caught:
            pull(server, login(tmp_path, {server.address: {"identitytoken": SECRET}}))
    told = f"{caught.value!r} {caught.value.hint} {caught.value.__cause__!r} {caplog.text}"
    assert SECRET not in told
    assert base64.b64encode(SECRET.encode()).decode() not in told


def test_a_token_service_may_pass_through_a_bad_moment() -> None:
    with faulty_registry() as server:
        server.realm = f"{server.url}/token"
        server.faults["token"].extend([faulty.answer(503), faulty.hang_up(), faulty.stall()])
        pull(server)


def test_secrets_in_urls_are_not_told(tmp_path: Path) -> None:
    with faulty_registry() as server:
        server.always["file"] = faulty.answer(404)

        async def run() -> None:
            async with client(server.url) as registry:
                transport = CachedTransport(registry, Cache(tmp_path / "cache"))
                await transport.read(f"http://ann:hidden@{server.address}/files/x?X-Amz-Signature=hidden", limit=10)

        with pytest.raises(FetchFailed) as caught:
            asyncio.run(run())
        assert "hidden" not in f"{caught.value!r}{caught.value.hint}"
        assert server.seen[0].headers["Authorization"] == basic("ann", "hidden")


def test_a_token_service_on_plain_http_is_refused_to_a_registry_with_tls(tmp_path: Path) -> None:
    challenge = Challenge("http://auth.example.org/token", "", "s")

    async def run() -> None:
        place = Place(URL("https://registry.example.org"), "team/app")
        async with Http(Upstreams()) as http:
            authorizer = Authorizer(http, login(tmp_path, {"registry.example.org": password("ann", SECRET)}))
            authorizer._challenges[place] = challenge
            await authorizer.headers(place)

    with pytest.raises(PlainHttpRefused):
        asyncio.run(run())


def test_a_login_does_not_show_its_secrets() -> None:
    assert SECRET not in repr(Login("file", "ann", SECRET, SECRET, SECRET))

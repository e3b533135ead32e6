"""What package clients may ask at the crate's paths: variants, validators, ranges, spellings, ports."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from appliance.installing import install
from appliance.negotiation import choose
from appliance.published import Served
from tests.appliance import worlds
from tests.appliance.daemon import serving
from tests.appliance.daemon.serving import Answer, Crate
from tests.support.crates import Key
from tests.support.stores import trusting

PEP_691 = "application/vnd.pypi.simple.v1+json"
PIP = f"{PEP_691}, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01"
SHORT = "application/vnd.npm.install-v1+json"
NPM = f"{SHORT}; q=1.0, application/json; q=0.8, */*"
RELEASE = "/apt/tests/dists/stable/InRelease"
WHEEL = "/pypi/files/mine/mine-1.0.0-py3-none-any.whl"
PAGE = "/pypi/simple/mine/"
SCOPED = "/npm/@team/yours"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Path:
    folder = tmp_path_factory.mktemp("mirrors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UV_CACHE_DIR", str(folder / "uv-cache"))
        made = worlds.maker(folder)
    made.file("tool/notes", b"notes")
    with trusting(folder / "root", key) as there:
        install(there, made.write(folder / "site.crate", [key]))
    return folder / "root"


@pytest.fixture(scope="module")
def crate(store: Path) -> Iterator[Crate]:
    with serving.crate(store, tls=True) as running:
        yield running


def get(crate: Crate, path: str, headers: Mapping[str, str] | None = None, *, method: str = "GET") -> Answer:
    return crate.request(method, path, headers=headers, token="")


def plainly(crate: Crate, path: str) -> Answer:
    return crate.request("GET", path, headers={"Host": f"127.0.0.1:{crate.plain}"}, token="", port=crate.plain)


FOUND: dict[str, tuple[str, str, str]] = {
    "a file of the recipe": ("/files/tool/notes", "", "application/octet-stream"),
    "an index of apt": (RELEASE, "", "text/plain"),
    "the key of apt's repository": ("/apt/tests.asc", "", "application/pgp-keys"),
    "a page for a browser": (PAGE, "text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
    "a page for pip": (PAGE, PIP, PEP_691),
    "a page for whoever says nothing": (PAGE, "", "text/html"),
    "a page for whoever takes anything": (PAGE, "*/*", "text/html"),
    "a page for whoever wants no page": (PAGE, "image/png", "text/html"),
    "what a wheel says of itself": (f"{WHEEL}.metadata", "", "text/plain; charset=utf-8"),
    "a packument for npm": ("/npm/mine", NPM, SHORT),
    "a packument for others": ("/npm/mine", "*/*", "application/json"),
    "a packument of a scope, as npm spells it": ("/npm/@team%2fyours", NPM, SHORT),
    "a packument of a scope, in capitals": ("/npm/@team%2Fyours", NPM, SHORT),
    "a packument of a scope, all of it encoded": ("/npm/%40team%2fyours", NPM, SHORT),
    "a packument of a scope, written out": (SCOPED, NPM, SHORT),
    "a tarball of a scope": ("/npm/@team/yours/-/yours-1.0.0.tgz", "", "application/octet-stream"),
    "the index of charts": ("/helm/index.yaml", "", "application/yaml"),
    "a path with a letter encoded": ("/apt/%74ests.asc", "", "application/pgp-keys"),
}


@pytest.mark.parametrize(("path", "accept", "media_type"), FOUND.values(), ids=FOUND)
def test_found(crate: Crate, path: str, accept: str, media_type: str) -> None:
    answer = get(crate, path, {"Accept": accept} if accept else {})
    assert (answer.status, answer.headers["content-type"]) == (200, media_type)
    head = get(crate, path, {"Accept": accept} if accept else {}, method="HEAD")
    same = ("content-length", "etag", "last-modified", "content-type")
    assert [head.headers[name] for name in same] == [answer.headers[name] for name in same]
    assert (head.body, len(answer.body)) == (b"", int(answer.headers["content-length"]))


ABSENT = {
    "what nobody brought": "/pypi/simple/absent/",
    "a scope's slash encoded outside of npm": "/apt/tests%2fdists/stable/InRelease",
    "an upward path": "/apt/../npm/mine",
    "an encoded upward path": "/apt/%2e%2e/npm/mine",
    "a path that ends in NUL": "/npm/mine%00",
    "no UTF-8": "/npm/%ff%fe",
    "four kilobytes": "/npm/" + "x" * 4096,
    "what is the registry's": "/oci/charts/mine:1.0.0",
    "the document of another root": "/files/apt/tests.asc",
}


@pytest.mark.parametrize("path", ABSENT.values(), ids=ABSENT)
def test_absent(crate: Crate, path: str) -> None:
    assert get(crate, path).status == 404


def test_variants_say_that_they_are(crate: Crate) -> None:
    page, told = get(crate, PAGE), get(crate, PAGE, {"Accept": PIP})
    assert page.headers["vary"] == told.headers["vary"] == "Accept"
    assert page.headers["etag"] != told.headers["etag"]
    assert "vary" not in get(crate, WHEEL).headers


def test_a_page_without_its_slash_leads_there(crate: Crate) -> None:
    answer = get(crate, PAGE.rstrip("/"))
    assert (answer.status, answer.headers["location"]) == (301, PAGE)


@pytest.mark.parametrize("path", [RELEASE, WHEEL, SCOPED, "/helm/index.yaml"])
def test_who_has_it_is_told_so(crate: Crate, path: str) -> None:
    first = get(crate, path)
    etag, modified = first.headers["etag"], first.headers["last-modified"]
    assert modified == "Sun, 01 Nov 2026 00:00:00 GMT"
    for headers in ({"If-None-Match": etag}, {"If-None-Match": f'"x", W/{etag}'}, {"If-Modified-Since": modified}):
        answer = get(crate, path, headers)
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag)
    for headers in (
        {"If-None-Match": '"x"', "If-Modified-Since": modified},
        {"If-Modified-Since": "Mon, 02 Nov 2026 00:00:00 GMT"},  # later, and yet another content: a rollback
    ):
        assert get(crate, path, headers).status == 200


@pytest.mark.parametrize("path", [RELEASE, WHEEL])
def test_a_part_of_it(crate: Crate, path: str) -> None:
    whole = get(crate, path)
    answer = get(crate, path, {"Range": "bytes=10-19"})
    assert (answer.status, answer.body) == (206, whole.body[10:20])
    assert answer.headers["content-range"] == f"bytes 10-19/{len(whole.body)}"
    for validator in (whole.headers["etag"], whole.headers["last-modified"]):
        assert get(crate, path, {"Range": "bytes=10-", "If-Range": validator}).body == whole.body[10:]
    for validator in ('"x"', "Mon, 02 Nov 2026 00:00:00 GMT"):
        assert get(crate, path, {"Range": "bytes=10-", "If-Range": validator}).body == whole.body
    beyond = get(crate, path, {"Range": "bytes=999999-"})
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(whole.body)}")


@pytest.mark.parametrize("host", ["crate.internal:5000", "10.0.0.1", "[::1]:5000"])
def test_addresses_in_documents_are_those_that_the_client_used(crate: Crate, host: str) -> None:
    packument = get(crate, SCOPED, {"Host": host})
    tarball = json.loads(packument.body)["versions"]["1.0.0"]["dist"]["tarball"]
    assert tarball == f"https://{host}/npm/@team/yours/-/yours-1.0.0.tgz"
    assert f"URIs: https://{host}/apt/tests\n" in get(crate, "/apt/tests.sources", {"Host": host}).body.decode()
    other = get(crate, SCOPED, {"Host": "elsewhere"})
    assert other.headers["etag"] != packument.headers["etag"]


@pytest.mark.parametrize("host", ['x"><script>', "a b", "", "x/../y"])
def test_a_host_that_is_none_is_not_repeated(crate: Crate, host: str) -> None:
    answer = get(crate, SCOPED, {"Host": host})
    if answer.status == 200:
        assert b"https://crate.internal:" in answer.body
    else:
        assert answer.status == 400


def test_the_plain_port_serves_what_is_signed_and_nothing_else(crate: Crate) -> None:
    assert plainly(crate, RELEASE).body == get(crate, RELEASE).body
    assert f"URIs: http://127.0.0.1:{crate.plain}/apt/tests\n" in plainly(crate, "/apt/tests.sources").body.decode()
    for path in (PAGE, SCOPED, "/helm/index.yaml", "/files/tool/notes"):
        assert plainly(crate, path).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", [RELEASE, PAGE, SCOPED, "/helm/index.yaml", "/files/tool/notes"])
def test_nobody_changes_anything(crate: Crate, method: str, path: str) -> None:
    before = get(crate, path).body
    published = method == "PUT" and path == SCOPED  # which is how npm publishes; this is nothing to publish
    assert crate.request(method, path, b"x").status == (400 if published else 405)
    assert get(crate, path).body == before


def test_the_list_of_files_holds_files_only(crate: Crate) -> None:
    (listed,) = json.loads(get(crate, "/files/").body)
    assert (listed["path"], listed["size"]) == ("tool/notes", 5)


def test_a_private_crate_wants_a_token_for_every_root(store: Path, tmp_path: Path) -> None:
    root = shutil.copytree(store, tmp_path / "root")
    with serving.crate(root, "--private") as private:
        for path in (RELEASE, PAGE, SCOPED, "/helm/index.yaml", "/files/tool/notes", "/files/"):
            refused = get(private, path)
            assert refused.status == 401
            assert "www-authenticate" in refused.headers
            assert private.request("GET", path).status == 200
        assert plainly(private, RELEASE).status == 401


def variant(media_type: str, *accepts: str) -> Served:
    return Served("x", accepts, "00", 0, media_type, origin_bound=False, modified=0, document=1)


ACCEPTS = {
    "nothing at all": ("", "text/html"),
    "one of them": (PEP_691, PEP_691),
    "its other name": ("application/vnd.pypi.simple.latest+json", PEP_691),
    "both, the page rather": (f"{PEP_691};q=0.5, text/html", "text/html"),
    "both alike": (f"text/html, {PEP_691}", "text/html"),
    "a family": ("application/*", PEP_691),
    "anything, but rather the page": (f"*/*;q=0.1, {PEP_691};q=0", "text/html"),
    "anything but the page": ("*/*, text/html;q=0", PEP_691),
    "a quality that is no number": (f"{PEP_691};q=high", "text/html"),
    "capitals and parameters": (f"{PEP_691.upper()}; charset=utf-8 ; Q=0.9, text/html;q=0.8", PEP_691),
    "commas alone": (",,,", "text/html"),
}


@pytest.mark.parametrize(("accept", "chosen"), ACCEPTS.values(), ids=ACCEPTS)
def test_what_is_chosen_for_who_accepts(accept: str, chosen: str) -> None:
    variants = [variant("text/html"), variant(PEP_691, PEP_691, "application/vnd.pypi.simple.latest+json")]
    assert choose(variants, accept).media_type == chosen

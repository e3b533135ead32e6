"""Every address with what nobody in his right mind sends: an answer, no word of the program's insides, no harm done."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from appliance.access import Role
from appliance.store import Store
from appliance.users import Users
from tests.appliance.daemon import hostile, serving
from tests.appliance.daemon.conftest import FILES, HELD
from tests.appliance.daemon.hostile import request, send
from tests.appliance.daemon.serving import Crate
from tests.support.images import MadeImage
from tests.support.ports import wait_until

PASSWORD = "a password that nobody may see"
GUESS = "a-secret-that-somebody-mistyped"
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


@pytest.fixture(scope="module")
def crate(tmp_path_factory: pytest.TempPathFactory, held: MadeImage) -> Iterator[Crate]:
    root = tmp_path_factory.mktemp("hostile") / "store"
    serving.hold(root, HELD, held.layout, {"1": held.digest}, FILES)
    with Store.open(root) as store:
        Users(store.database).add("ann", PASSWORD, Role.PUBLISHER)
    with serving.crate(root) as running:
        yield running


def answered(crate: Crate, requests: Sequence[bytes], *, plain: bool = True) -> list[int]:
    """The statuses of the first port's answers. Whatever was asked for, there is one answer, and nothing breaks."""
    said = serving.log_of(crate.root)
    before, outside = len(said.read_text(errors="replace")), set(crate.root.parent.iterdir())
    statuses = []
    for port in [crate.port, crate.plain] if plain else [crate.port]:
        for data in requests:
            came = send(port, data)
            found = _STATUS.findall(came)
            assert len(found) == 1 or (not found and came), (data[:200], came[:300])
            assert b"Traceback" not in came, came[:2000]
            assert b"SQLite format" not in came
            assert b"x-injected" not in came.partition(b"\r\n\r\n")[0].lower()
            status = int(found[0]) if found else 0
            assert status < 500, (data[:200], came[:300])
            if port == crate.port:
                statuses.append(status)
    log = said.read_text(errors="replace")[before:]
    assert "Traceback" not in log, log[-3000:]
    assert set(crate.root.parent.iterdir()) == outside
    return statuses


@pytest.mark.parametrize("path", hostile.PATHS.values(), ids=hostile.PATHS.keys())
def test_paths(crate: Crate, path: str) -> None:
    statuses = answered(crate, [request(f"GET {root}{path}") for root in hostile.ROOTS])
    if not path.startswith("?"):
        assert {200, 206}.isdisjoint(statuses)


@pytest.mark.parametrize("header", hostile.HEADERS.values(), ids=hostile.HEADERS.keys())
def test_headers(crate: Crate, header: bytes) -> None:
    paths = [*hostile.ROOTS, "/files/tools/arm64/tool", f"/v2/{HELD}/manifests/1"]
    answered(crate, [b"GET %b HTTP/1.1\r\nConnection: close\r\n%b\r\n" % (path.encode(), header) for path in paths])


@pytest.mark.parametrize("line", hostile.LINES.values(), ids=hostile.LINES.keys())
def test_request_lines(crate: Crate, line: bytes) -> None:
    answered(crate, [line + b"\r\nHost: a\r\nConnection: close\r\n\r\n"])


@pytest.mark.parametrize("method", ["TRACE", "OPTIONS", "PROPFIND", "POST", "PUT", "PATCH", "DELETE"])
def test_methods(crate: Crate, method: str) -> None:
    statuses = answered(crate, [request(f"{method} {root}nothing", secret=crate.token) for root in hostile.ROOTS])
    assert {*statuses} <= {400, 401, 403, 404, 405}


@pytest.mark.parametrize("framing", hostile.FRAMINGS.values(), ids=hostile.FRAMINGS.keys())
def test_framings_that_two_servers_read_differently_are_refused(crate: Crate, framing: bytes) -> None:
    head = f"Host: a\r\nAuthorization: Bearer {crate.token}\r\n".encode()
    requests = [b"%b HTTP/1.1\r\n%b%b%b" % (line.encode(), head, framing, hostile.HIDDEN) for line in hostile.BODIES]
    assert {*answered(crate, requests)} == {400}
    assert "smuggled" not in serving.log_of(crate.root).read_text()


@pytest.mark.parametrize("body", hostile.CHUNKS.values(), ids=hostile.CHUNKS.keys())
def test_chunks(crate: Crate, body: bytes) -> None:
    chunked = {"Transfer-Encoding": "chunked"}
    answered(crate, [request(line, chunked, body, secret=crate.token) for line in hostile.BODIES], plain=False)


@pytest.mark.parametrize("asked", hostile.RANGES.values(), ids=hostile.RANGES.keys())
def test_ranges(crate: Crate, held: MadeImage, asked: bytes) -> None:
    digest, _ = serving.largest_layer(held)
    paths = ["/files/tools/arm64/tool", f"/v2/{HELD}/manifests/1", f"/v2/{HELD}/blobs/{digest}"]
    statuses = answered(crate, [request(f"GET {path}", {"Range": asked}) for path in paths])
    assert {*statuses} <= {200, 206, 416}


@pytest.mark.parametrize(("media_type", "body"), hostile.FORMS.values(), ids=hostile.FORMS.keys())
def test_forms(crate: Crate, media_type: str | bytes, body: bytes) -> None:
    headers = {"Content-Type": media_type}
    sent = [request(line, headers, body, secret=crate.token) for line in hostile.UPLOADS]
    assert 200 not in answered(crate, sent, plain=False)
    answered(crate, [request("POST /token", headers, body)], plain=False)
    wait_until(lambda: not list((crate.root / "uploads").iterdir()), "what was received to be thrown away")


@pytest.mark.parametrize("body", hostile.DOCUMENTS.values(), ids=hostile.DOCUMENTS.keys())
def test_documents(crate: Crate, body: bytes) -> None:
    types: list[str | bytes] = [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "",
        b"\xff",
    ]
    sent = [
        *(request("PUT /v2/people/x/manifests/1", {"Content-Type": each}, body, secret=crate.token) for each in types),
        request("PUT /npm/x", {"Content-Type": "application/json"}, body, secret=crate.token),
        request("PUT /npm/-/user/org.couchdb.user:x", {"Content-Type": "application/json; charset=nonsense"}, body),
    ]
    statuses = answered(crate, sent, plain=False)
    assert {*statuses} <= {201, 400, 401, 403, 404, 413, 429}


@pytest.mark.parametrize("changed", hostile.PACKUMENTS, ids=str)
def test_packuments(crate: Crate, changed: dict[str, object]) -> None:
    sent = [
        request("PUT /npm/x", {"Content-Type": "application/json"}, hostile.packument(**changed), secret=crate.token)
    ]
    assert {*answered(crate, sent, plain=False)} <= {201, 400, 409}


@pytest.mark.parametrize("line", ["POST /token", "PUT /npm/-/user/org.couchdb.user:x"])
def test_of_small_bodies_only_so_much_is_read(crate: Crate, line: str) -> None:
    much = b"%x\r\n%b\r\n" % (3 << 20, b"a" * (3 << 20))
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Transfer-Encoding": "chunked"}
    assert send(crate.port, request(line, headers, much), wait=1).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("line", ["PUT /npm/x", "POST /helm/api/charts", "POST /v2/people/x/blobs/uploads/"])
def test_what_cannot_fit_is_refused_before_it_is_sent(crate: Crate, line: str) -> None:
    path = f"{line}?digest=sha256:{'0' * 64}"
    head = f"{path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {crate.token}\r\nContent-Length: {1 << 62}\r\n\r\n"
    assert send(crate.port, head.encode(), wait=1).startswith(b"HTTP/1.1 507 ")


def test_what_was_secret_stands_in_no_log(crate: Crate) -> None:
    """Right or mistyped, in a header, a query, a form or a request that cannot even be read."""
    basic = base64.b64encode(f"ann:{PASSWORD}".encode()).decode()
    wrong = base64.b64encode(f"ann:{GUESS}".encode()).decode()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    login = b'{"name":"ann","password":"%b"}' % GUESS.encode()
    answered(
        crate,
        [
            request("GET /v2/", {"Authorization": f"Basic {basic}"}),
            request("GET /files/", {"Authorization": f"Basic {wrong}"}),
            request("GET /files/", {"Authorization": f"Bearer {GUESS}"}),
            request(f"GET /v2/nothing/manifests/1?token={GUESS}", {"Referer": f"https://a/?token={GUESS}"}),
            request(f"GET /nothing?password={GUESS}"),
            request("POST /token", form, f"username=ann&password={GUESS}".encode()),
            request("PUT /npm/-/user/org.couchdb.user:ann", {"Content-Type": "application/json"}, login),
            request("GET /v2/", {"Authorization": f"Bearer {crate.token}\0"}),
            request("GET /v2/", {"Authorization": f"Bearer {crate.token}", "X-Long": "a" * 20_000}),
            request(
                "PUT /npm/x", {"Content-Type": "application/json"}, b'{"_auth":"' + GUESS.encode(), secret=crate.token
            ),
        ],
    )
    seen = crate.root / "logs/access.jsonl"
    request_after = "/this-is-logged-last"
    send(crate.port, request(f"GET {request_after}"))
    wait_until(lambda: seen.exists() and request_after in seen.read_text(), "the access log")
    secrets = [PASSWORD, GUESS, crate.token, crate.token.rpartition("_")[2], basic, wrong]
    for file in [serving.log_of(crate.root), *_files(crate.root / "logs")]:
        text = file.read_text(errors="replace")
        assert not [secret for secret in secrets if secret in text], file


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]

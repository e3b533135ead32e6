"""The pages as a browser without JavaScript sees them: what they say, to whom, and what they refuse."""

from __future__ import annotations

import http.client
import re
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest

from tests.appliance.daemon.serving import Answer, Crate
from tests.appliance.web.worlds import HOSTILE, NGINX, PASSWORD, SECRET

PAGES = [
    "/",
    "/contents",
    "/contents?q=nginx",
    f"/contents/image/{NGINX}",
    "/contents/file/k9s/2.0/k9s-arm64",
    "/nodes",
    "/generations",
    "/generations/2",
    "/generations/2?since=1",
    "/requests",
    "/installation",
    "/space",
    "/setup",
    "/setup/docker",
    "/setup/apt",
    "/sign-on",
]


def get(crate: Crate, path: str, cookie: str = "") -> Answer:
    return crate.request("GET", path, headers={"Cookie": cookie} if cookie else {}, token="")


def post(crate: Crate, path: str, fields: dict[str, str], cookie: str = "", **headers: str) -> Answer:
    sent = {"Content-Type": "application/x-www-form-urlencoded", "Origin": crate.url, "Cookie": cookie}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    kept = {name: value for name, value in {**sent, **named}.items() if value}
    return crate.request("POST", path, urlencode(fields).encode(), kept, token="")


def sign_on(crate: Crate, name: str) -> str:
    """The cookie, as a browser sends it back."""
    answer = post(crate, "/sign-on", {"name": name, "password": PASSWORD, "next": "/requests"})
    assert (answer.status, answer.headers["location"]) == (303, "/requests"), answer
    return answer.headers["set-cookie"].partition(";")[0]


class Outline(HTMLParser):
    """What a screen reader goes by."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def outline(answer: Answer) -> Outline:
    parser = Outline()
    parser.feed(answer.body.decode())
    return parser


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_whole_and_protected(crate: Crate, path: str) -> None:
    answer = get(crate, path)
    assert answer.status == 200, answer
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    seen = outline(answer)
    assert [tag for tag in ("header", "nav", "main", "footer", "h1", "title") if not seen.of(tag)] == []
    assert len(seen.of("h1")) == 1
    assert seen.of("html") == [{"lang": "en"}]
    labels = {attributes.get("for") for attributes in seen.of("label")}
    inputs = [*seen.of("input"), *seen.of("select")]
    assert [each for each in inputs if each.get("type") != "hidden" and each.get("id") not in labels] == []
    ids = [attributes["id"] for _, attributes in seen.tags if "id" in attributes]
    assert len(ids) == len({*ids})
    assert [attributes for _, attributes in seen.tags if "style" in attributes or "onclick" in attributes] == []


@pytest.mark.parametrize("path", PAGES)
def test_nothing_comes_from_elsewhere(crate: Crate, path: str) -> None:
    seen = outline(get(crate, path))
    wanted = [attributes.get("src") or attributes.get("href") or "" for _, attributes in seen.tags]
    fetched = [url for url in wanted if url.startswith("/page/")]
    assert {url.rpartition("/")[2] for url in fetched} == {"style.css", "crate.js", "icon.svg"}
    assert [url for url in wanted if url and not url.startswith(("/", "#", "?"))] == []
    assert [url for url in wanted if url.startswith("//")] == []
    for url in {*fetched}:
        answer = get(crate, url)
        assert answer.status == 200
        assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/", "One thing wants attention"),
        ("/", "Node n2 failed" if False else "deploy"),
        ("/contents?q=nginx", "docker pull {address}/docker.io/library/nginx:1.27"),
        (
            f"/contents/image/{NGINX}",
            "ctr images pull --hosts-dir /etc/containerd/certs.d docker.io/library/nginx:1.27",
        ),
        (
            "/contents/file/k9s/2.0/k9s-arm64",
            "curl -fO --cacert /etc/buzzcrate/ca.pem https://{address}/files/k9s/2.0/k9s-arm64",
        ),
        ("/nodes", "10.77.0.11"),
        ("/generations", "release@workshop"),
        ("/generations/2?since=1", "k9s/2.0/k9s-arm64"),
        ("/requests", "docker.io/library/postgres:17"),
        ("/installation", "preflight"),
        ("/space", "free"),
        ("/setup/docker", "https://{address}/setup/docker.sh"),
    ],
)
def test_what_a_page_says(crate: Crate, path: str, said: str) -> None:
    assert said.format(address=crate.address) in get(crate, path).body.decode()


def test_what_clients_set_up_with_is_what_the_page_offers(crate: Crate) -> None:
    script = get(crate, "/setup/docker.sh")
    assert script.headers["content-type"].startswith("text/plain")
    assert f"/etc/docker/certs.d/{crate.address}/ca.crt" in script.body.decode()
    assert get(crate, "/setup/toaster").status == 400
    assert get(crate, "/setup/toaster.sh").status == 400


@pytest.mark.parametrize(
    "path", ["/contents?q=script", "/requests", f"/contents?q={'%3Cscript%3Ealert(1)%3C/script%3E'}"]
)
def test_hostile_names_stay_text(crate: Crate, path: str) -> None:
    body = get(crate, path).body.decode()
    assert "&lt;script&gt;alert(1)" in body
    assert "<script>alert(1)" not in body
    assert "{{7*7}}" in body or "q=" in path
    assert "49" not in re.findall(r"alert\(1\)&lt;/script&gt;[^<]*", body)


def test_private_names_are_shown_to_those_who_may_read_them(own_crate: Crate) -> None:
    olga, rita, sam = (sign_on(own_crate, name) for name in ("olga", "rita", "sam"))
    for path in ("/contents?q=secret", "/requests", "/generations/2?since=1"):
        assert SECRET not in get(own_crate, path).body.decode(), path
        assert SECRET not in get(own_crate, path, rita).body.decode(), path
    assert get(own_crate, f"/contents/file/{SECRET}", rita).status == 404
    for cookie in (olga, sam):
        assert get(own_crate, f"/contents/file/{SECRET}", cookie).status == 200
        assert SECRET in get(own_crate, "/contents?q=secret", cookie).body.decode()
    assert f"{SECRET}-2" in get(own_crate, "/requests", sam).body.decode()


def test_where_pulls_are_closed_people_sign_on_first(closed_crate: Crate) -> None:
    for path in ("/", "/contents?q=nginx", "/nodes", "/setup/docker"):
        answer = get(closed_crate, path)
        assert answer.status == 303
        assert answer.headers["location"].startswith("/sign-on?next=/"), answer
    for path in ("/metrics", "/api/v1/status", "/setup/docker.sh"):
        assert get(closed_crate, path).status == 401
    cookie = sign_on(closed_crate, "rita")
    assert get(closed_crate, "/contents?q=nginx", cookie).status == 200
    assert get(closed_crate, "/api/v1/status", cookie).status == 200


def test_the_cookie_is_as_strict_as_cookies_are(crate: Crate) -> None:
    answer = post(crate, "/sign-on", {"name": "rita", "password": PASSWORD})
    words = {word.strip() for word in answer.headers["set-cookie"].split(";")[1:]}
    assert answer.headers["set-cookie"].startswith("__Host-crate=")
    assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} <= words
    cookie = answer.headers["set-cookie"].partition(";")[0]
    assert "Signed on as" in get(crate, "/", cookie).body.decode()
    assert "Signed on as" not in get(crate, "/", cookie[:-20] + cookie[:-21:-1]).body.decode()
    gone = post(crate, "/sign-off", {}, cookie)
    assert "Max-Age=0" in gone.headers["set-cookie"]


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"name": "rita", "password": "wrong"}, 401, "do not fit"),
        ({"name": "nobody", "password": PASSWORD}, 401, "do not fit"),
        ({}, 401, "do not fit"),
        ({"name": HOSTILE, "password": HOSTILE, "next": HOSTILE}, 401, "do not fit"),
    ],
    ids=["a wrong password", "nobody of that name", "nothing filled in", "hostile words"],
)
def test_who_does_not_sign_on(crate: Crate, fields: dict[str, str], status: int, said: str) -> None:
    answer = post(crate, "/sign-on", fields)
    assert (answer.status, "set-cookie" in answer.headers) == (status, False)
    assert said in answer.body.decode()
    assert "<script>alert" not in answer.body.decode()


@pytest.mark.parametrize(
    "wanted",
    ["//evil.example.org/", "https://evil.example.org/", "/\\evil.example.org", "javascript:alert(1)", "/\r\nX: y"],
)
def test_nobody_is_sent_elsewhere_after_signing_on(crate: Crate, wanted: str) -> None:
    answer = post(crate, "/sign-on", {"name": "rita", "password": PASSWORD, "next": wanted})
    assert (answer.status, answer.headers["location"]) == (303, "/")


DEEDS = ["/requests/forget", "/generations/1/activate", "/space/collect", "/sign-off"]


@pytest.mark.parametrize("path", [*DEEDS, "/sign-on"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example.org"},
        {"Origin": "null"},
        {"Origin": "", "Sec_Fetch_Site": "cross-site"},
        {"Origin": "", "Sec_Fetch_Site": "same-site"},
        {"Origin": ""},
    ],
    ids=["another origin", "an origin that hides", "another site", "a sibling's page", "no word of where from"],
)
def test_what_another_site_sends_does_nothing(crate: Crate, path: str, headers: dict[str, str]) -> None:
    cookie = sign_on(crate, "olga")
    answer = post(crate, path, {"name": "rita", "password": PASSWORD}, cookie, **headers)
    assert answer.status == 403
    assert "set-cookie" not in answer.headers
    assert "docker.io/library/postgres:17" in get(crate, "/requests", cookie).body.decode()


@pytest.mark.parametrize("path", DEEDS[:3])
def test_only_operators_change_anything(crate: Crate, path: str) -> None:
    assert get(crate, path).status in {404, 405}
    assert post(crate, path, {}).status == 401
    assert post(crate, path, {}, sign_on(crate, "rita")).status == 403


def test_an_operator_changes_things(own_crate: Crate) -> None:
    cookie = sign_on(own_crate, "olga")
    assert "Forget all of them" in get(own_crate, "/requests", cookie).body.decode()
    assert post(own_crate, "/requests/forget", {}, cookie).headers["location"] == "/requests"
    assert "Nothing is missing" in get(own_crate, "/requests", cookie).body.decode()
    assert post(own_crate, "/generations/1/activate", {}, cookie).headers["location"] == "/generations"
    assert get(own_crate, "/files/k9s/2.0/k9s-arm64").status == 404
    assert post(own_crate, "/generations/99/activate", {}, cookie).status == 404
    assert post(own_crate, "/space/collect", {}, cookie).headers["location"] == "/space"
    assert 'class="state good">in use' in get(own_crate, "/generations/1", cookie).body.decode()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/contents?page=-1", 200),
        ("/contents?page=99999999999999999999", 200),
        ("/contents?kind=toast", 200),
        ("/contents?q=" + "%F0%9F%92%A9" * 300, 200),
        ("/contents?q=%00%ff", 200),
        ("/contents/image/..%2f..%2fetc%2fpasswd", 404),
        ("/contents/toast/nginx", 400),
        ("/contents/file/%00", 404),
        ("/generations/0", 400),
        ("/generations/99", 404),
        ("/generations/2?since=99", 404),
        ("/generations/9999999999999999999999", 400),
        ("/page/0/style.css", 404),
        ("/page/0/..%2f..%2fpages.py", 404),
        ("/setup/..%2fx", 400),
        ("/sign-on?next=//evil.example.org", 200),
    ],
)
def test_odd_addresses(crate: Crate, path: str, status: int) -> None:
    answer = get(crate, path)
    assert answer.status == status, answer
    assert b"Traceback" not in answer.body
    assert b"evil.example.org" not in answer.body


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\xff\xfe=%zz&" * 20, "application/x-www-form-urlencoded"),
        (b"a=b&" * 50, "application/x-www-form-urlencoded"),
        (b"x" * 100_000, "application/x-www-form-urlencoded"),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x"),
        (b"name=rita", "application/x-www-form-urlencoded; charset=toast"),
        (b"{}", "application/json"),
    ],
    ids=["bytes that are no text", "many fields", "a large body", "a broken multipart", "an odd charset", "json"],
)
def test_odd_forms(crate: Crate, body: bytes, kind: str) -> None:
    answer = crate.request("POST", "/sign-on", body, {"Content-Type": kind, "Origin": crate.url}, token="")
    assert answer.status in {400, 401, 413}, answer
    assert b"Traceback" not in answer.body


def test_a_hostile_host_gets_no_further(crate: Crate) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", crate.port)
    connection.sock = crate.connect()
    connection.putrequest("GET", "/setup/docker.sh", skip_host=True)
    connection.putheader("Host", "x';reboot;'")
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert b"reboot" not in body


def test_what_people_publish_cannot_act_as_a_page_of_the_crate(crate: Crate) -> None:
    answer = get(crate, "/files/plain.txt")
    assert answer.status == 200
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"

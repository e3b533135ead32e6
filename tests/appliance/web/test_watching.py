"""What machines look at: metrics, readiness, and the log of what was asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from appliance.access import Role
from appliance.web.access_log import AccessLog
from appliance.web.metrics import Metrics, by_label, text
from tests.appliance.daemon.serving import Crate, make_token
from tests.appliance.daemon.serving import crate as serve
from tests.appliance.web.worlds import PASSWORD, logged
from tests.support.ports import wait_until

# One line of the exposition format: a comment, or a sample.
LINE = re.compile(
    r"# (HELP|TYPE) [a-z_]+ .+"
    r'|[a-z_]+(\{[a-z_]+="([^"\\\n]|\\[\\"n])*"(,[a-z_]+="([^"\\\n]|\\[\\"n])*")*\})? -?[0-9.]+(e[+-]?[0-9]+)?'
)


def test_metrics_are_what_prometheus_reads(crate: Crate) -> None:
    crate.request("GET", "/v2/docker.io/library/nginx/manifests/1.27", token="")
    crate.request("OPTIONS", "/v2/", token="")
    answer = crate.request("GET", "/metrics", token="")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.body.decode().splitlines()
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    found = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert int(found['crate_http_requests_total{area="v2",method="GET",status="200"}']) >= 1
    assert 'crate_http_requests_total{area="v2",method="other",status="405"}' in found
    assert found["crate_generation"] == "2"
    assert found['crate_items{kind="image"}'] == "1"
    assert found['crate_nodes{state="failed"}'] == "1"
    assert 10 << 20 < int(found["process_resident_memory_bytes"]) < 300 << 20
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(types) == len({*types})


def test_labels_are_escaped() -> None:
    assert 'b="a\\"\\\\\\n"} 1' in text([by_label("a", "about", "b", {'a"\\\n': 1})])


def test_counting_does_not_grow_with_what_is_asked() -> None:
    metrics = Metrics()
    for number in range(1000):
        metrics.count(f"M{number}", f"/{number}/x", 404, 0, 0.1)
    assert len(text(metrics.samples()).splitlines()) < 40


def test_ready(crate: Crate) -> None:
    answer = crate.request("GET", "/readyz", token="")
    assert (answer.status, answer.body) == (200, b'{"ready": true, "why": []}')


def test_each_request_has_a_line_and_no_secret_in_it(own_crate: Crate) -> None:
    token = make_token(own_crate.root, Role.READER)
    own_crate.request("GET", "/contents?q=sesame", headers={"User-Agent": 'odd"\\\u00e9'}, token="")
    own_crate.request("GET", "/files/plain.txt", token=token)
    own_crate.request("GET", "/files/%0a%22toast", token="")
    own_crate.request("GET", "/ca.pem", port=own_crate.plain, token="")
    credentials = {"Content-Type": "application/x-www-form-urlencoded", "Origin": own_crate.url}
    own_crate.request("POST", "/sign-on", f"name=rita&password={PASSWORD}".encode(), credentials, token="")
    wait_until(lambda: len(logged(own_crate.root)) >= 5, "the log")
    lines = {str(line["path"]): line for line in logged(own_crate.root)}
    assert lines["/contents"]["status"] == 200
    assert "odd" in str(lines["/contents"]["agent"])
    assert str(lines["/files/plain.txt"]["user"]).startswith("token:")
    assert lines["/files/plain.txt"]["bytes"] == 17
    assert lines["/ca.pem"]["client"] == "127.0.0.1"
    (odd,) = (line for path, line in lines.items() if "toast" in path)
    assert {"time", "method", "seconds", "status"} <= odd.keys()
    written = "".join(path.read_text() for path in (own_crate.root / "logs").iterdir())
    for secret in (token, PASSWORD, "correct+horse", "sesame"):
        assert secret not in written
    assert (own_crate.root / "logs").stat().st_mode & 0o777 == 0o700


def test_what_was_asked_last_is_written_when_the_daemon_ends(tmp_path: Path) -> None:
    with serve(tmp_path / "store") as crate:
        crate.request("GET", "/healthz", token="")
    assert [line["path"] for line in logged(tmp_path / "store")] == ["/healthz"]


def test_no_log_where_none_is_wanted(tmp_path: Path) -> None:
    with serve(tmp_path / "store", "--access-log", "0") as crate:
        crate.request("GET", "/healthz", token="")
        assert b'area="page",method="GET",status="200"} 1' in crate.request("GET", "/metrics", token="").body
    assert not (tmp_path / "store/logs").exists()


class Request:
    """As much of aiohttp's as the log looks at."""

    method, remote = "GET", "10.77.0.11"
    headers: ClassVar = {"User-Agent": "agent" * 20}

    class rel_url:  # noqa: N801 - its name there
        raw_path = "/v2/" + "long/" * 50

    def get(self, _key: str, default: str) -> str:
        return default


class Response:
    status, content_length = 200, 1234


@pytest.fixture
def log(tmp_path: Path) -> Iterator[AccessLog]:
    made = AccessLog(tmp_path / "logs", Metrics(), size=1)
    yield made
    made.close()


def note(log: AccessLog, times: int) -> None:
    for _ in range(times):
        log.note(Request(), Response(), 0.001)  # type: ignore[arg-type]


def test_the_log_takes_no_more_than_it_may(log: AccessLog, tmp_path: Path) -> None:
    for _ in range(10):
        note(log, 500)
        log.flush()
    used = sum(path.stat().st_size for path in (tmp_path / "logs").iterdir())
    assert 700_000 < used <= 1 << 20


def test_what_is_too_much_is_counted(tmp_path: Path) -> None:
    metrics = Metrics()
    log = AccessLog(tmp_path / "logs", metrics, size=1)
    note(log, 50_010)
    assert metrics.unlogged == 10


def test_a_disk_that_takes_nothing_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "logs").write_text("in the way")
    metrics = Metrics()
    log = AccessLog(tmp_path / "logs", metrics)
    for _ in range(3):
        note(log, 5)
        log.flush()
    assert metrics.unlogged == 15
    assert len([record for record in caplog.records if "cannot be written" in record.message]) == 1

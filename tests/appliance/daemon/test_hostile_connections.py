"""Clients that hold on to what they have: connections, half a request, an upload, the database itself."""

from __future__ import annotations

import resource
import socket
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from appliance import database
from appliance.database import Database
from appliance.errors import StoreBusy
from tests.appliance.daemon import serving
from tests.appliance.daemon.conftest import HELD
from tests.appliance.daemon.serving import Crate, largest_layer, sha256
from tests.appliance.daemon.test_faults import resident
from tests.support.images import MadeImage
from tests.support.ports import wait_until

CROWD = 1000


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_1000_idle_connections_keep_nobody_waiting(
    plain_crate: Crate, tls_crate: Crate, held: MadeImage, *, tls: bool
) -> None:
    crate = tls_crate if tls else plain_crate
    digest, data = largest_layer(held)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with ExitStack() as idle, ThreadPoolExecutor(8) as pool:
        for number, connection in enumerate(pool.map(lambda _: crate.connect(), range(CROWD))):
            idle.enter_context(connection)
            if number % 2:
                connection.sendall(b"GET /v2/ HT")
        for _ in range(20):
            assert crate.request("GET", f"/v2/{HELD}/manifests/1").status == 200
        assert crate.request("GET", f"/v2/{HELD}/blobs/{digest}").body == data
        crate.push_blob("people/crowded", b"pushed in a crowd")
        assert resident(crate.pid) < 200 << 20, f"{resident(crate.pid) >> 20} MiB"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_whoever_does_not_come_to_the_point_is_cut_off(tmp_path: Path, *, tls: bool) -> None:
    with serving.crate(tmp_path / "store", "--idle", "2", tls=tls) as crate, ExitStack() as slow:
        connections = [slow.enter_context(crate.connect()) for _ in range(40)]
        for connection in connections[:30]:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n")
        ends = time.monotonic() + 30
        while connections and time.monotonic() < ends:
            for connection in connections[:]:
                if _has_ended(connection):
                    connections.remove(connection)
            assert crate.request("GET", "/healthz").status == 200
        assert not connections


def _has_ended(connection: socket.socket) -> bool:
    """Sends a little more, as slow clients do, and looks whether anybody is there."""
    connection.settimeout(0.01)
    try:
        connection.sendall(b"X-Slow: a\r\n")
        return connection.recv(1000) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize(
    ("line", "headers"),
    [
        ("POST /v2/people/x/blobs/uploads/?digest=sha256:" + "0" * 64, ""),
        ("PUT /npm/x", "Content-Type: application/json\r\n"),
        ("POST /pypi/", "Content-Type: multipart/form-data; boundary=x\r\n"),
        ("POST /helm/api/charts", "Content-Type: multipart/form-data; boundary=x\r\n"),
        ("POST /helm/api/charts", ""),
    ],
    ids=["a blob", "npm publish", "twine upload", "a chart's form", "a chart"],
)
def test_aborted_uploads_leave_nothing(tmp_path: Path, line: str, headers: str) -> None:
    with serving.crate(tmp_path / "store") as crate:
        uploads = crate.root / "uploads"
        head = f"{line} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {crate.token}\r\nContent-Length: 9000000\r\n"
        file = "content" if "pypi" in line else "chart"
        part = f'--x\r\nContent-Disposition: form-data; name="{file}"; filename="x-1.tgz"\r\n\r\n'
        begun = f"{head}{headers}\r\n{part if 'multipart' in headers else ''}".encode()
        with crate.connect() as connection:
            connection.sendall(begun + b"a" * 4_000_000)
            wait_until(lambda: any(file.stat().st_size for file in uploads.iterdir()), "the upload")
        wait_until(lambda: not list(uploads.iterdir()), "the upload's end")
        assert "Traceback" not in serving.log_of(crate.root).read_text()


def test_while_another_process_has_the_database_pushes_wait_and_pulls_go_on(plain_crate: Crate) -> None:
    done = threading.Event()

    def push() -> None:
        plain_crate.push_blob("people/patient", b"worth the wait")
        done.set()

    other = sqlite3.connect(plain_crate.root / "crate.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    pusher = threading.Thread(target=push)
    pusher.start()
    for _ in range(20):
        assert plain_crate.request("GET", f"/v2/{HELD}/manifests/1", token="").status == 200
        assert plain_crate.request("GET", f"/v2/{HELD}/manifests/none", token="").status == 404
        time.sleep(0.1)
    assert not done.is_set()
    other.execute("ROLLBACK")
    other.close()
    pusher.join()
    assert done.is_set()
    assert plain_crate.request("GET", f"/v2/people/patient/blobs/{sha256(b'worth the wait')}").status == 200


def test_whoever_waited_too_long_for_the_database_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_BUSY", 0.2)
    mine, other = Database(tmp_path / "crate.db"), Database(tmp_path / "crate.db")
    with other.write(), pytest.raises(StoreBusy, match="another program writes"), mine.write():
        pass
    with mine.write() as connection:
        connection.execute("DELETE FROM requests")
    mine.close()
    other.close()

"""How transfers end that do not run to their end: told to stop, fallen silent, killed."""

from __future__ import annotations

import os
import random
import signal
import socket
from pathlib import Path

import pytest

from tests.appliance.daemon import serving
from tests.appliance.daemon.conftest import HELD
from tests.appliance.daemon.serving import largest_layer, raw_request, sha256
from tests.support.images import MadeImage
from tests.support.ports import LOOPBACK, wait_until


def test_a_stop_lets_downloads_end(tmp_path: Path, held: MadeImage) -> None:
    root = tmp_path / "store"
    serving.hold(root, HELD, held.layout, {"1": held.digest})
    digest, data = largest_layer(held)
    with serving.crate(root) as crate, crate.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(raw_request(crate, "GET", f"/v2/{HELD}/blobs/{digest}"))
        received = connection.recv(2000)
        os.kill(crate.pid, signal.SIGTERM)
        while chunk := connection.recv(65536):
            received += chunk
            if received.endswith(data[-100:]):
                break
        assert received.partition(b"\r\n\r\n")[2] == data


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_a_stop_does_not_wait_for_clients_that_crawl(tmp_path: Path, *, tls: bool) -> None:
    root = tmp_path / "store"
    with serving.crate(root, tls=tls) as crate:
        digest = crate.push_blob("people/large", random.Random(1).randbytes(30_000_000))
        blob = raw_request(crate, "GET", f"/v2/people/large/blobs/{digest}")
        openly = blob.replace(f"Authorization: Bearer {crate.token}\r\n".encode(), b"")
        plain = socket.create_connection((LOOPBACK, crate.plain), timeout=60)
        waiting = [crate.connect(), plain]
        for connection, request in zip(waiting, (blob, openly), strict=True):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(request)
            assert connection.recv(15) == b"HTTP/1.1 200 OK"
        upload = crate.request("POST", "/v2/people/large/blobs/uploads/").headers["location"]
        waiting.append(crate.connect())
        waiting[-1].sendall(raw_request(crate, "PATCH", upload, "Content-Length: 5000000") + bytes(1000))
        wait_until(lambda: any((root / "uploads").iterdir()), "the upload")
        os.kill(crate.pid, signal.SIGTERM)
        wait_until(lambda: _ended(crate.pid), "the end of the daemon", seconds=8)
        for connection in waiting:
            connection.close()
    log = serving.log_of(root).read_text()
    assert "Traceback" not in log, log
    assert "never retrieved" not in log, log


def _ended(pid: int) -> bool:
    """A process that nobody has waited for yet is a zombie."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_silent_clients_are_let_go(tmp_path: Path, *, tls: bool) -> None:
    root = tmp_path / "store"
    with serving.crate(root, "--idle", "0.5", tls=tls) as crate:
        digest = crate.push_blob("people/idle", random.Random(1).randbytes(30_000_000))
        with crate.connect() as reading:
            reading.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reading.sendall(raw_request(crate, "GET", f"/v2/people/idle/blobs/{digest}"))
            assert reading.recv(15) == b"HTTP/1.1 200 OK"
            wait_until(lambda: "broke off: timed out" in serving.log_of(root).read_text(), "the end of the download")
        data = random.Random(2).randbytes(2_000_000)
        location = crate.request("POST", "/v2/people/idle/blobs/uploads/").headers["location"]
        with crate.connect() as writing:
            writing.sendall(raw_request(crate, "PATCH", location, f"Content-Length: {len(data)}") + data[:1_500_000])
            answer = writing.recv(4096)
            assert answer.startswith(b"HTTP/1.1 400"), "a silent client is told so"
        reached = int(crate.request("GET", location).headers["range"].partition("-")[2]) + 1
        assert reached == 1_500_000, "what arrived is what it goes on from"
        assert crate.request("PATCH", location, data[reached:]).status == 202
        assert crate.request("PUT", f"{location}?digest={sha256(data)}").status == 201
        with crate.connect() as writing:
            path = "/v2/people/idle/manifests/1"
            writing.sendall(raw_request(crate, "PUT", path, "Content-Length: 500") + b"{")
            assert writing.recv(4096).startswith(b"HTTP/1.1 400")


def test_a_push_in_chunks_that_kill_9_ended_works_from_scratch(tmp_path: Path) -> None:
    root = tmp_path / "store"
    data = random.Random(6).randbytes(3_000_000)
    path = "/v2/people/chunks/blobs/uploads/"
    with serving.crate(root) as crate:
        location = crate.request("POST", path).headers["location"]
        assert crate.request("PATCH", location, data[:2_000_000]).status == 202
        os.kill(crate.pid, signal.SIGKILL)
    assert [file.stat().st_size for file in (root / "uploads").iterdir()] == [2_000_000]
    with serving.crate(root) as crate:
        assert list((root / "uploads").iterdir()) == []
        answer = crate.request("PATCH", location, data[2_000_000:])
        assert (answer.status, answer.code) == (404, "BLOB_UPLOAD_UNKNOWN")
        location = crate.request("POST", path).headers["location"]
        for at in range(0, len(data), 1_000_000):
            span = {"Content-Range": f"{at}-{at + 999_999}"}
            assert crate.request("PATCH", location, data[at : at + 1_000_000], span).status == 202
        assert crate.request("PUT", f"{location}?digest={sha256(data)}").status == 201
        assert crate.request("GET", f"/v2/people/chunks/blobs/{sha256(data)}").body == data
        assert list((root / "uploads").iterdir()) == []

"""What the daemon must survive: clients that vanish or crawl, kill -9, crowds, disks that lie."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from appliance.store import Store
from tests.appliance.commands import run
from tests.appliance.daemon import serving
from tests.appliance.daemon.conftest import HELD
from tests.appliance.daemon.serving import Crate, largest_layer, raw_request, sha256
from tests.support.crates import CrateMaker, Key
from tests.support.images import OCI_TYPES, MadeImage, make_layout
from tests.support.ports import LOOPBACK, free_port, wait_until
from tests.support.stores import trusting
from tests.support.tools import tool


def resident(pid: int) -> int:
    """Bytes of memory that a process has now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_a_client_that_vanishes_in_an_upload_goes_on_from_where_it_was(plain_crate: Crate) -> None:
    data = random.Random(1).randbytes(3_000_000)
    location = plain_crate.request("POST", "/v2/people/gone/blobs/uploads/").headers["location"]
    with plain_crate.connect() as connection:
        connection.sendall(raw_request(plain_crate, "PATCH", location, f"Content-Length: {len(data)}"))
        connection.sendall(data[:2_000_000])
    reached = 0

    def arrived() -> bool:
        nonlocal reached
        reached = int(plain_crate.request("GET", location).headers["range"].partition("-")[2]) + 1
        return reached == 2_000_000

    wait_until(arrived, "what was sent")
    assert plain_crate.request("GET", f"/v2/people/gone/blobs/{sha256(data)}").status == 404
    span = {"Content-Range": f"{reached}-{len(data) - 1}"}
    assert plain_crate.request("PATCH", location, data[reached:], span).status == 202
    assert plain_crate.request("PUT", f"{location}?digest={sha256(data)}").status == 201
    assert plain_crate.request("GET", f"/v2/people/gone/blobs/{sha256(data)}").body == data


def test_a_client_that_vanishes_in_a_whole_upload_leaves_nothing(plain_crate: Crate) -> None:
    data = random.Random(2).randbytes(2_000_000)
    path = f"/v2/people/gone2/blobs/uploads/?digest={sha256(data)}"
    before = set((plain_crate.root / "uploads").iterdir())
    with plain_crate.connect() as connection:
        connection.sendall(raw_request(plain_crate, "POST", path, f"Content-Length: {len(data)}") + data[:1_500_000])
        wait_until(lambda: set((plain_crate.root / "uploads").iterdir()) != before, "the upload")
    wait_until(lambda: set((plain_crate.root / "uploads").iterdir()) == before, "the upload's end")
    assert plain_crate.request("GET", f"/v2/people/gone2/blobs/{sha256(data)}").status == 404


def test_two_requests_do_not_mix_their_bytes_in_one_upload(plain_crate: Crate) -> None:
    location = plain_crate.request("POST", "/v2/people/mixed/blobs/uploads/").headers["location"]
    with plain_crate.connect() as connection:
        connection.sendall(raw_request(plain_crate, "PATCH", location, "Content-Length: 10") + b"first")
        wait_until(lambda: plain_crate.request("PATCH", location, b"second").status == 416, "the first request")
        connection.sendall(b"first")
        assert connection.recv(1000).startswith(b"HTTP/1.1 202")
    assert plain_crate.request("PUT", f"{location}?digest={sha256(b'firstfirst')}").status == 201


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_clients_that_vanish_in_downloads_leave_no_open_files(
    plain_crate: Crate, tls_crate: Crate, held: MadeImage, *, tls: bool
) -> None:
    crate = tls_crate if tls else plain_crate
    digest, data = largest_layer(held)
    assert crate.request("GET", f"/v2/{HELD}/blobs/{digest}").body == data
    before = open_files(crate.pid)
    for _ in range(20):
        with crate.connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(raw_request(crate, "GET", f"/v2/{HELD}/blobs/{digest}"))
            connection.recv(2000)
    wait_until(lambda: open_files(crate.pid) <= before, "the end of all connections")
    assert crate.request("GET", f"/v2/{HELD}/blobs/{digest}").body == data


def test_concurrent_pushes_of_one_layer_all_succeed(plain_crate: Crate) -> None:
    data = random.Random(3).randbytes(1_500_000)
    digest = sha256(data)
    start = threading.Barrier(8)

    def push(number: int) -> int:
        repository = f"people/crowd{number % 4}"
        location = plain_crate.request("POST", f"/v2/{repository}/blobs/uploads/").headers["location"]
        plain_crate.request("PATCH", location, data)
        start.wait()
        return plain_crate.request("PUT", f"{location}?digest={digest}").status

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(push, range(8))) == [201] * 8
    for number in range(4):
        assert plain_crate.request("GET", f"/v2/people/crowd{number}/blobs/{digest}").body == data
    assert not list((plain_crate.root / "uploads").glob(f"*{digest[7:]}*"))


def test_kill_9_loses_no_acknowledged_push(tmp_path: Path) -> None:
    """Pushes run until the daemon dies; what was answered 201 is there when the next one runs, and nothing is half."""
    root = tmp_path / "store"
    acknowledged: list[tuple[str, bytes]] = []
    tagged: list[tuple[str, bytes]] = []

    def push_until_it_dies(crate: Crate, round_: int, worker: int) -> None:
        noise = random.Random(f"{round_}-{worker}")
        try:
            for number in range(10_000):
                data = noise.randbytes(noise.randrange(10, 300_000))
                answer = crate.request("POST", f"/v2/people/k/blobs/uploads/?digest={sha256(data)}", data)
                assert answer.status == 201
                acknowledged.append((sha256(data), data))
                layer = {"mediaType": "application/octet-stream", "digest": sha256(data), "size": len(data)}
                body = json.dumps(
                    {"schemaVersion": 2, "mediaType": OCI_TYPES.manifest, "config": layer, "layers": []}
                ).encode()
                tag = f"r{round_}-{worker}-{number}"
                headers = {"Content-Type": OCI_TYPES.manifest}
                assert crate.request("PUT", f"/v2/people/k/manifests/{tag}", body, headers).status == 201
                tagged.append((tag, body))
        except (OSError, http.client.HTTPException):
            pass

    for round_ in range(4):
        with serving.crate(root) as crate:
            threads = [threading.Thread(target=push_until_it_dies, args=(crate, round_, worker)) for worker in range(3)]
            for thread in threads:
                thread.start()
            time.sleep(0.4 + 0.13 * round_)
            os.kill(crate.pid, signal.SIGKILL)
            for thread in threads:
                thread.join()
    with serving.crate(root) as crate:
        assert len(tagged) > 10
        for digest, data in acknowledged:
            assert crate.request("GET", f"/v2/people/k/blobs/{digest}").body == data
        for tag, body in tagged:
            assert crate.request("GET", f"/v2/people/k/manifests/{tag}").body == body
        listed = json.loads(crate.request("GET", "/v2/people/k/tags/list").body)["tags"]
        for tag in listed:  # also those that were not acknowledged any more: whole or not at all
            manifest = json.loads(crate.request("GET", f"/v2/people/k/manifests/{tag}").body)
            digest = manifest["config"]["digest"]
            assert sha256(crate.request("GET", f"/v2/people/k/blobs/{digest}").body) == digest
        assert not list((root / "uploads").iterdir())


def test_500_idle_connections_keep_nobody_waiting(plain_crate: Crate, held: MadeImage) -> None:
    digest, data = largest_layer(held)
    idle = [plain_crate.connect() for _ in range(500)]
    try:
        for half, connection in enumerate(idle):
            if half % 2:
                connection.sendall(b"GET /v2/ HT")
        for _ in range(20):
            assert plain_crate.request("GET", f"/v2/{HELD}/manifests/1").status == 200
        assert plain_crate.request("GET", f"/v2/{HELD}/blobs/{digest}").body == data
    finally:
        for connection in idle:
            connection.close()


def test_200_pulls_that_crawl_hold_little_memory(tmp_path: Path) -> None:
    """Over TLS, without redirects, which is where a blob passes through the daemon's memory."""
    made = make_layout(tmp_path / "layout", f"{HELD}:1", ["linux/amd64"], layers=1, layer_size=60 << 20)
    root = tmp_path / "store"
    serving.hold(root, HELD, made.layout, {"1": made.digest})
    digest, _ = largest_layer(made)
    with serving.crate(root, "--no-redirect", tls=True) as crate:
        assert crate.request("GET", f"/v2/{HELD}/manifests/1").status == 200
        before = resident(crate.pid)
        crawling = [crate.connect() for _ in range(200)]
        try:
            for connection in crawling:
                connection.sendall(raw_request(crate, "GET", f"/v2/{HELD}/blobs/{digest}"))
            for _ in range(3):
                for connection in crawling:
                    assert connection.recv(10_000)
            grown = resident(crate.pid) - before
            assert grown < 100 << 20, f"{grown >> 20} MiB"
        finally:
            for connection in crawling:
                connection.close()


def test_a_truncated_pack_breaks_the_connection(tmp_path: Path, held: MadeImage) -> None:
    """A disk that lost bytes must not look like a blob that is complete, nor hang the client."""
    root = tmp_path / "store"
    serving.hold(root, HELD, held.layout, {"1": held.digest})
    (pack,) = (root / "packs").iterdir()
    os.truncate(pack, 1000)
    digest, _ = largest_layer(held)
    with serving.crate(root) as crate:
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            crate.request("GET", f"/v2/{HELD}/blobs/{digest}")
        assert crate.request("GET", f"/v2/{HELD}/tags/list").status == 200
    assert "the file ends before" in serving.log_of(root).read_text()


def test_an_upload_that_cannot_fit_is_refused_before_it_is_sent(plain_crate: Crate) -> None:
    location = plain_crate.request("POST", "/v2/people/huge/blobs/uploads/").headers["location"]
    with plain_crate.connect() as connection:
        connection.sendall(raw_request(plain_crate, "PATCH", location, f"Content-Length: {1 << 60}"))
        assert connection.recv(4000).startswith(b"HTTP/1.1 507")


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /v2/" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + b"X-Many: x\r\n" * 1000 + b"\r\n",
        b"GET /v2/\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
    ],
    ids=["a path of 20 KB", "a header of 20 KB", "a thousand headers", "a NUL in the path", "TLS on the plain port"],
)
def test_requests_beyond_the_limits_are_answered_400(plain_crate: Crate, request_line: bytes) -> None:
    with plain_crate.connect() as connection:
        connection.sendall(request_line + b"\r\n\r\n")
        assert connection.recv(4000).split()[1] == b"400"
    assert plain_crate.request("GET", "/healthz").status == 200


def test_install_says_when_nothing_serves_what_it_installed(tmp_path: Path, key: Key, maker: CrateMaker) -> None:
    root = tmp_path / "store"
    with trusting(root, key):
        paths = maker.write(tmp_path / "site-1.crate", [key])
    assert "nothing serves it yet: crate-appliance serve" in run(root, "install", *paths).stdout
    with serving.crate(root):
        said = run(root, "install", *paths)
        assert (said.returncode, "nothing serves it" in said.stdout) == (0, False)
        assert json.loads(run(root, "install", *paths, "--json").stdout)["served"] is True
    assert json.loads(run(root, "install", *paths, "--json").stdout)["served"] is False


def test_an_activation_by_another_process_is_served_at_once(tmp_path: Path, held: MadeImage) -> None:
    root = tmp_path / "store"
    other = make_layout(tmp_path / "other", f"{HELD}:2")
    with serving.crate(root) as crate:
        assert crate.request("GET", f"/v2/{HELD}/manifests/1").status == 404
        serving.hold(root, HELD, held.layout, {"1": held.digest})
        assert crate.request("GET", f"/v2/{HELD}/manifests/1").headers["docker-content-digest"] == held.digest
        serving.hold(root, HELD, other.layout, {"1": other.digest})
        assert crate.request("GET", f"/v2/{HELD}/manifests/1").headers["docker-content-digest"] == other.digest
        assert crate.request("GET", f"/v2/{HELD}/manifests/{held.digest}").status == 404
        assert json.loads(crate.request("GET", "/healthz").body) == {"status": "ok", "generation": 2}


def test_a_pushed_reference_gives_way_to_a_crate_that_brings_it(tmp_path: Path, held: MadeImage) -> None:
    mine = make_layout(tmp_path / "mine", "mine:1")
    with serving.crate(tmp_path / "store") as crate:
        crate.push(mine.layout, mine.digest, HELD, "1")
        crate.push(mine.layout, mine.digest, HELD, "mine")
        serving.hold(crate.root, HELD, held.layout, {"1": held.digest})
        assert crate.request("GET", f"/v2/{HELD}/manifests/1").headers["docker-content-digest"] == held.digest
        assert crate.request("GET", f"/v2/{HELD}/manifests/mine").headers["docker-content-digest"] == mine.digest
        assert crate.request("DELETE", f"/v2/{HELD}/manifests/mine").status == 202
        assert crate.request("DELETE", f"/v2/{HELD}/manifests/1").status == 202  # the pushed one, underneath
        assert crate.request("DELETE", f"/v2/{HELD}/manifests/1").status == 403


def test_uploads_of_an_earlier_daemon_are_wiped(tmp_path: Path) -> None:
    root = tmp_path / "store"
    Store.open(root).close()
    (root / "uploads/leftover").write_bytes(b"x")
    with serving.crate(root):
        assert not list((root / "uploads").iterdir())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--listen", "nonsense"], "is no address to listen at"),
        (["--listen", "127.0.0.1:70000"], "is no address to listen at"),
        (["--listen", "203.0.113.7:5000"], "cannot listen at 203.0.113.7:5000"),
    ],
    ids=["no address", "a port too high", "somebody else's address"],
)
def test_addresses_that_cannot_be_served(tmp_path: Path, options: list[str], said: str) -> None:
    words = [*serving.PROGRAM, "--root", str(tmp_path / "store"), "serve", "--plain", f"{LOOPBACK}:{free_port()}"]
    done = subprocess.run([*words, *options], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_daemon_over_one_store_is_refused(plain_crate: Crate) -> None:
    words = [*serving.PROGRAM, "--root", str(plain_crate.root), "serve", "--listen", f"{LOOPBACK}:{free_port()}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, "serves the store" in done.stderr) == (1, True), done.stderr
    assert f"already (process {plain_crate.pid})\n" in done.stderr
    assert len(done.stderr.splitlines()) == 2, "one line and a hint"


def test_ports_that_are_roots_are_said_to_be(tmp_path: Path) -> None:
    without = [tool("setpriv"), "--bounding-set=-net_bind_service"] if os.getuid() == 0 else []
    words = [*without, *serving.PROGRAM, "--root", str(tmp_path / "store"), "serve", "--listen", f"{LOOPBACK}:443"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert f"cannot listen at {LOOPBACK}:443: Permission denied" in done.stderr
    assert "service install" in done.stderr


def test_a_port_that_is_taken_is_named(tmp_path: Path, plain_crate: Crate) -> None:
    words = [*serving.PROGRAM, "--root", str(tmp_path / "store"), "serve", "--listen", plain_crate.address]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2
    assert f"cannot listen at {plain_crate.address}" in done.stderr


def test_a_revoked_token_is_refused_at_once(plain_crate: Crate) -> None:
    token = serving.make_token(plain_crate.root)
    assert plain_crate.request("GET", "/v2/", token=token).status == 200
    words = [*serving.PROGRAM, "--root", str(plain_crate.root), "tokens", "revoke", token.split("_")[1]]
    subprocess.run(words, check=True)
    assert plain_crate.request("GET", "/v2/", token=token).status == 401


def test_the_digest_of_what_is_sent_in_pieces(plain_crate: Crate) -> None:
    """A body of several pieces, chunked, with no length announced."""
    data = random.Random(5).randbytes(2_500_000)
    location = plain_crate.request("POST", "/v2/people/chunked/blobs/uploads/").headers["location"]
    with plain_crate.connect() as connection:
        connection.sendall(raw_request(plain_crate, "PATCH", location, "Transfer-Encoding: chunked"))
        for at in range(0, len(data), 70_000):
            piece = data[at : at + 70_000]
            connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 202")
    digest = f"sha512:{hashlib.sha512(data).hexdigest()}"
    assert plain_crate.request("PUT", f"{location}?digest={digest}").status == 201
    assert plain_crate.request("GET", f"/v2/people/chunked/blobs/{sha256(data)}").body == data

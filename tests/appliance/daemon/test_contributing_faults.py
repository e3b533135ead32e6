"""Uploads that lie, break off or meet a full disk, and a daemon that is killed: nothing of them is ever published."""

from __future__ import annotations

import base64
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.collect import collect
from appliance.store import Store
from tests.appliance.daemon import serving
from tests.appliance.daemon.serving import Crate, raw_request
from tests.mirror.helm.charts import chart, packed
from tests.mirror.npm.registry import Made, package
from tests.mirror.pypi.index import wheel
from tests.support.ports import listening
from tests.support.tools import root, tool

BOUNDARY = "----frontier"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
JSON = {"Content-Type": "application/json"}
WHEEL = wheel("anns", "1.0")


@pytest.fixture(scope="module")
def crate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crate]:
    with serving.crate(tmp_path_factory.mktemp("faults") / "store", "--idle", "2") as running:
        yield running


def form(content: bytes, name: str, *, field: str = "content", **fields: str) -> bytes:
    parts = [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{fields[key]}\r\n' for key in fields]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
    return "".join([*parts, head]).encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


def packument(made: Made, *, data: str | None = None, **changes: object) -> bytes:
    encoded = base64.b64encode(made.tarball).decode() if data is None else data
    document = {
        "name": made.name,
        "dist-tags": {"latest": made.version},
        "versions": {made.version: dict(made.manifest)},
        "_attachments": {made.path: {"data": encoded}},
        **changes,
    }
    return json.dumps(document, separators=(",", ":")).encode()


NPM = package("anns", "1.0.0")
PYPI_PATH, NPM_PATH, CHART_PATH = "/pypi/", "/npm/anns", "/helm/api/charts"
REFUSED: dict[str, tuple[str, str, dict[str, str], bytes, str]] = {
    "a wheel announced by another digest": (
        *("POST", PYPI_PATH, FORM, form(WHEEL.content, WHEEL.file, sha256_digest="0" * 64)),
        "was announced as",
    ),
    "a wheel that is none": ("POST", PYPI_PATH, FORM, form(b"PK and nothing", WHEEL.file), "is not a wheel"),
    "a file name that leads elsewhere": (
        "POST",
        PYPI_PATH,
        FORM,
        form(WHEEL.content, "../x-1-py3-none-any.whl"),
        "x-1",
    ),
    "a form without a file": ("POST", PYPI_PATH, FORM, form(WHEEL.content, "", field="other"), "holds no file"),
    "a form that ends early": ("POST", PYPI_PATH, FORM, form(WHEEL.content, WHEEL.file)[:-40], "cannot be read"),
    "a form that is none": ("POST", PYPI_PATH, FORM, b"nothing of the kind", "form"),
    "a form without a boundary": ("POST", PYPI_PATH, {"Content-Type": "multipart/form-data"}, b"x", "form"),
    "no form at all": ("POST", PYPI_PATH, JSON, b"{}", "multipart form"),
    "another action": ("POST", PYPI_PATH, FORM, form(WHEEL.content, WHEEL.file, **{":action": "remove"}), "arrived as"),
    "a packument without a tarball": ("PUT", NPM_PATH, JSON, b'{"name":"anns"}', "one tarball"),
    "a packument with two": (
        *("PUT", NPM_PATH, JSON, packument(NPM, more={"data": "eA=="})),
        "one tarball",
    ),
    "an empty body": ("PUT", NPM_PATH, JSON, b"", "one tarball"),
    "a packument that is not JSON": ("PUT", NPM_PATH, JSON, packument(NPM) + b"}", "not JSON"),
    "a packument that is a list": ("PUT", NPM_PATH, JSON, b"[" + packument(NPM) + b"]", "not an object"),
    "a tarball that is not base64": ("PUT", NPM_PATH, JSON, packument(NPM, data="a!b?"), "not base64"),
    "a tarball that is none": ("PUT", NPM_PATH, JSON, packument(NPM, data="eHh4"), "not a package"),
    "versions that are a word": ("PUT", NPM_PATH, JSON, packument(NPM, versions="1.0.0"), "no objects"),
    "a tarball of another package": (
        *("PUT", NPM_PATH, JSON, packument(package("bobs", "1.0.0"), name="anns")),
        "not what was announced",
    ),
    "a chart that is none": ("POST", CHART_PATH, {}, b"nothing", "not a packed chart"),
    "a chart that reaches out of its folder": (
        *("POST", CHART_PATH, {}, packed("..", {"Chart.yaml": "name: anns\nversion: 1.0.0\n"})),
        "which no chart does",
    ),
    "a form without a chart": ("POST", CHART_PATH, FORM, form(b"x", "x", field="prov"), "holds no chart"),
    "a login that is a list": ("PUT", "/npm/-/user/org.couchdb.user:ann", JSON, b"[1]", "name and a password"),
    "a login that is not JSON": ("PUT", "/npm/-/user/org.couchdb.user:ann", JSON, b"{", "not JSON"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_told_and_leaves_nothing(
    crate: Crate, case: tuple[str, str, dict[str, str], bytes, str]
) -> None:
    method, path, headers, body, told = case
    answer = crate.request(method, path, body, headers)
    assert (answer.status, told in answer.body.decode()) == (400, True), answer
    nothing_is_left(crate)


def nothing_is_left(crate: Crate) -> None:
    deadline = time.monotonic() + 10
    while (left := list((crate.root / "uploads").iterdir())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []
    with sqlite3.connect(crate.root / "crate.db") as connection:
        assert connection.execute("SELECT count(*) FROM contributions").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM published_files").fetchone() == (0,)
    connection.close()


BROKEN_OFF = {
    "a wheel": ("POST", PYPI_PATH, FORM, form(WHEEL.content, WHEEL.file)),
    "a package": ("PUT", NPM_PATH, JSON, packument(NPM)),
    "a chart": ("POST", CHART_PATH, {}, chart("anns", "1.0.0").content),
}


@pytest.mark.parametrize("silent", [False, True], ids=["goes away", "falls silent"])
@pytest.mark.parametrize(("method", "path", "headers", "body"), BROKEN_OFF.values(), ids=BROKEN_OFF)
def test_a_client_that(
    crate: Crate, method: str, path: str, headers: dict[str, str], body: bytes, *, silent: bool
) -> None:
    sent = [f"{name}: {value}" for name, value in headers.items()]
    with crate.connect() as connection:
        connection.sendall(raw_request(crate, method, path, *sent, f"Content-Length: {len(body)}") + body[:-30])
        if silent:
            assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")
    nothing_is_left(crate)


def test_a_daemon_killed_between_the_blob_and_its_publication_has_published_nothing(tmp_path: Path) -> None:
    """The blob is stored, the transaction is not committed: the next start serves nothing of it, and gc removes it."""
    stopping = (
        "import os, signal, appliance.republishing as r;"
        "r.republish = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
        "from appliance.cli import main; main()"
    )
    (tmp_path / WHEEL.file).write_bytes(WHEEL.content)
    words = ["--root", tmp_path / "root", "add", tmp_path / WHEEL.file]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", stopping, *map(str, words)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    with Store.open(tmp_path / "root") as store:
        assert store.blobs.holds(WHEEL.sha256)
        for table in ("contributions", "items", "published_files"):
            assert store.database.reader.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)  # noqa: S608
        with store.database.write() as connection:
            connection.execute("UPDATE blobs SET touched = 0")
        collect(store)
        assert not store.blobs.holds(WHEEL.sha256)
    with serving.crate(tmp_path / "root") as crate:
        answer = crate.request("POST", PYPI_PATH, form(WHEEL.content, WHEEL.file), FORM)
        assert answer.status == 200
        os.kill(crate.pid, signal.SIGKILL)
        while listening(crate.port):
            time.sleep(0.01)
    with serving.crate(tmp_path / "root") as crate:
        found = crate.request("GET", f"/pypi/files/anns/{WHEEL.file}", token="")
        assert (found.status, found.body) == (200, WHEEL.content), "what was answered is there"


_FULL = """
import subprocess, sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
mount = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", mount], check=True)
from tests.appliance.daemon import serving
from tests.appliance.daemon.test_contributing_faults import FORM, WHEEL, form, nothing_is_left
with serving.crate(mount / "root") as crate:
    big = crate.request("POST", "/pypi/", form(b"x" * (9 << 20), WHEEL.file), FORM)
    nothing_is_left(crate)
    chart = crate.request("POST", "/helm/api/charts", b"x" * (9 << 20))
    good = crate.request("POST", "/pypi/", form(WHEEL.content, WHEEL.file), FORM)
    print(big.status, chart.status, good.status)
"""


def test_a_full_disk_is_told_and_the_next_upload_works(tmp_path: Path) -> None:
    root("a small file system is mounted in a namespace of its own")
    command = [tool("unshare"), "--mount", sys.executable, "-c", _FULL, tmp_path, "", Path(__file__).parents[3]]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["507", "507", "200"]

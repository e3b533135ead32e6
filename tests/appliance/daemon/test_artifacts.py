"""`/blobs/sha256/…` on the plain port: what installers fetch by digest, and nothing else."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.installing import install
from tests.appliance import worlds
from tests.appliance.daemon import serving
from tests.appliance.daemon.conftest import FILES, HELD
from tests.appliance.daemon.serving import Answer, Crate, largest_layer
from tests.support.crates import CrateMaker, Key
from tests.support.images import MadeImage
from tests.support.stores import trusting
from tests.support.tools import tool

TOOL = FILES["tools/arm64/tool"]


def get(crate: Crate, sha256: str, method: str = "GET", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return crate.request(method, f"/blobs/sha256/{sha256}", headers=named, token="", port=crate.plain)


def hexadecimal(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_file_comes_by_its_digest_whole_and_in_parts(tls_crate: Crate) -> None:
    name = hexadecimal(TOOL)
    whole = get(tls_crate, name)
    assert (whole.status, whole.body, whole.headers["etag"]) == (200, TOOL, f'"sha256:{name}"')
    assert "immutable" in whole.headers["cache-control"]
    head = get(tls_crate, name, "HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(TOOL)))
    part = get(tls_crate, name, Range="bytes=7-")
    assert (part.status, part.body) == (206, TOOL[7:])
    assert get(tls_crate, name, Range=f"bytes={len(TOOL)}-").status == 416
    assert get(tls_crate, name, If_None_Match=whole.headers["etag"]).status == 304


def test_curl_goes_on_where_it_stopped(tls_crate: Crate, tmp_path: Path) -> None:
    (tmp_path / "tool.part").write_bytes(TOOL[:11])
    url = f"http://127.0.0.1:{tls_crate.plain}/blobs/sha256/{hexadecimal(TOOL)}"
    command = [tool("curl"), "-sSf", "-C", "-", "-o", str(tmp_path / "tool.part"), url]
    subprocess.run(command, check=True)
    assert (tmp_path / "tool.part").read_bytes() == TOOL


def test_what_is_no_file_of_the_crate_is_not_answered(tls_crate: Crate, held: MadeImage) -> None:
    layer = largest_layer(held)[0].removeprefix("sha256:")
    for name in (layer, "0" * 64, "x" * 64, hexadecimal(TOOL).upper(), hexadecimal(TOOL)[:63]):
        assert get(tls_crate, name).status == 404, name
    assert get(tls_crate, hexadecimal(TOOL), "PUT").status == 405


@pytest.fixture(scope="module")
def charts(tmp_path_factory: pytest.TempPathFactory, key: Key) -> Iterator[Crate]:
    folder = tmp_path_factory.mktemp("charts")
    made: CrateMaker = worlds.maker(folder, ["chart"])
    with trusting(folder / "root", key) as store:
        install(store, made.write(folder / "site.crate", [key]))
    with serving.crate(folder / "root", tls=True) as running:
        yield running


def test_a_chart_comes_by_its_digest_and_an_index_that_the_crate_made_does_not(charts: Crate) -> None:
    chart = charts.request("GET", "/helm/charts/mine-1.0.0.tgz", token="").body
    assert get(charts, hexadecimal(chart)).body == chart
    index = charts.request("GET", "/helm/index.yaml", token="").body
    assert get(charts, hexadecimal(index)).status == 404


def test_a_private_crate_answers_alike_for_what_it_holds_and_what_it_does_not(tmp_path: Path, held: MadeImage) -> None:
    root = tmp_path / "store"
    serving.hold(root, HELD, held.layout, {"1": held.digest}, {"tool": b"x"})
    with serving.crate(root, "--private", tls=True) as crate:
        answers = {
            (answer.status, answer.body) for name in (hexadecimal(b"x"), "0" * 64) for answer in [get(crate, name)]
        }
        assert [status for status, _ in answers] == [401]

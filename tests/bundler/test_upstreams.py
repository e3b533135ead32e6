"""Any host may be answered by another, and only what is written as http:// is plain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from bundler.errors import UpstreamsInvalid
from bundler.upstreams import Upstreams

REWRITES = {
    "a host that nobody mentions is left alone": (
        {},
        "https://ghcr.io/v2/a/blobs/x",
        "https://ghcr.io/v2/a/blobs/x",
    ),
    "a host is replaced": (
        {"ghcr.io": "https://mirror.example.org"},
        "https://ghcr.io/v2/a/blobs/x",
        "https://mirror.example.org/v2/a/blobs/x",
    ),
    "a path stands in front": (
        {"github.com": "https://mirror.example.org/gh/"},
        "https://github.com/k3s-io/k3s/releases/download/v1%2Bk3s1/k3s?x=%2F",
        "https://mirror.example.org/gh/k3s-io/k3s/releases/download/v1%2Bk3s1/k3s?x=%2F",
    ),
    "a registry's prefix comes after /v2/": (
        {"docker.io": "https://mirror.example.org/v2/hub"},
        "https://registry-1.docker.io/v2/library/busybox/manifests/1.36",
        "https://mirror.example.org/v2/hub/library/busybox/manifests/1.36",
    ),
    "Docker Hub's other names are docker.io": (
        {"index.docker.io": "http://127.0.0.1:5000"},
        "https://registry-1.docker.io/v2/",
        "http://127.0.0.1:5000/v2/",
    ),
    "a port belongs to the host": (
        {"harbor.example.org:8443": "https://mirror.example.org"},
        "https://harbor.example.org:8443/v2/",
        "https://mirror.example.org/v2/",
    ),
    "the same host on another port is another host": (
        {"harbor.example.org:8443": "https://mirror.example.org"},
        "https://harbor.example.org/v2/",
        "https://harbor.example.org/v2/",
    ),
    "the scheme's own port is no port": (
        {"ghcr.io": "https://mirror.example.org"},
        "https://ghcr.io:443/v2/",
        "https://mirror.example.org/v2/",
    ),
}


@pytest.mark.parametrize(("table", "url", "expected"), REWRITES.values(), ids=REWRITES.keys())
def test_rewriting(tmp_path: Path, table: dict[str, Any], url: str, expected: str) -> None:
    upstreams = Upstreams.load(table, tmp_path)
    assert str(upstreams.rewrite(URL(url, encoded=True))) == expected


def test_https_is_spoken_unless_a_url_says_http_even_to_localhost(tmp_path: Path) -> None:
    upstreams = Upstreams.load({"registry.example.org": "http://10.0.0.1:5000"}, tmp_path)
    assert upstreams.url_for("localhost:5000").url == "https://localhost:5000"
    assert not upstreams.url_for("localhost:5000").plain
    assert upstreams.url_for("registry.example.org").plain
    assert upstreams.url_for("docker.io").url == "https://registry-1.docker.io"


def test_the_recipe_wins_over_the_users_own_file(tmp_path: Path) -> None:
    own = tmp_path / "buzzcrate" / "upstreams.toml"
    own.parent.mkdir()
    own.write_text('"docker.io" = "https://own.example.org"\n"ghcr.io" = "https://own.example.org"\n')
    upstreams = Upstreams.load({"docker.io": "https://recipe.example.org"}, tmp_path)
    assert upstreams.url_for("docker.io").url == "https://recipe.example.org"
    assert upstreams.url_for("ghcr.io").url == "https://own.example.org"
    assert Upstreams.load(None, tmp_path).url_for("docker.io").url == "https://own.example.org"


def test_a_ca_is_found_beside_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "company.pem").touch()
    table = {"harbor.example.org": {"ca": "company.pem"}, "ghcr.io": "https://mirror.example.org"}
    upstreams = Upstreams.load(table, tmp_path / "config", folder=tmp_path)
    assert upstreams.ca_for("harbor.example.org") == tmp_path / "company.pem"
    assert upstreams.ca_for("mirror.example.org") is None


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown key": ({"ghcr.io": {"uri": "https://mirror.example.org"}}, "'ghcr.io'"),
    "a number": ({"ghcr.io": 5000}, "'ghcr.io'"),
    "a URL without a scheme": ({"ghcr.io": "mirror.example.org"}, "http:// or https://"),
    "another scheme": ({"ghcr.io": "ftp://mirror.example.org"}, "http:// or https://"),
    "a query": ({"ghcr.io": "https://mirror.example.org?x=1"}, "http:// or https://"),
    "a URL for a host": ({"https://ghcr.io": "https://mirror.example.org"}, "is not a host"),
    "a CA file that is not there": ({"ghcr.io": {"ca": "nowhere.pem"}}, "nowhere.pem"),
}


@pytest.mark.parametrize(("table", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_a_table_is_refused_with(tmp_path: Path, table: dict[str, Any], words: str) -> None:
    with pytest.raises(UpstreamsInvalid) as caught:
        Upstreams.load(table, tmp_path)
    assert words in caught.value.what
    assert caught.value.hint


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    own = tmp_path / "buzzcrate" / "upstreams.toml"
    own.parent.mkdir()
    own.write_text("docker.io: x")
    with pytest.raises(UpstreamsInvalid) as caught:
        Upstreams.load(None, tmp_path)
    assert str(own) in caught.value.what

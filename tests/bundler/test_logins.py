"""Credentials of this machine's package clients go where those clients would send them, and nowhere else."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from mirror.apt import logins as apt
from mirror.logins import Login, Logins, basic, of_netrc, of_url
from mirror.npm import logins as npm

ANN = basic("ann", "word")
TOKEN = "Bearer abc"

AUTH_CONF = """# comments stay comments
machine example.org/private login ann password word
machine http://plain.example.org login ann password word
machine port.example.org:8443
 login ann
 password word
"""
NPMRC = {
    "registry": "https://ann:word@main.example.org/npm/",
    "//scope.example.org/team/:_authToken": "abc",
    "//both.example.org:4873/:_auth": base64.b64encode(b"ann:word").decode(),
    "//apart.example.org/:username": "ann",
    "//apart.example.org/:_password": base64.b64encode(b"word").decode(),
    "//half.example.org/:username": "ann",
    "color": "false",
}

# who knows, the URL that is asked, and what is sent
CASES = {
    "apt's, below its path": (AUTH_CONF, "https://example.org/private/dists/x", ANN),
    "apt's, beside its path": (AUTH_CONF, "https://example.org/privately/x", ""),
    "apt's, over plain HTTP that nobody allowed": (AUTH_CONF, "http://example.org/private/x", ""),
    "apt's, over plain HTTP that was named": (AUTH_CONF, "http://plain.example.org/x", ANN),
    "apt's, at its port": (AUTH_CONF, "https://port.example.org:8443/x", ANN),
    "apt's, at another port": (AUTH_CONF, "https://port.example.org/x", ""),
    "npm's registry": (NPMRC, "https://main.example.org/npm/left", ANN),
    "a host that only ends like it": (NPMRC, "https://notmain.example.org/npm/left", ""),
    "npm's token, below its path": (NPMRC, "https://scope.example.org/team/@team%2fx", TOKEN),
    "npm's token, elsewhere on the host": (NPMRC, "https://scope.example.org/x", ""),
    "npm's _auth": (NPMRC, "http://both.example.org:4873/x", ANN),
    "npm's name and password": (NPMRC, "https://apart.example.org/x", ANN),
    "npm's name without a password": (NPMRC, "https://half.example.org/x", ""),
    "a URL that brings its own": (NPMRC, "https://eve:other@main.example.org/npm/left", ""),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_told_to(case: tuple[str | dict[str, str], str, str]) -> None:
    known, url, sent = case
    logins = Logins(apt.parse(known) if isinstance(known, str) else npm.parse(known))
    assert logins.headers(url).get("Authorization", "") == sent


def test_the_longest_path_is_meant_and_then_the_first() -> None:
    logins = Logins(
        [Login("example.org", "host"), Login("example.org", "team", path="/team/"), Login("example.org", "later")]
    )
    asked = [logins.headers(f"https://example.org/{path}")["Authorization"] for path in ("team/x", "x")]
    assert asked == ["team", "host"]


def test_a_url_of_an_index_logs_in_on_all_of_its_host_and_port() -> None:
    logins = Logins(of_url("https://ann:w%6Frd@example.org:8443/simple"))
    assert logins.headers("https://example.org:8443/files/x.whl") == {"Authorization": ANN}
    assert not logins.headers("https://example.org/files/x.whl")
    assert not logins.headers("http://example.org:8443/files/x.whl")


def test_netrc_is_read_but_for_its_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "netrc"
    file.write_text("machine example.org login ann password word\ndefault login ann password everybody\n")
    monkeypatch.setenv("NETRC", str(file))
    logins = Logins(of_netrc())
    assert logins.headers("https://example.org/x") == {"Authorization": ANN}
    assert not logins.headers("https://other.example.org/x")
    file.write_text("not a netrc at all {")
    assert of_netrc() == []


def test_npm_is_read_from_the_recipes_folder_before_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WORD", "abc")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".npmrc").write_text("//example.org/:_authToken=old\n; a comment\n")
    (tmp_path / ".npmrc").write_text('//example.org/:_authToken = "${WORD}"\n')
    assert Logins(npm.logins(tmp_path)).headers("https://example.org/x") == {"Authorization": TOKEN}


def test_a_login_does_not_show_its_secret() -> None:
    assert "word" not in repr(of_url("https://ann:word@example.org"))

"""Proxies, as the environment names them; the faulty registry stands for one, since it is asked for whole URLs."""

from __future__ import annotations

import asyncio

import pytest

from bundler.answers import basic
from bundler.errors import FetchFailed, Unreachable
from tests.bundler.clients import APP, client
from tests.support.faulty import FaultyRegistry, faulty_registry

UPSTREAM = "http://registry.internal.example.org:5000"


def pull(upstream: str = UPSTREAM) -> None:
    async def run() -> None:
        async with client(upstream) as registry:
            await registry.manifest(APP)

    asyncio.run(run())


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def serve_app(server: FaultyRegistry) -> None:
    server.manifest("team/app", b'{"schemaVersion":2}', "1")


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_a_proxy_is_asked_when_the_environment_names_it(environment: pytest.MonkeyPatch, name: str) -> None:
    with faulty_registry() as proxy:
        environment.setenv(name, f"http://ann:hidden@{proxy.address}")
        serve_app(proxy)
        pull()
        (asked,) = proxy.seen
    assert asked.headers["Host"] == "registry.internal.example.org:5000"
    assert asked.headers["Proxy-Authorization"] == basic("ann", "hidden")
    assert "Authorization" not in asked.headers


def test_a_host_of_no_proxy_is_asked_directly(environment: pytest.MonkeyPatch) -> None:
    with faulty_registry() as server:
        environment.setenv("http_proxy", "http://127.0.0.1:1")
        environment.setenv("no_proxy", "127.0.0.1")
        serve_app(server)
        pull(server.url)


REFUSED = {
    "is not there": ("http://ann:hidden@127.0.0.1:1", "no connection to the proxy"),
    "is of another kind": ("socks5://ann:hidden@127.0.0.1:1", "is not an HTTP proxy"),
}


@pytest.mark.parametrize(("proxy", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_a_proxy_is_named_that(environment: pytest.MonkeyPatch, proxy: str, words: str) -> None:
    environment.setenv("http_proxy", proxy)
    with pytest.raises(Unreachable) as caught:
        pull()
    assert words in caught.value.what
    assert "proxy" in caught.value.hint
    assert "hidden" not in caught.value.what + caught.value.hint


def test_a_proxy_that_does_not_let_through_tls_is_named(environment: pytest.MonkeyPatch) -> None:
    with faulty_registry() as proxy:
        environment.setenv("https_proxy", proxy.url)
        with pytest.raises(FetchFailed) as caught:
            pull("https://registry.internal.example.org")
    assert caught.value.what == "the proxy does not lead to registry.internal.example.org (status 404)"
